"""The model's own answers: likeliest labels, and generated texts that are matched with labels."""

from dataclasses import replace

import numpy as np
import pytest
from text_stores import store_with_answers

from savs import compare, evaluate, open_store, select
from savs.pipeline.errors import ComparisonError, SelectionError
from savs.pipeline.extraction.model.answers import as_code_points
from savs.pipeline.targets.stored_answers import generated_texts
from savs.stores import LayerGrid, ResultError
from stores import identity, write_store

TOKENS = {"a": [7, 2], "b": [9, 8, 8, 2], "c": [4, 2]}
"""Labels of two, four and two tokens."""


def test_the_likeliest_label_is_the_answer_and_ties_go_to_the_first_class(tmp_path):
    sums = [[-2, -3, -4], [-9, -8, -4], [-1, -1, -4], [-3, -3, -2]]
    result = evaluate(store_with_answers(tmp_path, TOKENS, sums, list("acbb")), "zero-shot")
    assert result.predictions["prediction"].to_list() == ["a", "c", "a", "c"]
    assert result.metrics[0].value == 0.5
    assert result.readout == "zero-shot"
    # softmax of (-2, -3, -4) is that of (2, 1, 0): e^2 / (e^2 + e + 1) = .6652, next .2447
    assert result.predictions["margin"][0] == pytest.approx(0.6652 - 0.2447, abs=1e-4)


def test_the_mean_per_token_is_reported_with_the_sum(tmp_path):
    # means of row 0: -1, -0.75, -2; of row 1: -2, -2, -1
    store = store_with_answers(tmp_path, TOKENS, [[-2, -3, -4], [-4, -8, -2]], list("bc"))
    result = evaluate(store, "zero-shot")
    assert result.predictions["prediction"].to_list() == ["a", "c"]
    assert "by the mean per token instead of the sum, 100.0 %" in result.notes[0]
    mean = evaluate(store, "zero-shot-mean")
    assert mean.predictions["prediction"].to_list() == ["b", "c"]
    assert (mean.readout, mean.metrics[0].value) == ("zero-shot-mean", 1)


def test_answers_that_are_not_extracted_yet_are_counted(tmp_path):
    sums = [[-1, -2, -3]] * 6
    store = store_with_answers(tmp_path, TOKENS, sums, list("abcabc"), shard_rows=4)
    last = sorted(tmp_path.glob("test-*.h5"))[-1]
    last.unlink()
    result = evaluate(open_store(store.path, partial=True), "zero-shot")
    assert result.predictions["prediction"].to_list() == ["a"] * 4
    assert f"partial: 2 of 6 test examples are not extracted yet ({last.name})" in result.notes


def test_a_label_can_lose_to_one_that_it_begins(tmp_path):
    tokens = {"grass": [5, 2], "grassland": [5, 6, 2]}
    store = store_with_answers(tmp_path, tokens, [[-3, -2]], ["grassland"])
    assert evaluate(store, "zero-shot").metrics[0].value == 1


def test_labels_are_told_apart_at_random_on_noise(tmp_path):
    rng = np.random.default_rng(0)
    noise, labels = -rng.exponential(5, (600, 3)), rng.choice(list("abc"), 600)
    store = store_with_answers(tmp_path, TOKENS, noise, labels.tolist())
    metric = evaluate(store, "zero-shot").metrics[0]
    assert metric.low < 1 / 3 < metric.high


def test_its_predictions_have_the_form_of_any_other(tmp_path):
    two = {"a": [1, 2], "b": [3, 2]}
    store = store_with_answers(tmp_path, two, [[-1, -2], [-2, -1]], ["a", "a"])
    ours, theirs = evaluate(store, "zero-shot"), evaluate(store, select(store, heads=1))
    assert ours.predictions.schema == theirs.predictions.schema
    assert ours.to_json()["heads"] == 0


ODD = {
    "NaN": ("ab", [[-1, np.nan]], r"of example 'test:0' is \[-1.0, nan\], expected a finite"),
    "above 0": ("ab", [[-1, 0.5]], r"of example 'test:0' is \[-1.0, 0.5\], expected a finite"),
    "label": ("abd", [[-1, -2, -3]], "output answers has no log-likelihood of label 'c'"),
    "width": ("abc", [[-1, -2]], r"is \(1, 2\) float32, expected 3 columns"),
}


@pytest.mark.parametrize(("labels", "values", "reason"), ODD.values(), ids=ODD)
def test_answers_of_another_writer_are_refused_by_name(tmp_path, labels, values, reason):
    tokens, train = {label: [5, 2] for label in labels}, list("abc")[: len(labels)]
    store = store_with_answers(tmp_path, tokens, values, ["a"], train=train)
    with pytest.raises(ResultError, match=reason):
        evaluate(store, "zero-shot")


