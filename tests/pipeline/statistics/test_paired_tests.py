"""Paired differences and tests, against values by hand and slow transcriptions."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from savs.pipeline.statistics.paired_tests import (
    FLIPS,
    difference_over_data_sets,
    holm,
    mcnemar,
    mean_over_data_sets,
    sign_flip,
    subtract,
)


def frame(scores, clusters=None, strata=None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "score": [float(s) for s in scores],
            "cluster": list(clusters or map(str, range(len(scores)))),
            "stratum": list(strata or ["all"] * len(scores)),
        }
    )


def test_a_clustered_difference_by_hand():
    # d = 1 1 0 1 0 -1 0 0, mean 1/4; cluster sums of (d - 1/4): a 1.5, b .5, c -1.5, d -.5
    # SE = sqrt(4/3 * (2.25 + .25 + 2.25 + .25)) / 8 = sqrt(20/3) / 8 = .322749; t(3) = 3.182446
    a, b = frame([0, 0, 1, 0, 0, 1, 1, 0], "aabbccdd"), frame([1, 1, 1, 1, 0, 0, 1, 0], "aabbccdd")
    found = subtract(a, b)
    assert found.value == 0.25
    assert found.error == pytest.approx(0.322749, abs=1e-6)
    assert found.low == pytest.approx(0.25 - 3.182446 * 0.322749, abs=1e-5)
    assert found.high == 1.0  # 1.277, clipped


def test_strata_weigh_as_in_the_metric_itself():
    # x: d = 1 0 0 0, y: d = 1 -1, mean of 1/4 and 0; weights 1/8 and 1/4
    # weighted residuals: (.75 -.25 -.25 -.25) / 8 and (1 -1) / 4; sums of squares .75/64 and 2/16,
    # times 4/3 for four clusters and 2 for two
    a, b = (frame(scores, strata="xxxxyy") for scores in ([0, 1, 1, 0, 0, 1], [1, 1, 1, 0, 1, 0]))
    found = subtract(a, b)
    assert found.value == 0.125
    assert found.error == pytest.approx(math.sqrt(4 / 3 * 0.75 / 64 + 2 * 2 / 16))
    # weighted d: x -1/8, y 1/4 and 1/4, seen 3/8; of eight flips, four are as far: 5/8 and 3/8
    a, b = (frame(scores, strata="xxxxyy") for scores in ([1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]))
    found = subtract(a, b)
    assert found.value == pytest.approx(3 / 8)
    assert found.test.p == 0.5


def test_the_other_way_round_has_the_other_sign():
    for low in ([0, 1, 0, 0, 0], [0] * 5):
        there, back = subtract(frame(low), frame([1] * 5)), subtract(frame([1] * 5), frame(low))
        assert back.value == -there.value
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
        assert back.test == there.test


def test_no_difference_has_the_width_of_wilsons_interval():
    found = subtract(frame([1, 0] * 10), frame([1, 0] * 10))
    wilson = stats.binomtest(0, 20).proportion_ci(0.95, method="wilson").high  # .1611
    reach = wilson / 1.959964 * stats.t.ppf(0.975, 19)
    assert (found.value, found.test.p) == (0.0, 1.0)
    assert (found.low, found.high) == pytest.approx((-reach, reach))


def test_a_difference_of_errors_is_not_cut_and_has_no_interval_without_spread():
    other = frame([30.0, 0, 0, 60, 0, 0, 30, 0])
    found = subtract(frame([0.0] * 8), other, scale="error")
    # mean 15, squared deviations 7 * 225 + 2025 = 3600: error sqrt(8 / 7 * 3600) / 8
    assert found.error == pytest.approx((8 / 7 * 3600) ** 0.5 / 8)
    assert (found.value, found.low < -1, found.high > 1) == (15, True, True)
    same = subtract(other, other, scale="error")
    assert (same.value, same.error, same.low, same.high, same.test.p) == (0, None, None, None, 1)


def test_one_cluster_has_a_difference_and_no_interval():
    found = subtract(frame([1, 0], "aa"), frame([1, 1], "aa"))
    assert (found.value, found.error, found.low, found.high) == (0.5, None, None, None)
    assert found.test.p == 1.0


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (frame([1, 1, 0, 1]), "McNemar, exact"),
        (frame([1, 1, 0, 1], "aabc"), "sign flip, exact"),  # not independent
        (frame([1, 1, 0, 1], strata="xxxy"), "sign flip, exact"),  # not of equal weight
        (frame([1, 0.5, 0, 1]), "sign flip, exact"),  # not right or wrong
    ],
    ids=["independent", "clusters", "strata", "shares"],
)
def test_mcnemar_is_for_independent_right_and_wrong(other, name):
    assert subtract(other.with_columns(score=pl.lit(0.0)), other).test.name == name


@pytest.mark.parametrize(
    "other", [frame([1, 0], "aa"), frame([1, 0], strata="xy"), frame([1, 0, 1]), frame([])]
)
def test_other_units_are_refused(other):
    base = frame([1, 1]) if other.height else other
    with pytest.raises(ValueError, match="expected the same units, at least one"):
        subtract(base, other)


def slow_mcnemar(b: int, c: int) -> float:
    """Return p by adding up all results that are no likelier than the one seen, as whole sets."""
    n = b + c
    chances = [math.comb(n, k) / 2**n for k in range(n + 1)]
    as_far = [chances[k] for k in range(n + 1) if abs(2 * k - n) >= abs(b - c)]
    if n < 25:
        return math.fsum(as_far)
    return math.fsum(as_far) - (chances[b] + chances[c] if b != c else 0) / 2


@pytest.mark.parametrize("n", [0, 1, 9, 24, 25, 26, 90])
def test_mcnemar_equals_the_sum_over_all_results(n):
    for b in range(n + 1):
        found = mcnemar(b, n - b)
        assert found.p == pytest.approx(slow_mcnemar(b, n - b))
        assert found == mcnemar(n - b, b)
        assert found.name == ("McNemar, exact" if n < 25 else "McNemar, mid-p")


def slow_flips(sums) -> float:
    flipped = [
        abs(sum(s * x for s, x in zip(signs, sums, strict=True)))
        for signs in itertools.product([1, -1], repeat=len(sums))
    ]
    return float(np.mean([x >= abs(sum(sums)) - 1e-12 for x in flipped]))


@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_few_clusters_are_flipped_in_all_ways(count):
    for sums in (
        np.random.default_rng(count).normal(0.4, size=count),
        np.random.default_rng(count).integers(-2, 3, count) / 30,  # many sums are equal
    ):
        found = sign_flip(sums)
        assert found.name == "sign flip, exact"
        assert found.p == pytest.approx(slow_flips(sums))


def test_sums_that_rounding_sets_apart_are_equal():
    sums = np.array([2, 3, -3, -2]) / 30  # 0, so that every flip is as far
    assert sums.sum() != 0
    assert sign_flip(sums).p == 1.0


def test_clusters_without_a_difference_do_not_matter():
    sums = np.array([0.1, -0.2, 0.4])
    assert sign_flip(np.concatenate([sums, np.zeros(1000)])) == sign_flip(sums)
    assert sign_flip(np.zeros(3)).p == 1.0


def test_many_clusters_are_flipped_at_random_by_a_seed():
    # 25 alike differences, 18 one way: the sum is as far in the tails of Binomial(25, 1/2)
    sums = np.array([1.0] * 18 + [-1.0] * 7) / 300
    found = sign_flip(sums)
    assert found.name == "sign flip"
    exact = stats.binomtest(7, 25).pvalue  # .0433
    assert abs(found.p - exact) < 4 * math.sqrt(exact * (1 - exact) / FLIPS)
    assert sign_flip(sums) == found
    assert sign_flip(sums, seed=1) != found


def test_a_random_p_is_never_0():
    assert sign_flip(np.ones(60)).p == 1 / (FLIPS + 1)


def test_holm_by_hand():
    # .01 * 4 = .04; .02 * 3 = .06; .03 * 2 = .06; .5
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    # .02 * 3 = .06; .025 * 2 = .05 is no smaller than .06; .9
    assert holm([0.025, 0.02, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interval_is_students_over_data_sets():
    # mean .2, SD .1, standard error .1 / sqrt(3), t(2) = 4.3027
    found = mean_over_data_sets([0.1, 0.2, 0.3])
    reach = 4.3027 * 0.1 / 3**0.5
    ends = (0.2, 0.2 - reach, 0.2 + reach)
    assert (found.value, found.low, found.high) == pytest.approx(ends, abs=1e-5)


def test_one_data_set_has_no_interval():
    found = difference_over_data_sets([0.1], [(0.05, 0.15)])
    assert (found.mean.low, found.mean.high, found.p) == (None, None, None)
    assert (found.wins, found.ties, found.losses) == (1, 0, 0)


def test_wins_ties_and_losses_are_by_the_data_sets_own_intervals():
    intervals = [(0.1, 0.3), (-0.1, 0.2), (-0.3, -0.1), (None, None), (0.01, 0.2), (0.0, 0.2)]
    found = difference_over_data_sets([0.2, 0.05, -0.2, 0.1, 0.1, 0.1], intervals)
    assert (found.wins, found.ties, found.losses) == (2, 3, 1)
    assert found.mean.value == pytest.approx(0.35 / 6)
    # the share of the 64 flips of .2 .05 .2 .1 .1 .1 whose sum is at least .35 from 0
    signs = [[1 if n >> k & 1 else -1 for k in range(6)] for n in range(64)]
    sums = [sum(s * d for s, d in zip(row, (4, 1, 4, 2, 2, 2), strict=True)) for row in signs]
    assert found.p == pytest.approx(sum(abs(s) >= 7 for s in sums) / 64)
