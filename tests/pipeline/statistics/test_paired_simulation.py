"""Coverage of the intervals and the tests' errors of the first kind, by simulation.

Of n samples a share p has a standard error of sqrt(p (1 - p) / n): .5 points for a coverage of 95 %
in 2,000 samples, so the bound 93 % is 4 of them away; an error of 5 % may miss by 3.3,
which a right test does for one seed in 1,000. Seeds are fixed.
"""

import math

import numpy as np
import pytest
from check_intervals import mcnemar_error, ours, sign_flip_error
from interval_checks.clusters import (
    class_coverage,
    gain_coverage,
    make_design,
    null_rejections,
    rank_coverage,
    rate_coverage,
)
from interval_checks.training import FOLDS, POOLS, fold_coverage, pool_coverage

pytestmark = pytest.mark.costly


@pytest.mark.parametrize(
    ("kind", "units", "rate"),
    [
        ("4", 200, 0.5),
        ("4", 500, 0.95),
        ("16", 500, 0.95),  # Student's t with C - 1 degrees of freedom: .86
        ("16", 2000, 0.99),  # .84
        ("1/4/16", 200, 0.8),  # .90
        ("1/4/16", 200, 0.95),  # .80
        ("1/4/16", 500, 0.9),  # .91
        ("1/4/16", 2000, 0.99),  # .84
    ],
)
def test_clustered_intervals_hold_the_rate_in_93_to_98_percent(kind, units, rate):
    found = rate_coverage(np.random.default_rng(11), make_design(kind, units), rate, 2000)
    assert 0.93 < found.savs < 0.98


@pytest.mark.parametrize(("kind", "rate"), [("16", 0.99), ("1/4/16", 0.99), ("4", 0.99)])
def test_few_wrong_units_cover_too_much_rather_than_too_little(kind, rate):
    # five wrong units on average: Student's t has .79 to .85
    found = rate_coverage(np.random.default_rng(12), make_design(kind, 500), rate, 1000)
    assert 0.96 < found.savs <= 1
    assert found.plain < 0.9


@pytest.mark.parametrize(("kind", "units"), [("16", 500), ("1/4/16", 200), ("1/4/16", 500)])
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_equal_systems_differ_in_one_interval_of_twenty_at_most(kind, units, rate):
    found = null_rejections(np.random.default_rng(13), make_design(kind, units), rate, 2000)
    assert found.savs < 0.06


def test_paired_intervals_hold_a_gain_in_93_to_97_percent():
    design = make_design("1/4/16", 2000)
    found = gain_coverage(np.random.default_rng(14), design, 0.1, 2000)
    assert 0.93 < found.savs < 0.97


def test_intervals_of_classes_hold_their_recalls():
    design = make_design("1/4/16", 2000)
    found = class_coverage(np.random.default_rng(15), design, 0.9, 1000)
    assert set(found) == {"a", "b", "c", "balanced accuracy"}
    assert all(0.93 < of.savs < 0.98 for of in found.values())


@pytest.mark.parametrize("n", [200, 400])
def test_mcnemar_rejects_near_5_percent(n):
    # a sum over all samples, so nothing is left to chance: 40 and 80 units differ on average
    assert 0.045 < mcnemar_error(ours, n, 0.2) < 0.0505


def test_the_sign_flip_rejects_near_5_percent():
    design = make_design("1/4/16", 420)  # 60 clusters
    found = sign_flip_error(np.random.default_rng(13), design, samples := 3000, flips=999)
    assert abs(found - 0.05) < 3.3 * math.sqrt(0.05 * 0.95 / samples)  # 3.7 to 6.3 %


@pytest.mark.parametrize(
    ("kind", "share", "shift"),
    [("1", 0.1, 1.5), ("4", 0.25, 1.0), ("4", 0.1, 3.0), ("16", 0.25, 2.0), ("1/4/16", 0.1, 1.5)],
)
def test_intervals_of_rank_metrics_hold_the_value(kind, share, shift):
    # Student's t with C - 1 degrees of freedom: .84 to .94
    found = rank_coverage(np.random.default_rng(14), make_design(kind, 500), share, shift, 800)
    assert set(found) == {"average precision", "ROC-AUC", "FPR at 95 % TPR"}
    assert all(0.925 < coverage.savs < 0.99 for coverage in found.values())


def test_a_sweep_speaks_of_other_pools_too():
    # four shots of eight; without the pool's own variance .78
    accuracy, difference = pool_coverage(np.random.default_rng(16), POOLS[0], 150)
    assert accuracy.savs > 0.93
    assert accuracy.plain < 0.87
    assert difference.savs > max(0.93, difference.plain)


@pytest.mark.parametrize("case", FOLDS[:3], ids=lambda case: case.name)
def test_cross_validated_intervals_hold_the_mean_over_training_sets(case):
    # as independent examples: .86 to .93
    found, ratio = fold_coverage(np.random.default_rng(17), case, 600)
    assert 0.925 < found.savs < 0.985
    assert found.savs > found.plain
    assert 1.1 < ratio < 1.9
