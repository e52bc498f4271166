"""What extraction keeps in addition to the heads: the model's own answers."""

import numpy as np
import pytest
import torch
from PIL import Image
from settled_ways import ways_tried_each_time as ways_tried_each_time

from savs.pipeline.extraction.checks import decisions
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import Answers, label_tokens
from savs.pipeline.extraction.model.continuation import Continuation, in_pieces
from savs.pipeline.running.progress import Reporting
from savs.pipeline.targets.stored_answers import generated_texts
from savs.stores import ResultError, StoreMismatchError


@pytest.mark.thorough
def test_answers_are_kept_and_leave_the_features_alone(run):
    plain = run("plain", dtype="float32")
    full = run("full", dtype="float32", answers="labels")
    np.testing.assert_allclose(
        plain.store.features("test"), full.store.features("test"), rtol=1e-4, atol=1e-5
    )
    tokens = full.store.manifest.identity.outputs["answers"]
    assert {label: len(own) for label, own in tokens.items()} == {"a": 2, "b": 2}
    values = full.store.output("test", "answers")
    assert (values.shape, values.dtype) == ((5, 2), np.float32)
    assert (values < 0).all()
    with pytest.raises(StoreMismatchError, match="`answers` labels"):
        run("full", dtype="float32")


@pytest.mark.thorough
@pytest.mark.parametrize("reuse", ["auto", pytest.param("off", marks=pytest.mark.thorough)])
def test_each_subtask_is_asked_its_own_labels(run, inputs, tiny_model, reuse):
    image = inputs.image("one.png", 1)
    found = [
        {"image": image, "question": q, "label": label, "subtask": task}
        for q in ("What?", "What is it, and why?")
        for task, labels in (("x", ("a", "b c")), ("y", ("d", "a")))
        for label in labels
    ]
    both = inputs.rows("rows.jsonl", found)
    done = run(train=both, test=both, reuse=reuse, answers="labels", dtype="float32")
    assert done.store.manifest.batching["answers"]["name"] == "cached"
    values, rows = done.store.output("test", "answers"), done.store.examples("test")
    assert list(done.store.manifest.identity.outputs["answers"]) == ["a", "b c", "d"]
    for row, task in zip(values, rows["subtask"], strict=True):
        assert np.isfinite(row).tolist() == ([True, True, False] if task == "x" else [1, 0, 1])
    same = rows["prompt"].to_numpy() == "What?"
    assert len(set(values[same, 0])) == 1  # label a of both subtasks after one prompt
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    picture = Image.open(inputs.root / image).convert("RGB")
    whole = Answers(label_tokens(model.encoder, ["a", "b c", "d"]), whole=True)
    for prompt in ("What?", "What is it, and why?"):
        read = model.read(model.inputs([(picture, prompt)]), whole.tried(1))
        mine = values[rows["prompt"].to_numpy() == prompt]
        expected = np.broadcast_to(read.outputs["answers"], mine.shape)
        known = np.isfinite(mine)
        np.testing.assert_allclose(mine[known], expected[known], rtol=1e-5)


@pytest.mark.thorough
def test_where_a_cache_changes_answers_whole_passes_are_run(run, monkeypatch):
    right = run("right", answers="labels", dtype="float32").store
    take = Continuation.take

    def others(self, rows):
        return take(self, [0] * len(rows))

    monkeypatch.setattr(Continuation, "take", others)
    said = []
    store = run(
        "whole", answers="labels", dtype="float32", reporting=Reporting(detail=said.append)
    ).store
    assert store.manifest.batching["answers"]["name"] == "whole"
    assert any(line.startswith("answers run with their whole prompts") for line in said)
    for split in ("train", "test"):
        ours, theirs = (s.output(split, "answers") for s in (store, right))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_whole_answers_take_a_pass_of_the_batch_for_each_label(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    answers = Answers(label_tokens(model.encoder, ["a", "b c"]), whole=True, cells=1)
    passes = []
    handle = model.model.register_forward_pre_hook(lambda *_: passes.append(1))
    model.read(model.inputs([("What?",)] * 3), answers.query([(0, 1)] * 3))
    handle.remove()
    assert len(passes) == 1 + 2  # the prompts, then each label


def test_what_is_asked_of_a_batch_by_hand():
    tokens = {"long": (1, 2, 3), "b": (4,), "c": (5,)}
    answers = Answers(tokens, {"s": (0, 1, 2)}, ends=(9,), cells=40)
    query = answers.query([(0, 1), (1, 2)])
    # labels of one token before that of three, each prompt's in their order
    assert query.pairs() == [(0, 1), (1, 1), (1, 2), (0, 0)]
    assert query.most_rows(7) == 4  # 40 cells for rows of 7 + 3 positions
    assert answers.query([(1,)]).most_rows(7) == 5
    assert answers.query([()]).most_rows(50) == 1
    for split in ("train", "test", "unlabelled", "classes"):
        assert answers.generates_for(split) is (split != "classes")
        assert answers.labels_for(split, "s") == ((0, 1, 2) if split != "classes" else ())
    assert [bool(one) for one in (Answers(), Answers(ends=(9,)), Answers(tokens))] == [0, 1, 1]


def test_labels_that_the_memory_does_not_hold_run_in_pieces():
    tried = []

    def run(part):
        tried.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("no room")
        return torch.tensor([float(row + label) for row, label in part])

    pairs = [(row, label) for row in range(3) for label in range(2)]
    done = in_pieces(pairs, 5, run)
    assert [pair for part, _ in done for pair in part] == pairs
    assert [float(v) for _, values in done for v in values] == [sum(pair) for pair in pairs]
    assert tried == [5, 2, 2, 2]


@pytest.mark.thorough
def test_an_answer_that_is_not_finite_skips_the_row(run, monkeypatch):
    sums = Continuation._label_sums
    monkeypatch.setattr(Continuation, "_label_sums", lambda *given: sums(*given) * torch.nan)
    monkeypatch.setattr(decisions, "cache_ways", lambda *_, **__: [])
    done = run(answers="labels", dtype="float32")
    assert len(done.skipped) == 11
    assert "the log-likelihood of a label is NaN or infinite in float32" in done.skipped[0][2]


@pytest.mark.thorough
def test_what_is_generated_is_what_transformers_generates(run, inputs, tiny_model):
    store = run(answers="labels,generate", dtype="float32", reuse="off").store
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    ends = store.manifest.identity.outputs["generated"]["ends"]
    texts = generated_texts(store, "test")
    for row in range(5):
        image = Image.open(inputs.root / f"images/test{row}.png").convert("RGB")
        given = model.inputs([(image, f"What is it{'?' * (row % 3 + 1)}")])
        out = model.model.generate(
            **given, do_sample=False, max_new_tokens=16, eos_token_id=ends, pad_token_id=0
        )
        tokens = out[0, given["input_ids"].shape[1] :]
        tokenizer = model.encoder.tokenizer
        assert texts[row] == tokenizer.decode(tokens, skip_special_tokens=True)
    assert len(set(texts)) > 1
    assert model._decode(tokenizer.encode("a<|im_end|> b .")) == "a b ."  # no control token


@pytest.mark.thorough
def test_a_store_without_answers_says_how_to_get_them(run):
    with pytest.raises(
        ResultError, match="has no output 'answers'; extract again with --answers labels"
    ):
        run().store.output("test", "answers")
