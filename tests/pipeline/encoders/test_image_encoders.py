"""Image encoders: stores hold what transformers alone gives; what they cannot read is said."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from savs import SavsClassifier, classify, evaluate, save_selection, select, train
from savs.datasets.media_kinds.decoders.videos import Video
from savs.pipeline.classifying.bundle.bundle import why_not_standalone
from savs.pipeline.encoders.image import (
    IMAGE_TOKENS,
    dual_inputs,
    image_inputs,
    image_tokens,
)
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import check_model
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough

PREFIX = {"dinov2": 5, "dinov3": 4, "vit": 1, "radio": 10, "timm": 3}
"""CLS, registers and summary tokens by the configurations of the tiny models; 0 for the others."""
EACH_RUN = ("dinov2", "siglip2_vision", "ijepa", "timm")
FAMILIES = ("dinov3", "siglip_vision", "aimv2", "vit", "radio")
TRIED = [*EACH_RUN, *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)]
POOLED, PATCHES = (0, 0), (1, 0)


@pytest.fixture
def run(run):
    """Extract the small two-class input into a store of an image encoder's."""
    return lambda family="dinov2", **options: run(family=family, dtype="float32", **options)


def alone(folder, paths):
    """Return the pooled output, if any, and the mean of the patches of images, each by itself."""
    model, processor = (
        AutoModel.from_pretrained(folder).eval(),
        AutoImageProcessor.from_pretrained(folder),
    )
    pooled, means = [], []
    for path in paths:
        with torch.inference_mode():
            inputs = processor(images=Image.open(path).convert("RGB"), return_tensors="pt")
            found = model(**inputs)
        tokens = found.last_hidden_state[0, PREFIX.get(folder.name, 0) :]
        if "pixel_attention_mask" in inputs:  # rows of zeros pad the patches of an image
            tokens = tokens[inputs["pixel_attention_mask"][0].bool()]
        means.append(tokens.double().mean(0).numpy())
        own = found.get("pooler_output", found.get("summary"))
        pooled += [] if own is None else [own[0].numpy()]
    return np.array(pooled), np.array(means)


@pytest.mark.parametrize("family", TRIED)
def test_a_store_holds_what_transformers_alone_gives(run, inputs, tiny_model, family) -> None:
    store = run(family).store  # six images in one batch
    pooled, means = alone(
        tiny_model(family), [inputs.root / f"images/train{i}.png" for i in range(6)]
    )
    np.testing.assert_allclose(
        store.features("train", heads=[PATCHES])[0], means, atol=4e-6
    )  # as rounding differs with threads
    assert store.heads == ([PATCHES] if family == "ijepa" else [POOLED, PATCHES])
    if len(pooled):
        np.testing.assert_allclose(store.features("train", heads=[POOLED])[0], pooled, atol=4e-6)
    outputs = store.manifest.identity.model["image_outputs"]
    after = f" after {PREFIX[family]} other tokens" if family in PREFIX else ""
    assert outputs["L1.H0"] == f"mean of the patches{after}"


def test_questions_change_no_feature_and_a_note_says_so(run, inputs) -> None:
    plain = run("dinov2").store.features("train", heads=[POOLED])
    rows = pl.read_ndjson(inputs.root / "train.jsonl").with_columns(question=pl.lit("Another?"))
    rows.write_ndjson(inputs.root / "others.jsonl")
    lines: list[str] = []
    other = run("dinov2", name="other", train=inputs.root / "others.jsonl", test=None,
                reporting=Reporting(lines.append))  # fmt: skip
    np.testing.assert_array_equal(other.store.features("train", heads=[POOLED]), plain)
    assert any("cannot read questions: features do not depend on the 1 prompt" in x for x in lines)


def test_rows_that_are_not_one_image_are_skipped(run, inputs) -> None:
    inputs.rows("odd.jsonl", [
        {"image": "images/train0.png", "question": "What?", "label": "a"},
        {"question": "Is the sky blue?", "label": "b"},
        {"images": ["images/train0.png", "images/train1.png"], "question": "Which?", "label": "b"},
    ])  # fmt: skip
    skipped = run(test=inputs.root / "odd.jsonl").skipped
    reasons = {row: reason for _, row, reason in skipped}
    assert list(reasons) == ["odd:1", "odd:2"]
    assert "reads one image, and the prompt has no images" in reasons["odd:1"]
    assert "reads one image, and the prompt has 2 images" in reasons["odd:2"]


