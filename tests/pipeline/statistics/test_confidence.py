"""Expected calibration error and accuracy by coverage, by hand."""

import numpy as np
import polars as pl
import pytest

from savs.pipeline.statistics.confidence import (
    accuracy_by_coverage,
    calibration_error,
    label_confidence,
    measure_confidence,
    reliability,
)
from savs.pipeline.statistics.intervals import wilson_interval

P = np.array([0.55, 0.60, 0.60, 0.95, 0.85, 1.0], np.float32)
RIGHT = np.array([1, 0, 1, 1, 0, 1])


def test_bins_are_open_below_and_closed_above():
    found = [(b.low, b.high, b.examples) for b in reliability(P, RIGHT)]
    assert found == [(0.5, 0.6, 3), (0.8, 0.9, 1), (0.9, 1.0, 2)]
    assert [b.examples for b in reliability(np.array([0.0, 0.1]), RIGHT[:2])] == [2]


def test_the_error_is_the_mean_gap():
    # bins: mean p .5833 right 2/3; .85 right 0; .975 right 1
    expected = (3 * (2 / 3 - 0.58333) + 1 * 0.85 + 2 * 0.025) / 6
    assert calibration_error(reliability(P, RIGHT)) == pytest.approx(expected, abs=1e-4)


def test_probabilities_that_are_true_have_no_error_but_chance():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.3, 1, 50_000)
    right = rng.random(50_000) < p
    assert calibration_error(reliability(p, right)) < 0.01
    assert calibration_error(reliability(np.sqrt(p), right)) > 0.1


def test_coverage_answers_the_likeliest():
    found = {a.coverage: a for a in accuracy_by_coverage(P, RIGHT)}
    # 60 % of 6 is 4 when rounded up: 1.0, .95, .85 and one of the two .60, of which half is right
    assert found[0.6].accuracy == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found[0.6].threshold == pytest.approx(0.6)
    assert found[0.1].accuracy == 1
    assert found[1.0].accuracy == pytest.approx(4 / 6)


def test_equal_probabilities_give_the_same_accuracy_everywhere():
    found = accuracy_by_coverage(np.full(10, 0.5), np.arange(10) % 2)
    assert {round(a.accuracy, 9) for a in found} == {0.5}


def test_sets_of_many_labels_are_counted_over_the_examples_that_have_a_label():
    # the first label is in both sets, the second in none; of the third example nothing is known
    states = np.array([[1, 0, -1], [0, 1, -1]])
    inside = np.array([[True, True, True], [False, False, True]])
    logit = np.log(17 / 3)  # p .85, and .15 of its negative
    logits = np.float32([[logit, -logit, 9], [-logit, logit, 9]])
    (found,) = label_confidence(
        logits,
        states,
        is_calibrated=True,
        risk=0.5,
        inside=inside,
        cluster=pl.Series(list("xyz")),
    )
    assert found.examples == 4
    assert found.risk.outside.value == 1 / 2
    assert found.risk.classes == 1
    bins = [(b.low, b.examples, b.accuracy) for b in found.reliability]
    assert bins == [(0.1, 2, 0.0), (0.8, 2, 1.0)]
    assert found.calibration_error == pytest.approx(0.15)
    assert found.temperatures == {}


def test_the_ends_of_shares_are_those_of_independent_examples():
    table = pl.DataFrame(
        {
            "subtask": "s",
            "probability": [0.9, 0.8, 0.7, 0.6],
            "correct": [True, False, True, True],
            "label": list("abab"),
            "prediction_set": [["a"], ["a"], ["a", "b"], ["b"]],
            "unsure": [False, False, True, False],
            "atypical": [True, False, False, None],
            "cluster": list("wxyz"),
        }
    )
    (found,) = measure_confidence(table.lazy(), {"s": 2.0}, 0.1)
    report, odd = found.risk, found.atypical
    # one of four lacks its class, three are answered, one of these is wrong; sets have 5 classes
    for share, right, n in (
        (report.outside, 1, 4),
        (report.answered, 3, 4),
        (report.wrong, 1, 3),
        (odd.share, 1, 3),
        (odd.right, 1, 1),
    ):
        expected = (right / n, *wilson_interval(right / n, n))
        assert (share.value, share.low, share.high) == pytest.approx(expected)
    assert report.classes == 5 / 4
    assert (found.examples, found.temperatures) == (4, {"s": 2.0})
