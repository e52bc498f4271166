import numpy as np
import pytest
from text_stores import store_with_answers

from savs import evaluate, select
from savs.stores import ResultError

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


def test_the_mean_per_token_is_reported_beside(tmp_path):
    # means of row 0: -1, -0.75, -2; of row 1: -2, -2, -1
    store = store_with_answers(tmp_path, TOKENS, [[-2, -3, -4], [-4, -8, -2]], list("bc"))
    assert evaluate(store, "zero-shot").predictions["prediction"].to_list() == ["a", "c"]
    assert any(
        note.startswith("by the mean per token instead of the sum, 100.0 %")
        for note in evaluate(store, "zero-shot").notes
    )
    mean = evaluate(store, "zero-shot-mean")
    assert mean.predictions["prediction"].to_list() == ["b", "c"]
    assert (mean.readout, mean.metrics[0].value) == ("zero-shot-mean", 1)


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


@pytest.mark.parametrize(
    ("tokens", "values", "reason"),
    [
        ("ab", [[-1, np.nan]], r"of example 'test:0' is \[-1.0, nan\], expected a finite"),
        ("ab", [[-1, 0.5]], r"of example 'test:0' is \[-1.0, 0.5\], expected a finite"),
        ("abd", [[-1, -2, -3]], "output answers has no log-likelihood of label 'c'"),
        ("abc", [[-1, -2]], r"is \(1, 2\) float32, expected 3 columns"),
    ],
    ids=["NaN", "above 0", "label", "width"],
)
def test_answers_of_another_writer_are_refused_by_name(tmp_path, tokens, values, reason):
    store = store_with_answers(
        tmp_path,
        {label: [5, 2] for label in tokens},
        values,
        ["a"],
        train=["a", "b", "c"][: len(tokens)],
    )
    with pytest.raises(ResultError, match=reason):
        evaluate(store, "zero-shot")


def test_facts_of_another_writer_are_refused_by_name(tmp_path):
    store = store_with_answers(tmp_path, {"a": [5, 2], "b": 9}, [[-1, -2]], ["a"])
    with pytest.raises(ResultError, match="says 9 of label 'b', expected its tokens"):
        evaluate(store, "zero-shot")
