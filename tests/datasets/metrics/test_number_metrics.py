"""Metrics of numbers: equal to scikit-learn's and scipy's; units are slopes in weights."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import (
    cohen_kappa_score,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from savs.datasets.label_texts import number_text, parse_number
from savs.datasets.metrics.numbers import NumberPredictions, kappa_units, number_metrics
from savs.pipeline.statistics.intervals import summarise

LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0)
"""Of training examples: nine is in no test example."""


def drawn(seed, n=40):
    """Numbers on six levels with predictions of quarters: both have ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 7, n).astype(float)
    value = np.round(2 * (truth + rng.normal(size=n) * (0.3 + seed))) / 4
    return truth, value, np.clip(np.rint(value), 1, 5)


def theirs(truth, value, level):
    return {
        "MAE": mean_absolute_error(truth, value),
        "RMSE": root_mean_squared_error(truth, value),
        "R2": r2_score(truth, value),
        "Spearman's rho": spearmanr(truth, value).statistic,
        "Kendall's tau-b": kendalltau(truth, value).statistic,
        "quadratic kappa": cohen_kappa_score(truth, level, labels=LEVELS, weights="quadratic"),
    }


def ours(truth, value, level, inside=None):
    cluster = pl.Series(range(len(truth))).cast(pl.String)
    levels = () if level is None else LEVELS
    made = NumberPredictions(truth, value, level, levels, inside)
    return number_metrics(made, cluster, mean=3.0, median=2.0, coverage=0.95)


@pytest.mark.parametrize("seed", range(6))
def test_means_are_those_of_scikit_learn_and_scipy(seed):
    made = drawn(seed)
    found = {units.name: units.scores["score"].mean() for units in ours(*made)}
    assert found == pytest.approx(theirs(*made), abs=1e-12)


@pytest.mark.parametrize(
    ("last", "levels", "expected"),
    [
        (5, (1, 2, 3, 4, 5), 0.942),
        (5, (1, 2), 0.75),  # five is of the test examples alone
        (10, (1, 2, 10), 0.75),  # places: ten is one further than two
        (10, (1, 2, 5, 9, 10), 0.942),
    ],
)
def test_kappa_counts_places_of_all_levels(last, levels, expected):
    # Ten each of 1, 2 and the last; five of the 1s are taken for 2, five of the 2s for 1, so that
    # the mean squared distance is 1/3. By chance it is 2/9 (1 + 9 + 16) of the places 0, 1, 4, and
    # 2/9 (1 + 1 + 4) of 0, 1, 2: kappa is 1 - 3/52, or 1 - 1/4.
    truth = np.repeat([1.0, 2.0, last], 10)
    level = np.concatenate([[1] * 5, [2] * 5, [2] * 5, [1] * 5, [last] * 10])
    found = kappa_units(truth, level, levels).mean()
    labels = sorted({*truth, *levels})
    theirs = cohen_kappa_score(truth, level, labels=labels, weights="quadratic")
    assert found == pytest.approx(theirs, abs=1e-12)
    assert found == pytest.approx(expected, abs=5e-4)


def test_each_value_is_the_slope_in_the_weight_of_its_example():
    # a weight of k is the example k times: (T(k + 1 times) - T) (n + 1) goes to n dT/dw for many
    truth, value, level = drawn(1, n=25)
    often = 400
    many = [np.repeat(one, often) for one in (truth, value, level)]
    base, found = theirs(*many), {u.name: u.scores["score"].to_numpy() for u in ours(*drawn(1, 25))}
    for place in (0, 7, 24):
        more = theirs(*(np.append(one, one[place * often]) for one in many))
        for name, values in found.items():
            slope = (more[name] - base[name]) * (len(many[0]) + 1)
            assert values[place] - base[name] == pytest.approx(slope, abs=0.02), name


def test_chance_is_that_of_the_training_numbers():
    truth = np.array([1.0, 2, 6])
    found = {units.name: units for units in ours(truth, truth + 1, None, truth > 1)}
    # median 2: errors 1 0 4; mean 3: squares 4 1 9, of which R2 takes 14/3 by the variance 14/3
    assert found["MAE"].chance == pytest.approx(5 / 3)
    assert found["RMSE"].chance == pytest.approx(np.sqrt(14 / 3))
    assert found["R2"].chance == pytest.approx(0)
    assert found["interval coverage"].chance == 0.95
    assert list(found) == ["MAE", "RMSE", "R2", "Spearman's rho", "interval coverage"]


@pytest.mark.parametrize(
    ("truth", "value", "left"),
    [([2.0, 2], [1.0, 3], ["MAE", "RMSE"]), ([1.0, 3], [2.0, 2], ["MAE", "RMSE", "R2"])],
)
def test_a_metric_without_a_value_is_left_out_with_a_note(truth, value, left):
    found = ours(np.array(truth), np.array(value), np.array(value))
    assert [units.name for units in found] == left
    assert "are equal" in found[0].notes[0]


def test_intervals_keep_to_the_bounds_of_their_scale():
    truth, value, level = drawn(2, n=12)
    bounds = {"error": (0, np.inf), "fit": (-np.inf, 1), "correlation": (-1, 1)}
    for units in ours(truth, value, level):
        metric = summarise(units)
        least, most = bounds[metric.scale]
        assert metric.low is not None and metric.high is not None  # noqa: PT018
        assert least < metric.low < metric.value < metric.high < most
    exact = {units.name: summarise(units) for units in ours(truth, truth, truth)}
    assert {(metric.low, metric.high) for metric in exact.values()} == {(None, None)}


@pytest.mark.parametrize("cell", ["NaN", "inf", "many", "1_000", "1,5", True, [1], 1e300, 10**400])
def test_a_cell_that_is_no_number_is_refused(cell):
    with pytest.raises(ValueError, match="expected a finite number"):
        parse_number(cell)


@pytest.mark.parametrize("cell", ["0.1", " 3 ", 7, -0.0, 1e-300, 2**60 + 1.0])
def test_the_text_of_a_number_makes_the_same_number(cell):
    assert float(number_text(parse_number(cell))) == float(cell)
    assert "-0" not in number_text(parse_number(-0.0))