def test_facts_of_another_writer_are_refused_by_name(tmp_path):
    store = store_with_answers(tmp_path, {"a": [5, 2], "b": 9}, [[-1, -2]], ["a"])
    with pytest.raises(ResultError, match="says 9 of label 'b', expected its tokens"):
        evaluate(store, "zero-shot")


def store_with_texts(folder, texts, labels, train=("Red fox", "dog"), values=None, subtasks=None):
    """Write a one-head store whose test rows have the given generated texts.

    `subtasks` has the subtask of each label, if there are some.
    """
    outputs = {"generated": {"tokens": 16, "ends": [2]}}
    what = replace(identity(grid=(LayerGrid(0, (0,), 2),)), outputs=outputs)
    rows = {
        split: [{"label": label, "subtask": (subtasks or {}).get(label)} for label in own]
        for split, own in (("train", train), ("test", labels))
    }
    features = {split: {0: np.ones((1, len(own), 2), np.float32)} for split, own in rows.items()}
    kept = {}
    for split, own in rows.items():
        codes = as_code_points(texts if split == "test" else [""] * len(own))
        if values is not None:
            codes = np.full((len(own), *values.shape), values)
        kept[split] = {"generated": codes}
    return write_store(folder, what, features, rows, outputs=kept)


def test_a_text_is_the_label_that_it_equals_but_for_white_space_and_case(tmp_path):
    texts = [" red  FOX\n", "Dog", "a dog", ""]
    store = store_with_texts(tmp_path, texts, ["Red fox", "Red fox", "dog", "dog"])
    result = evaluate(store, "generated")
    assert result.predictions["prediction"].to_list() == ["Red fox", "dog", "a dog", ""]
    assert result.predictions["correct"].to_list() == [True, False, False, False]
    assert (result.readout, result.metrics[0].value, result.skipped) == ("generated", 0.25, 0)
    assert "2 generated texts are none of the labels; they count as wrong" in result.notes


def test_without_labels_no_text_is_right_or_wrong(tmp_path):
    result = evaluate(store_with_texts(tmp_path, ["dog", "a dog"], [None, None]), "generated")
    assert result.predictions["prediction"].to_list() == ["dog", "a dog"]
    assert result.predictions["correct"].to_list() == [None, None]
    assert "1 generated texts are none of the labels" in result.notes
    with pytest.raises(ComparisonError, match="no method to compare:\n  vote is left out"):
        compare([tmp_path])  # no answer is measured by training examples


def test_other_texts_are_counted_over_all_subtasks(tmp_path):
    subtasks = {"cat": "animal", "dog": "animal", "red": "colour", "blue": "colour"}
    texts, labels = ["a cat", "dog", "blue", "green"], ["cat", "dog", "blue", "red"]
    store = store_with_texts(tmp_path, texts, labels, train=subtasks, subtasks=subtasks)
    notes = evaluate(store, "generated").notes
    assert "2 generated texts are none of the labels; they count as wrong" in notes


def test_any_text_comes_back_as_it_was_up_to_its_limit(tmp_path):
    texts = ['Grüße, 猫 \U0001f408 {"a": 1}', "x" * 200, "line\nbreak "]
    store = store_with_texts(tmp_path, texts, ["dog"] * 3)
    found = generated_texts(store, "test").to_list()
    assert found == [texts[0], "x" * 128, texts[2]]


def test_labels_that_no_text_tells_apart_are_refused(tmp_path):
    store = store_with_texts(tmp_path, ["yes"], ["yes"], train=("yes", "Yes "))
    with pytest.raises(
        SelectionError, match="'yes' and 'Yes ' differ in white space or case alone"
    ):
        evaluate(store, "generated")


@pytest.mark.parametrize(
    "values",
    [np.full(128, 0x7FFFFFFF, np.int32), np.zeros(5, np.int32), np.zeros(128, np.float32)],
    ids=["no characters", "width", "type"],
)
def test_what_is_no_text_is_refused(tmp_path, values):
    store = store_with_texts(tmp_path, ["x"], ["dog"], values=values)
    with pytest.raises(ResultError, match="output generated holds no texts"):
        evaluate(store, "generated")


def test_what_the_store_does_not_keep_is_said(tmp_path):
    store = store_with_texts(tmp_path, ["x"], ["dog"])
    with pytest.raises(ResultError, match="no output 'answers'; extract again with --answers lab"):
        evaluate(store, "zero-shot")
    with pytest.raises(SelectionError, match="no-such"):
        evaluate(store, "no-such")
