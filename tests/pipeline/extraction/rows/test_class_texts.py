"""`--classes` with a language model: each class is given before the questions, without an image."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from settled_ways import ways_tried_each_time as ways_tried_each_time
from tiny_models import HEADS, LAYERS

from savs import evaluate, select
from savs.datasets import Example, RowError, find_benchmark
from savs.pipeline.extraction.checks import decisions
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.continuation import Continuation
from savs.pipeline.extraction.rows.text_rows import PROMPTS, ClassWords, text_rows
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.targets.stored_answers import generated_texts
from savs.stores.format.layout import to_float32

pytestmark = pytest.mark.thorough


@pytest.fixture
def store_of(run):
    return lambda name="store", **options: run(name, dtype="float32", **options).store


def test_the_heads_are_those_of_the_text_alone(store_of, tiny_model) -> None:
    store = store_of(classes="labels")
    questions = ["What is it?", "What is it??", "What is it???"]
    rows = store.examples("classes")
    assert rows["prompt"].to_list() == [
        f"You are given an image of a {label}\n{question}"
        for question in questions
        for label in "ab"
    ]
    assert rows["media"].list.len().to_list() == [0] * 6
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    for row, prompt in enumerate(rows["prompt"]):
        read = model.read(model.inputs([(prompt,)]))
        alone = np.concatenate([to_float32(read.heads[n], "float32") for n in range(LAYERS)])
        stored = store.features("classes")[:, row]
        np.testing.assert_allclose(stored, alone[:, 0], rtol=1e-4, atol=1e-5)
    assert len(store.heads) == LAYERS * HEADS
    assert evaluate(store, select(store, heads=3, readout="hec-vt")).metrics[0].units == 5


def test_classes_are_given_before_the_questions_of_their_own_subtask(inputs, store_of) -> None:
    tasks = {"animal": ("Which animal?", "ab"), "colour": ("Which colour?", "cd")}
    rows = [
        {"question": question, "label": label, "subtask": task}
        for task, (question, labels) in tasks.items()
        for label in labels
    ]
    path = inputs.rows("rows.jsonl", rows)
    texts = store_of(train=path, test=path, classes="labels").examples("classes")
    assert texts.select("subtask", "label", "prompt").rows() == [
        (task, label, f"You are given an image of a {label}\n{question}")
        for task, (question, labels) in tasks.items()
        for label in labels
    ]


def test_a_store_without_classes_is_as_before_and_cannot_get_them(store_of) -> None:
    bare = store_of()
    assert list(bare.manifest.plan.splits) == ["train", "test"]
    told = store_of("told", classes="labels")
    np.testing.assert_array_equal(told.features("train"), bare.features("train"))


def test_texts_of_classes_are_asked_no_labels(store_of) -> None:
    store = store_of(classes="labels", answers="labels")
    assert np.isnan(store.output("classes", "answers")).all()
    assert np.isfinite(store.output("test", "answers")).all()


def test_nothing_is_generated_behind_texts_of_classes(store_of, monkeypatch) -> None:
    generated, prompts = Continuation.generated, []

    def counted(self, ends):
        prompts.append(len(self.mask))
        return generated(self, ends)

    monkeypatch.setattr(Continuation, "generated", counted)
    monkeypatch.setattr(decisions, "cache_ways", lambda *_, **__: [])
    store = store_of(classes="labels", answers="labels,generate")
    assert sum(prompts) == 6 + 5  # the training and the test examples, not the six texts
    assert generated_texts(store, "classes").to_list() == [""] * 6
    assert all(generated_texts(store, "test"))


def test_a_prompt_that_is_also_the_text_of_a_class_has_an_answer_of_its_own(
    inputs, store_of
) -> None:
    # of two prompts without image, the second is what class a is given before the first
    prompts = ["What?", "You are given an image of a a\nWhat?"]
    rows = [{"question": prompts[n > 1], "label": "ab"[n % 2]} for n in range(4)]
    path = inputs.rows("texts.jsonl", rows)
    store = store_of(train=path, test=path, classes="labels", answers="generate")
    texts = store.examples("classes")["prompt"].to_list()
    place = texts.index(prompts[1])
    assert generated_texts(store, "classes")[place] == ""
    assert generated_texts(store, "test")[2] != ""
    np.testing.assert_allclose(
        store.features("classes")[:, place], store.features("test")[:, 2], rtol=1e-4, atol=1e-5
    )


def test_names_replace_labels_and_training_examples(store_of, tmp_path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"a": "cat", "b": "dog"}))
    store = store_of(train=None, classes=names)
    prompts = store.examples("classes")["prompt"].to_list()
    assert prompts[:2] == [f"You are given an image of a {n}\nWhat is it?" for n in ("cat", "dog")]
    assert len(prompts) == 2 * 3 <= 2 * PROMPTS
    found = evaluate(store, select(store, readout="hec-t", heads=[(1, 2), (0, 0)]))
    assert found.predictions["prediction"].is_in(["a", "b"]).all()
    assert found.metrics[0].units == 5


def test_a_dual_encoder_has_the_texts_of_its_benchmark_and_captions_where_all_have_them() -> None:
    def captions(prompt: str) -> dict[str, str]:
        return {"A": f"first {prompt}", "B": "second"} if prompt.startswith("c") else {}

    def texts(train: str, test: str) -> list[str]:
        given = {"train": train, "test": test}
        examples = {
            split: [
                Example(f"{split}{n}", split, n, "AB"[n % 2], prompt, ("i.png",))
                for n, prompt in enumerate(prompts.split())
            ]
            for split, prompts in given.items()
        }
        rows = text_rows(encoder, benchmark, examples, ClassWords(), RunOptions())
        return [row.prompt for some in rows.values() for row in some]

    encoder: Any = SimpleNamespace(has_heads=True, reads_prompts=False, is_dual=True, name="e")
    blink = find_benchmark("blink")
    benchmark = replace(blink, captions=captions, templates=("my {class}",))
    assert texts("p q", "p") == ["A", "B", "my A", "my B"]
    assert texts("c1 c2", "c1") == ["first c1", "second", "first c2"]
    with pytest.raises(RowError, match="train example 'train1': its prompt has no caption, unlike"):
        texts("c1 p", "c1")
    with pytest.raises(RowError, match="test example 'test0': its prompt has a caption, unlike"):
        texts("p p", "c1")