def test_a_pooler_that_the_checkpoint_lacks_is_refused_by_name_or_left_out(run) -> None:
    with pytest.raises(ModelError, match=r"2 weights.*pooler\.dense\.bias, pooler\.dense\.weight"):
        run("vit_without_pooler")
    store = run("vit_without_pooler", model_kwargs={"add_pooling_layer": False}).store
    assert store.heads == [PATCHES]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answers": "labels"}, "is an image encoder: it answers no question; drop `answers`"),
        ({"templates": "words.txt"}, "reads no text; drop `templates`"),
        ({"classes": "labels"}, "reads no text; drop `classes`"),
        ({"model_code": "mine.py"}, "drop `model_code`"),
        ({"prompt_template": "{prompt}"}, "drop `prompt_template`"),
        ({"max_pixels": 5000}, "has no pixel limits; drop `max_pixels`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_without_a_meaning_are_refused(run, inputs, monkeypatch, options, message) -> None:
    monkeypatch.chdir(inputs.root)
    (inputs.root / "words.txt").write_text("a {class}\n")
    (inputs.root / "mine.py").write_text("def to_inputs(processor, prompts): ...\n")
    with pytest.raises(ModelError, match=message):
        run(**options)


def test_tokens_that_are_no_patches_are_not_averaged(run, tmp_path) -> None:
    import transformers as hf  # YOLOS has tokens of objects after its patches
    from tiny_parts import SQUARE, WIDTHS, save

    config = hf.YolosConfig(**WIDTHS, image_size=[28, 28], patch_size=14, num_detection_tokens=3)
    save(tmp_path / "yolos", hf.YolosModel(config), hf.ViTImageProcessor(size=SQUARE))
    with pytest.raises(ModelError, match="8 tokens for 4 patches, and 1 before them"):
        run(model=str(tmp_path / "yolos"))


def test_a_store_goes_through_every_later_stage(run, inputs, tiny_model, tmp_path) -> None:
    store = run("radio").store  # its two outputs differ in width
    images = [inputs.root / f"images/test{i}.png" for i in range(5)]
    given = {"model": str(tiny_model("radio")), "dtype": "float32", "question": "What is it?"}
    for readout in ("vote", "lda", "logistic"):
        selection = select(store, readout=readout)
        predicted = evaluate(store, selection).predictions["prediction"].to_list()
        folder = save_selection(selection, tmp_path / readout)
        assert classify(folder, images, **given).predictions["prediction"].to_list() == predicted
        found = evaluate(store, selection, on="folds")
        assert found.predictions["prediction"].null_count() == 0
    one = select(store, heads=[PATCHES], readout="lda")  # a classifier runs its own output alone
    folder = save_selection(one, tmp_path / "one")
    found = classify(folder, images, **given).predictions["prediction"].to_list()
    assert found == evaluate(store, one).predictions["prediction"].to_list()
    assert run("radio").rows == 0  # nothing runs twice


def test_a_folder_of_photos_becomes_a_classifier(savs, inputs, tiny_model, tmp_path) -> None:
    photos = tmp_path / "photos"
    for label in "ab":
        for n in range(4):
            inputs.image(photos / label / f"{n}.png", 10 * (label == "b") + n)
    trained = train(photos, model=str(tiny_model("timm")), question="What?", out=tmp_path / "pets")
    assert trained.expected.metrics[0].units == 8
    assert "image encoder" in (why_not_standalone(trained.selection) or "")
    shown = savs("show", tmp_path / "pets")
    assert "L1.H0      mean of the patches after 3 other tokens\n" in shown.stdout
    bundle = savs("export", tmp_path / "pets", "--to", "classifier", "--out", "bundle")
    assert bundle.returncode == 0, bundle.stderr
    new = savs(
        "classify", "bundle", photos / "a", "--model", tiny_model("timm"), "--out", "new.csv"
    )
    assert new.returncode == 0, new.stderr
    assert len(pl.read_csv("new.csv")) == 4
    model = SavsClassifier(str(tiny_model("timm")), question="What?", dtype="float32")
    model.fit([photos / "a/0.png", photos / "b/0.png"], ["a", "b"])
    assert set(model.predict([photos / "a/1.png"])) <= {"a", "b"}


def test_check_model_tries_images_alone(tiny_model) -> None:
    found = check_model(str(tiny_model("timm")), batch_size=4, dtype="float32")
    assert (found.passed, found.batch_size) == (True, 4)
    assert found.facts["outputs"].startswith("L0.H0 pooled; L1.H0 mean of the patches after 3")
    assert "layers without heads" not in found.facts


def test_a_dry_run_shows_the_images_and_their_size(savs, inputs, tiny_model) -> None:
    inputs.few_shots()
    files = ("--train", inputs.root / "train.jsonl", "--model", tiny_model("dinov2"))
    ran = savs("extract", "general", *files, "--out", "s", "--dry-run", "--page", "page.html")
    assert ran.returncode == 0, ran.stderr
    assert "cannot read questions" in ran.stdout + ran.stderr


def test_options_of_images_reach_the_processor() -> None:
    image = Image.new("RGB", (4, 4))
    made = image_inputs(dict, [(image,)], {"size": 9})
    assert made == {"images": [image], "return_tensors": "pt", "size": 9}
    reader = SimpleNamespace(image_processor=dict)
    assert dual_inputs(reader, [(image,)], {"size": 9}, length=9, fixed=True) == made
    video = Video((image,), (0.0,), 1.0)
    with pytest.raises(ValueError, match="reads one image or one text, and no prompt of both"):
        dual_inputs(reader, [(video,)], length=9, fixed=True)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"image_size": 224, "patch_size": 14}, 16 * 16 + 1),
        ({"image_size": 224, "patch_size": [14, 14], "num_patches": 256}, 256),
        ({"image_size": [224, 224], "patch_size": 14}, IMAGE_TOKENS),
    ],
)
def test_positions_of_an_image_are_estimated_by_the_configuration(config, tokens) -> None:
    for whole in (
        SimpleNamespace(**config),
        SimpleNamespace(vision_config=SimpleNamespace(**config)),
    ):
        assert image_tokens(whole) == tokens
