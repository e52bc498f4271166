"""In-context learning: demonstrations that run once give what whole conversations give."""

import json
import shutil

import numpy as np
import pytest
from oracle import likelihood
from PIL import Image

from savs import evaluate
from savs.datasets import RowError
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line import in_context
from savs.pipeline.running.progress import Reporting
from savs.stores import ResultError

FAMILIES = ("llava", "lfm2_vl", "qwen3_5", "mistral3", "idefics3")


def turns_of(root, rows):
    """Return rows as chat turns with their images, answers included where they are known."""
    turns = []
    for row in rows:
        picture = Image.open(root / row["image"]).convert("RGB")
        content = [{"type": "image", "image": picture}, {"type": "text", "text": row["question"]}]
        turns.append({"role": "user", "content": content})
        if "answer" in row:
            answer = [{"type": "text", "text": row["answer"]}]
            turns.append({"role": "assistant", "content": answer})
    return turns


@pytest.mark.parametrize(
    ("family", "reuse"),
    [
        ("qwen2_vl", "off"),
        *(pytest.param(f, "off", marks=pytest.mark.costly) for f in FAMILIES),
        pytest.param("qwen2_vl", "auto", marks=pytest.mark.thorough),
    ],
)
def test_answers_are_those_of_whole_conversations(run, inputs, tiny_model, family, reuse):
    train, test = inputs.few_shots(test=3)
    shown = {
        f"train:{n}": json.loads(line) for n, line in enumerate(train.read_text().splitlines())
    }
    asked = [json.loads(line) for line in test.read_text().splitlines()]
    if reuse == "auto":  # two questions about each image, so that it is shared
        asked += [row | {"question": "Why?"} for row in asked]
        test = inputs.rows("test.jsonl", asked)
    said = []
    store = run(
        model=str(tiny_model(family)),
        test=test,
        dtype="float32",
        answers="labels",
        icl_shots=2,
        batch_size=4,
        reuse=reuse,
        reporting=Reporting(said.append),
    ).store
    assert any(line.startswith("in-context learning: 4 demonstrations have") for line in said)
    facts = store.manifest.identity.outputs
    ((_, names),) = facts["icl"]["demonstrations"]
    drawn = [shown[name] | {"answer": shown[name]["label"]} for name in names]
    assert sorted(row["label"] for row in drawn) == ["a", "a", "b", "b"]
    model = load_model(str(tiny_model(family)), dtype="float32")
    values = store.output("test", "icl")
    for row, mine in zip(asked, values, strict=True):
        whole = model.encoder.processor.apply_chat_template(
            turns_of(inputs.root, [*drawn, row]),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        expected = [likelihood(model.model, whole, own) for own in facts["answers"].values()]
        np.testing.assert_allclose(mine, expected, rtol=1e-4)
    assert np.isnan(store.output("train", "icl")).all()  # they would see their own answers
    assert np.abs(values - store.output("test", "answers")).max() > 1e-3


@pytest.mark.thorough
def test_its_readout_takes_the_answers_behind_demonstrations(run):
    store = run(answers="labels", icl_shots=1, dtype="float32").store
    result = evaluate(store, "icl")
    best = store.output("test", "icl").argmax(axis=1)
    assert result.predictions["prediction"].to_list() == ["ab"[place] for place in best]
    assert result.readout == "icl"


@pytest.mark.thorough
def test_a_store_without_them_says_how_to_get_them(run):
    store = run(answers="labels").store
    with pytest.raises(ResultError, match="extract again with --answers labels,icl:N"):
        evaluate(store, "icl")


@pytest.mark.thorough
def test_each_subtask_has_its_own_demonstrations(run, inputs):
    image = inputs.image("one.png", 1)
    found = [
        {"image": image, "question": q, "label": label, "subtask": task}
        for q in ("What?", "Why?", "How?")
        for task, labels in (("x", "ab"), ("y", "cd"))
        for label in labels
    ]
    both = inputs.rows("rows.jsonl", found)
    store = run(train=both, test=both, answers="labels", icl_shots=2, dtype="float32").store
    names = dict(store.manifest.identity.outputs["icl"]["demonstrations"])
    for task, labels in (("x", "ab"), ("y", "cd")):
        rows = [found[int(name.split(":")[1])] for name in names[task]]
        assert sorted(row["label"] for row in rows) == sorted(labels * 2)
    values = store.output("test", "icl")
    own = np.isfinite(values)
    subtasks = store.examples("test")["subtask"].to_list()
    assert own.tolist() == [[t == "x"] * 2 + [t == "y"] * 2 for t in subtasks]


def test_a_class_with_too_few_examples_is_told(run):
    with pytest.raises(RowError, match="class 'a' has 3 examples, `icl_shots` asks for 4; give 3"):
        run(answers="labels", icl_shots=4)


@pytest.mark.thorough
@pytest.mark.parametrize(("of_tokenizer", "of_model"), [(150, 2048), (2048, 150)])
def test_demonstrations_that_do_not_fit_say_how_many_would(
    run, tiny_model, tmp_path, of_tokenizer, of_model
):
    folder = shutil.copytree(tiny_model("qwen2_vl"), tmp_path / "model")
    tokenizer, config = (folder / name for name in ("tokenizer_config.json", "config.json"))
    settings = json.loads(tokenizer.read_text()) | {"model_max_length": of_tokenizer}
    tokenizer.write_text(json.dumps(settings))
    settings = json.loads(config.read_text())
    settings["text_config"]["max_position_embeddings"] = of_model
    config.write_text(json.dumps(settings))
    with pytest.raises(
        ModelError,
        match=r"6 demonstrations have \d+ tokens.* holds 150, about \d demonstrations: give"
        r" `icl_shots` [12] at most for 2 cl",
    ):
        run(answers="labels", icl_shots=3, model=str(folder))


@pytest.mark.thorough
def test_a_model_whose_images_see_each_other_in_the_first_pass_alone_is_refused(run, tiny_model):
    with pytest.raises(ModelError, match="in float32, more than rounding; leave out `icl_shots`"):
        run(model=str(tiny_model("gemma3")), answers="labels", icl_shots=1, dtype="float32")


@pytest.mark.thorough
def test_a_model_of_one_image_is_refused(run, tiny_model):
    with pytest.raises(ModelError, match=r"takes no conversation .* leave out `icl_shots`"):
        run(model=str(tiny_model("blip-2")), answers="labels", icl_shots=1, dtype="float32")


@pytest.mark.thorough
def test_a_model_that_answers_otherwise_after_them_is_refused(run, monkeypatch):
    answer = in_context.Demonstrations.answer
    monkeypatch.setattr(in_context.Demonstrations, "answer", lambda *given: 1.5 * answer(*given))
    with pytest.raises(ModelError, match="in float32, more than rounding; leave out `icl_shots`"):
        run(answers="labels", icl_shots=1, dtype="float32")


@pytest.mark.thorough
def test_a_template_that_begins_otherwise_with_every_turn_is_refused(run, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("qwen2_vl"), tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text("{{ messages | length }}" + template.read_text())
    with pytest.raises(ModelError, match="writes a question after demonstrations otherwise than"):
        run(answers="labels", icl_shots=1, model=str(folder), dtype="float32")
