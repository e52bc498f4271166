import math
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from oracle import predictions_of, value
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from savs.datasets import Example, Units
from savs.datasets.benchmarks.general import measure_positive
from savs.datasets.metrics.metrics import mean_metric
from savs.datasets.metrics.ranking import (
    RANKED,
    average_precision_units,
    equal_error_rate,
    equal_error_units,
    expected_precision,
    false_positive_units,
    ranking_metrics,
    roc_auc_units,
)
from savs.pipeline.statistics.intervals import estimate, summarise

CLASSES = {None: ["Yes", "No"]}
PAIRS = [(roc_auc_units, roc_auc_score), (average_precision_units, average_precision_score)]
IDS = ["ROC-AUC", "average precision"]


def drawn(seed, n=40, levels=12):
    """Scores with ties, about a third positive, both classes there."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    positive[:2] = True, False
    return rng.integers(0, levels, n) + 3.0 * positive, positive


def yes_no(labels):
    return [
        Example(id=str(i), split="test", index=i, label=label, prompt="?")
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize(("units", "theirs"), PAIRS, ids=IDS)
@pytest.mark.parametrize("seed", range(8))
def test_the_mean_is_scikit_learns_value(units, theirs, seed):
    scores, positive = drawn(seed, levels=3 + 4 * seed)
    assert units(scores, positive).mean() == pytest.approx(theirs(positive, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_equal_error_rate_is_that_of_the_roc_curve(seed):
    scores, positive = drawn(seed, levels=400)
    passed, hit, _ = roc_curve(positive, scores, drop_intermediate=False)
    best = np.abs(1 - hit - passed)[::-1].argmin()  # the lowest threshold of several
    expected = ((1 - hit + passed) / 2)[::-1][best]
    assert equal_error_units(scores, positive).mean() == pytest.approx(expected, abs=1e-12)


def test_an_equal_error_rate_with_skipped_examples_has_finite_units():
    # At the threshold 2 two of four positive examples are below, three of four negative ones not.
    # The finite scores of both classes are equal, and so are their densities there: each share
    # counts a half, and a unit is 5/8 + 8 / 2 / 4 (its own share less that of its class).
    scores = np.array([2, 4, 0, -np.inf, 2, 0, 4, np.inf])
    units = equal_error_units(scores, np.arange(8) < 4)
    expected = [0.125, 0.125, 1.125, 1.125, 0.875, -0.125, 0.875, 0.875]
    assert units.tolist() == pytest.approx(expected, abs=1e-12)
    skipped = equal_error_units(np.array([-np.inf, -np.inf, np.inf]), np.arange(3) < 2)
    assert skipped.tolist() == [1, 1, 1]


def test_classes_share_an_equal_error_rate_by_their_gaussian_densities():
    above, below = np.array([0.0, 2, 3, 4, 9]), np.array([-3.0, -2, -1, 1, 2.5])
    units = equal_error_units(np.concatenate([above, below]), np.arange(10) < 5)
    # at the threshold 2, one of five is below, and one of five not
    dense, other = (
        stats.norm.pdf(some, 2, 1.06 * some.std() * 5**-0.2).mean() for some in (above, below)
    )
    weight = other / (dense + other)
    assert units[0] - units[1] == pytest.approx(10 * weight / 5)
    assert units[9] - units[5] == pytest.approx(10 * (1 - weight) / 5)


@pytest.mark.parametrize("rate_units", [equal_error_units, false_positive_units])
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_the_standard_error_of_an_error_rate_is_that_of_new_samples(spread, rate_units):
    # With unequal spreads the densities at the threshold differ; a threshold that is taken as given
    # would be off by up to a factor of 1.4 here, and of 4 for the false positive rate.
    rng = np.random.default_rng(0)
    positive = np.arange(2_000) < 300
    rates, errors = [], []
    for _ in range(300):
        scores = np.where(positive, rng.normal(2, spread, 2_000), rng.normal(0, 1, 2_000))
        units = rate_units(scores, positive)
        rates.append(units.mean())
        errors.append(units.std() / np.sqrt(len(units)))
    assert np.mean(errors) == pytest.approx(np.std(rates), rel=0.12)


@pytest.mark.thorough
@pytest.mark.parametrize(("units", "theirs"), PAIRS, ids=IDS)
def test_each_value_is_the_slope_in_the_weight_of_its_example(units, theirs):
    scores, positive = drawn(5)
    step, n = 1e-6, len(scores)
    slopes = []
    for place in range(n):
        nudge = step * (np.arange(n) == place)
        up, down = (theirs(positive, scores, sample_weight=1 + sign * nudge) for sign in (1, -1))
        slopes.append((up - down) / (2 * step))
    expected = theirs(positive, scores) + n * np.array(slopes)
    assert units(scores, positive) == pytest.approx(expected, abs=1e-6)


def test_values_worked_out_by_hand():
    # Ranking: + - + -. Pairs won: 2 of the first +, 1 of the second: 3 of 4. Placements: + 1, 1/2;
    # - (share of + above) 1/2, 1. n / class size = 2, so 3/4 + 2 (placement - 3/4).
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    positive = np.array([True, False, True, False])
    assert roc_auc_units(scores, positive).tolist() == [1.25, 0.25, 0.25, 1.25]
    # Precision at the positives: 1/1 and 2/3, mean 5/6. The first -, between them, takes
    # 2/9 / 2 from it, times n = 4: 5/6 - 4/9. The last - changes nothing: 5/6.
    found = average_precision_units(scores, positive)
    assert found[[1, 3]] == pytest.approx([5 / 6 - 4 / 9, 5 / 6])
    # First +: (1 - 5/6) for itself, + (1/1 - 1/1) + (1/3 - 2/9), over 2; second: (2/3 - 5/6) + 1/9.
    assert found[[0, 2]] == pytest.approx(
        [5 / 6 + 4 * (1 / 6 + 1 / 9) / 2, 5 / 6 + 4 * (-1 / 6 + 1 / 9) / 2]
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_false_positive_rate_is_that_of_scikit_learns_curve(seed):
    scores, positive = drawn(seed, n=30 + 10 * seed, levels=3 + 30 * seed)
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    values = false_positive_units(scores, positive)
    assert values.mean() == pytest.approx(false[true >= 0.95 - 1e-9][0], abs=1e-12)
    # both sides vary about the rate by themselves, so that neither's share of examples moves it
    assert values[positive].mean() == pytest.approx(values[~positive].mean(), abs=1e-12)


def test_the_standard_error_of_the_area_is_delongs():
    scores, positive = drawn(3)
    above, below = scores[positive], scores[~positive]
    wins = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    area = wins.mean()
    variance = ((wins.mean(axis=1) - area) ** 2).sum() / len(above) ** 2 + (
        (wins.mean(axis=0) - area) ** 2
    ).sum() / len(below) ** 2
    n = len(scores)
    frame = pl.DataFrame(
        {"score": roc_auc_units(scores, positive), "cluster": map(str, range(n)), "stratum": "all"}
    )
    found = estimate(frame)
    assert found.value == pytest.approx(area)
    assert found.error == pytest.approx(math.sqrt(variance * n / (n - 1)))


def test_metrics_of_predictions():
    # Yes-scores .9 .6 .4 .2 with labels Yes No Yes No: the ranking of the test above.
    rows = predictions_of(yes_no(["Yes", "No", "Yes", "No"]), [0.9, 0.6, 0.4, 0.2])
    found = ranking_metrics(rows, CLASSES, "Yes", "zoom")
    assert [u.name for u in found] == [f"{name}, zoom" for name in RANKED]
    # the last Yes is needed for 95 %, and one of two No scores higher
    assert [value(u) for u in found] == pytest.approx([5 / 6, 0.75, 0.5, 0.5])
    # in random order of four, two of them positive: (1/3 (4 - 25/12) + 25/12) / 4 = 49/72
    assert [u.chance for u in found] == pytest.approx([49 / 72, 0.5, 0.95, 0.5])
    assert ["rests on 2 positive examples" in "".join(u.notes) for u in found] == [0, 0, 1, 0]
    enough = predictions_of(yes_no(["Yes"] * 40 + ["No"]), [0.9] * 41)
    assert not any(u.notes for u in ranking_metrics(enough, CLASSES, "Yes"))
    assert not equal_error_rate(enough.head(40), "Yes", "EER")
    of_rows = measure_positive(rows, CLASSES, positive="Yes")
    assert [u.name for u in of_rows] == [*RANKED[:-1], "accuracy", "balanced accuracy"]
    precision = found[0]
    assert precision.scores["cluster"].to_list() == ["0", "1", "2", "3"]


def test_a_perfect_order_has_an_interval():
    rows = predictions_of(yes_no(["Yes", "Yes", "No", "No"]), [0.9, 0.8, 0.3, 0.2])
    for units in ranking_metrics(rows, CLASSES, "Yes"):
        metric = summarise(units)
        if units.name == "FPR at 95 % TPR":
            assert (metric.value, metric.low) == (0, 0)
            assert metric.high is not None
            assert metric.high > 0.4
            continue
        assert (metric.value, metric.high) == (1, 1)
        assert metric.low is not None
        assert metric.low < 0.6


@pytest.mark.parametrize(
    ("scores", "precision", "area"),
    [
        # a skipped Yes is last of four: precisions 1/1 and 2/4; it loses to both No: 2 of 4 pairs
        ([0.9, None, 0.6, 0.2], (1 + 2 / 4) / 2, 2 / 4),
        # a skipped No is first: precisions 1/2 and 2/3; each Yes beats the other No: 2 of 4
        ([0.9, 0.8, None, 0.2], (1 / 2 + 2 / 3) / 2, 2 / 4),
    ],
)
def test_a_skipped_example_is_ranked_as_wrongly_as_can_be(scores, precision, area):
    rows = predictions_of(yes_no(["Yes", "Yes", "No", "No"]), scores)
    found = ranking_metrics(rows, CLASSES, "Yes")
    assert [value(u) for u in found[:2]] == pytest.approx([precision, area])


@pytest.mark.parametrize("label", ["Yes", "No"])
def test_labels_that_are_all_the_same_have_no_order(label):
    rows = predictions_of(yes_no([label] * 3), [0.9, 0.2, 0.3])
    assert ranking_metrics(rows, CLASSES, "Yes") == []
    rows = predictions_of(yes_no(["Yes", *["No"] * 4]), [0.5, 0.1, 0.2, 0.8, 0.9])
    # the one Yes is at place 1 to 5: (1 + 1/2 + 1/3 + 1/4 + 1/5) / 5
    expected = [137 / 300, 0.5, 0.95, 0.5]
    assert [u.chance for u in ranking_metrics(rows, CLASSES, "Yes")] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("positive", "n", "chance"), [(5, 100, 0.0902), (5, 500, 0.0215), (100, 1000, 0.1058)]
)
def test_chance_of_average_precision_is_above_the_share_of_positive_examples(positive, n, chance):
    found = expected_precision(np.arange(float(n)), np.arange(n) < positive)
    assert found == pytest.approx(chance, abs=5e-5)


@pytest.mark.parametrize(
    "scores",
    [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 2], [3] * 6, [-np.inf, 0, 1, 1, 2, np.inf]],
    ids=["all apart", "ties", "all equal", "two skipped"],
)
def test_chance_of_average_precision_is_the_mean_over_all_permutations(scores):
    scores, positive = np.array(scores, float), np.array([1, 0, 1, 0, 1, 0], bool)
    dealt, found = np.isfinite(scores), []
    for order in permutations(scores[dealt]):
        scores[dealt] = order
        found.append(average_precision_units(scores, positive).mean())
    assert expected_precision(scores, positive) == pytest.approx(np.mean(found))


def test_a_mean_of_metrics_gives_each_the_same_weight():
    parts = [
        Units("a", pl.DataFrame({"score": s, "cluster": c, "stratum": "all"}), chance, majority)
        for s, c, chance, majority in (
            ([1.0, 0.0, 0.0, 0.0], list("abcd"), 0.5, 0.75),
            ([1.0, 1.0], list("ab"), 0.25, 0.5),
        )
    ]
    mean = mean_metric("both", parts)
    assert value(mean) == (1 / 4 + 1) / 2
    assert (mean.chance, mean.majority) == (0.375, 0.625)
    assert mean.scores["cluster"].to_list() == list("abcdab")
