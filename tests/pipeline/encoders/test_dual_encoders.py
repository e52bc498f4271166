"""CLIP, SigLIP and SigLIP 2: their stores hold what transformers alone says of images and texts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import DUAL
from transformers import AutoModel, AutoProcessor, AutoTokenizer, CLIPModel

from savs import SavsError, classify, evaluate, report, save_evaluation, save_selection, select
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.bundle.bundle import why_not_standalone
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import check_model
from savs.pipeline.reports.preview.preview import preview
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough

CAPTION = "Does this image show '{}'?"


@pytest.fixture
def run(run):
    """Extract the small two-class input into a store of CLIP's."""
    return lambda family="clip", **options: run(family=family, dtype="float32", **options)


def alone(folder: Path, texts: list[str], images: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return what transformers says of texts and of images, each by itself."""
    model, processor = (
        AutoModel.from_pretrained(folder).eval(),
        AutoProcessor.from_pretrained(folder),
    )
    fixed = {"padding": "max_length", "max_length": 64, "padding_side": "right"}
    padding = {} if isinstance(model, CLIPModel) else fixed | {"return_attention_mask": False}
    said, seen = [], []
    with torch.inference_mode():
        for text in texts:
            inputs = processor.tokenizer(text, return_tensors="pt", **padding)
            said.append(model.get_text_features(**inputs).pooler_output[0].numpy())
        for path in images:
            inputs = processor.image_processor(Image.open(path).convert("RGB"), return_tensors="pt")
            seen.append(model.get_image_features(**inputs).pooler_output[0].numpy())
    return np.array(said), np.array(seen)


@pytest.mark.parametrize("family", DUAL)
def test_a_store_holds_what_transformers_alone_says(run, inputs, tiny_model, family) -> None:
    store = run(family=family).store
    texts = ["a", "b", "a photo of a a.", "a photo of a b."]
    assert store.examples("classes")["prompt"].to_list() == texts
    assert store.examples("classes")["label"].to_list() == ["a", "b", "a", "b"]
    images = [inputs.root / f"images/train{i}.png" for i in range(6)]
    said, seen = alone(tiny_model(family), texts, images)
    np.testing.assert_allclose(store.features("classes")[0], said, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(store.features("train")[0], seen, rtol=1e-4, atol=1e-5)
    assert store.heads == [(0, 0)]
    found = select(store, readout="clip").only_task().fitted
    scale = AutoModel.from_pretrained(tiny_model(family)).logit_scale.exp().item()
    lengths = np.linalg.norm(found.directions, axis=2) * found.weights
    np.testing.assert_allclose(lengths, scale, rtol=1e-5)


def test_images_and_captions_run_once_whatever_is_asked_about_them(run, inputs, monkeypatch):
    seen: dict[str, list[int]] = {"images": [], "texts": []}
    towers = {"images": CLIPModel.get_image_features, "texts": CLIPModel.get_text_features}

    def counted(kind):
        def run(self, **given):
            seen[kind].append(len(next(iter(given.values()))))
            return towers[kind](self, **given)

        return run

    monkeypatch.setattr(CLIPModel, "get_image_features", counted("images"))
    monkeypatch.setattr(CLIPModel, "get_text_features", counted("texts"))
    image = [inputs.image(f"{n}.png", 40 + n) for n in range(4)]
    rows = [
        {"image": image[2 * g + i], "question": CAPTION.format(f"text {g}{c}"), "question_id": g,
         "label": "Yes" if c == i else "No"}
        for g in range(2) for c in range(2) for i in range(2)
    ]  # fmt: skip
    train, test = inputs.rows("tr.jsonl", rows[:4]), inputs.rows("te.jsonl", rows)
    store = run(benchmark="naturalbench-retrieval", train=train, test=test, batch_check="off").store
    assert sum(seen["images"]) == 4
    assert sum(seen["texts"]) == 4 + 1  # and one that tells the width
    assert "classes" not in store.manifest.plan.splits
    captions = store.examples("captions")
    assert sorted(captions["prompt"]) == ["text 00", "text 01", "text 10", "text 11"]
    assert captions["label"].null_count() == 4
    with pytest.raises(SavsError, match="its prompts are captions, which `savs evaluate"):
        select(store, readout="clip")


def test_templates_are_added_to_a_store_without_its_images(run, tmp_path) -> None:
    file = tmp_path / "templates.txt"
    file.write_text("an image of {class}\n\nthe {class}, by itself\n")
    before = run().store.features("test")
    done = run(templates=file)
    assert done.rows == 4
    assert done.store.examples("classes")["category"].to_list() == [
        *["names"] * 2, *["benchmark"] * 2, *["file"] * 4,
    ]  # fmt: skip
    np.testing.assert_array_equal(done.store.features("test"), before)
    assert run(templates=file).rows == 0
    assert run().rows == 0  # what a store has stays


def test_appended_examples_bring_their_captions_and_classes(run, inputs) -> None:
    run()
    image = inputs.image("new.png", 77)
    more = inputs.rows(
        "more.jsonl", [{"image": image, "question": "What is it?", "label": "c"}] * 2
    )
    store = run(train=more, test=None, append=True).store
    texts = store.examples("classes").filter(category="benchmark")["prompt"].to_list()
    assert texts == ["a photo of a a.", "a photo of a b.", "a photo of a c."]
    assert select(store, readout="clip").only_task().classes == ("a", "b", "c")


def test_names_alone_need_no_training_example(run, inputs, tmp_path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"a": "cat", "b": "dog"}))
    store = run(train=None, classes=names).store
    assert store.examples("classes")["prompt"].to_list()[2:] == [
        "a photo of a cat.", "a photo of a dog.",
    ]  # fmt: skip
    assert store.examples("train").is_empty()
    selection = select(store, readout="clip")
    found = evaluate(store, selection)
    assert set(found.predictions["prediction"]) <= {"a", "b"}
    assert found.metrics[0].units == 5
    result = store.path / "results" / "clip"
    save_selection(selection, result)
    save_evaluation(found, result)
    report(result, out=tmp_path / "page.html")
    assert "clip" in (tmp_path / "page.html").read_text()
    for readout in ("vote", "lda", "tip-adapter", "hec-vt"):
        with pytest.raises(SavsError, match="needs training examples"):
            select(store, readout=readout)
    row = {"image": inputs.image("new.png", 77), "question": "What is it?", "label": "a"}
    said: list[str] = []
    more = inputs.rows("more.jsonl", [row])
    done = run(train=None, test=more, append=True, reporting=Reporting(said.append))
    assert not [line for line in said if "training example" in line]
    assert (done.rows, done.store.examples("test").height) == (1, 6)
    assert evaluate(done.store, select(done.store, readout="clip")).metrics[0].units == 6


@pytest.mark.parametrize("limit", [32, 64])
def test_texts_that_are_cut_are_counted(run, tiny_model, tmp_path, limit) -> None:
    """The model has 64 positions, and its tokenizer may allow fewer."""
    folder = shutil.copytree(tiny_model("clip"), tmp_path / "model")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": limit}))
    file = tmp_path / "templates.txt"
    file.write_text("{class} " + "long " * 20 + "\n")
    said: list[str] = []
    store = run(templates=file, reporting=Reporting(said.append), model=str(folder)).store
    assert any(f"2 of 6 texts are longer than the {limit} tokens" in line for line in said)
    model, words = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    long = store.examples("classes")["prompt"].to_list()[-2:]
    inputs = words(long, max_length=limit, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model.eval().get_text_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(store.features("classes")[0, -2:], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answers": "labels"}, "answers no question; drop `answers`"),
        ({"placeholders": "keep"}, "reads an image without a prompt.*drop `placeholders`"),
        ({"max_pixels": 5000}, "has no pixel limits; drop `max_pixels`"),
        ({"heads": "x"}, "no heads to choose from; drop `heads`"),
    ],
    ids=str,
)
def test_options_without_a_meaning_are_refused(run, options, message) -> None:
    with pytest.raises(ModelError, match=message):
        run(**options)


@pytest.mark.parametrize(
    ("media", "message"),
    [
        ({"images": ["images/train0.png", "images/train1.png"]}, "has 2 images in its prompt"),
        ({"question": "Is the sky blue?"}, "has no images in its prompt"),
        ({"image": "clip.mp4"}, "has a video, clip.mp4"),
    ],
    ids=["two images", "no image", "a video"],
)
def test_prompts_that_are_not_one_image_are_refused(run, inputs, media, message) -> None:
    (inputs.root / "clip.mp4").write_bytes(b"")
    rows = [{"image": "images/train0.png", "question": "What?", "label": "a"}]
    rows.append({"question": "Which?", "label": "b"} | media)
    with pytest.raises(ModelError, match=f"the test example 'odd:1' {message}|The test.*{message}"):
        run(test=inputs.rows("odd.jsonl", rows))


def test_templates_are_for_dual_encoders_alone(run, tmp_path) -> None:
    file = tmp_path / "templates.txt"
    file.write_text("a {class}\n")
    with pytest.raises(ModelError, match=r"no dual encoder.*drop `templates`"):
        run(family="qwen2_vl", templates=file)


def test_a_file_of_classes_that_is_not_there_is_one_line(run) -> None:
    with pytest.raises(ParameterError, match=r"`classes` nowhere\.txt cannot be read"):
        run(classes="nowhere.txt")


def test_a_model_is_tested_and_shown_by_the_images_that_it_reads(run, inputs, tiny_model, tmp_path):
    model = str(tiny_model("clip"))
    found = check_model(model, batch_size=4, dtype="float32")
    assert (found.passed, found.batch_size) == (True, 4)
    files = {"train": inputs.root / "train.jsonl", "test": inputs.root / "test.jsonl"}
    page = preview("general", **files, model=model, out=tmp_path / "page.html")
    worded = [shown.worded for split in page.splits for shown in split.shown]
    assert {run.kind for one in worded if one for run in one.runs} == {"image"}
    assert len(worded) == 11


def test_a_classifier_of_a_dual_encoder_predicts_new_images(run, inputs, tiny_model, tmp_path):
    store = run().store
    selection = select(store, readout="clip")
    folder = save_selection(selection, tmp_path / "selection")
    images = [inputs.root / f"images/test{i}.png" for i in range(5)]
    given = {"model": str(tiny_model("clip")), "dtype": "float32", "question": "What is it?"}
    found = classify(folder, images, **given).predictions["prediction"].to_list()
    assert found == evaluate(store, selection).predictions["prediction"].to_list()
    assert "dual encoder" in (why_not_standalone(replace_readout(store)) or "")


def replace_readout(store):
    """Return the same images voted on: only its model keeps it from predict.py."""
    selection = select(store, readout="vote")
    return replace(selection, tasks=(replace(selection.tasks[0], question="What is it?"),))
