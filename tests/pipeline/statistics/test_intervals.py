"""Means over units and over draws: values derived by hand, and coverage by simulation."""

import math

import interval_oracle
import numpy as np
import polars as pl
import pytest
from check_intervals import draw_coverage, draw_difference_error
from scipy import stats

from savs.datasets import Units
from savs.datasets.metrics.ranking import roc_auc_units
from savs.pipeline.statistics.intervals import (
    UnitWeights,
    ends_of,
    estimate,
    estimate_over_draws,
    summarise,
    weigh_units,
    wilson_interval,
)


def units(scores, clusters=None, strata=None) -> Units:
    return Units(
        "metric",
        pl.DataFrame(
            {
                "score": [float(s) for s in scores],
                "cluster": clusters or [str(i) for i in range(len(scores))],
                "stratum": strata or ["all"] * len(scores),
            }
        ),
        chance=0.5,
    )


def test_clustered_interval_by_hand():
    # mean 3/6 = .5; cluster sums of (s - .5): a: .5 + .5 = 1, b: -.5 -.5 = -1, c: .5 - .5 = 0
    # SE = sqrt(3/2 * (1 + 1 + 0)) / 6 = sqrt(3) / 6 = .288675; n = .25 / SE^2 = 3
    # squared sums are equal, 1 and 1: 1.5 * (1 + 1)^2 / (1 + 1) = 3, above C - 1 = 2
    # t(2) = 4.302653 is wider than 1.959964 for as many trials as clusters, which are three, too
    found = summarise(units([1, 1, 0, 0, 1, 0], list("aabbcc")))
    assert found.value == 0.5
    assert (found.units, found.clusters) == (6, 3)
    assert (found.low, found.high) == wilson_interval(0.5, 3)
    wide = wilson_interval(0.5, 3, 4.302653)
    assert wide == pytest.approx((0.03617, 0.96383), abs=1e-5)
    assert found.low > wide[0]


def test_a_large_cluster_counts_as_what_it_is_by_hand():
    # mean .4; sums of (s - .4): a, of 6: 4 * .6 - 2 * .4 = 1.6, b to e, of one each: -.4
    # shares of the units .6 and .1: squares 2.56 / .4 = 6.4 and .16 / .9 = .1778, four times
    # SE^2 = (6.4 + .7111) / 100; freedom 1.5 * 7.1111^2 / (40.96 + 4 * .0316) = 1.8462 of 4
    scores = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    found = estimate(units(scores, list("aaaaaabcde")).scores)
    assert found.error == pytest.approx(math.sqrt(0.071111), abs=1e-6)
    assert found.freedom == pytest.approx(1.8462, abs=1e-4)
    # the factor C / (C - 1) alone would give 5 / 4 * (2.56 + .64) / 100
    assert found.error > 1.3 * math.sqrt(0.04)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("strata", [1, 3])
def test_error_and_freedom_are_those_of_the_regression(seed, strata):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(12), rng.integers(1, 9, 12))
    stratum = rng.permutation(np.arange(len(cluster)) % strata)
    scores = (rng.random(len(cluster)) < 0.7).astype(float)
    q = interval_oracle.contributions(scores, cluster, stratum)
    found = estimate(pl.DataFrame({"score": scores, "cluster": cluster, "stratum": stratum}))
    assert found.error == pytest.approx(math.sqrt((q**2).sum()))
    assert found.freedom == pytest.approx(min(11, 1.5 * (q**2).sum() ** 2 / (q**4).sum()))
    if strata == 1:
        expected = interval_oracle.interval(scores, cluster)
        assert found.interval() == pytest.approx(expected)


def test_scores_that_are_no_trials_have_less_freedom():
    """Influence values of rank metrics are so; those of draws are means of trials."""
    cluster = [str(i // 4) for i in range(80)]
    scores = np.random.default_rng(0).normal(0.6, 1, 80)
    q = interval_oracle.contributions(scores, np.array(cluster), np.zeros(80))
    found = estimate(units(scores, cluster).scores)
    assert found.freedom == pytest.approx((q**2).sum() ** 2 / (q**4).sum())
    flags = (scores > 0).astype(float)
    alone = estimate(units(flags, cluster).scores)
    draws = estimate_over_draws(weigh_units(units(flags, cluster).scores), np.array([flags] * 3))
    assert draws.freedom == pytest.approx(alone.freedom)  # no variance between draws
    q = interval_oracle.contributions(flags, np.array(cluster), np.zeros(80))
    assert alone.freedom == pytest.approx(min(19, 1.5 * (q**2).sum() ** 2 / (q**4).sum()))


def test_independent_values_of_a_rank_metric_have_wilsons_form():
    positive = np.arange(60) < 12
    values = roc_auc_units(np.random.default_rng(1).normal(2 * positive), positive)
    found = summarise(units(values))
    q = interval_oracle.contributions(values, np.arange(60), np.zeros(60))
    freedom = (q**2).sum() ** 2 / (q**4).sum()
    trials = found.value * (1 - found.value) / (q**2).sum()
    expected = wilson_interval(found.value, trials, stats.t.ppf(0.975, freedom))
    assert (found.low, found.high) == pytest.approx(expected)


def test_no_interval_is_wider_than_if_clusters_were_trials():
    """One wrong pair in a hundred groups of two: as much is known as of a hundred groups."""
    scores = [0.0] + [1.0] * 199
    found = summarise(units(scores, [str(i // 2) for i in range(200)]))
    assert (found.low, found.high) == wilson_interval(0.995, 100)
    alone = wilson_interval(0.99, 100)  # the share of groups that are right wholly
    assert (found.low, found.high) > alone


def test_few_wrong_clusters_leave_few_degrees_of_freedom():
    # 2 of 40 clusters of 4 are wrong: q^2 is (3.8 / 160)^2 twice and (.2 / 160)^2 38 times
    # 1.5 * (2 * 14.44 + 38 * .04)^2 / (2 * 14.44^2 + 38 * .04^2) = 3.32
    scores = [0.0] * 8 + [1.0] * 152
    found = estimate(units(scores, [str(i // 4) for i in range(160)]).scores)
    assert found.freedom == pytest.approx(3.32, abs=0.01)


def test_equal_scores_of_unequal_clusters_count_as_kishs_number_of_trials():
    cluster = np.repeat(np.arange(6), [1, 4, 16] * 2)
    found = summarise(units([1] * 42, list(map(str, cluster))))
    # 42^2 / (2 * (1 + 16 + 256)) = 3.2308 clusters, not six
    assert interval_oracle.kish(cluster) == pytest.approx(3.2308, abs=1e-4)
    assert (found.low, found.high) == wilson_interval(1.0, 42**2 / 546)


def test_clusters_that_are_all_half_right_have_a_width():
    found = summarise(units([1, 0] * 20, [str(i // 2) for i in range(40)]))
    low, _ = wilson_interval(0.5, 20)
    reach = (0.5 - low) / 1.959964  # as a standard error, of 20 clusters
    assert (found.low, found.high) == pytest.approx(
        wilson_interval(0.5, 0.25 / reach**2, stats.t.ppf(0.975, 19))
    )


def test_a_cluster_more_or_less_changes_little():
    """From independent units to a single pair there is no jump."""
    scores = [1.0] * 180 + [0.0] * 20
    alone = summarise(units(scores))
    pair = summarise(units(scores, ["0", *map(str, range(199))]))
    assert (pair.low, pair.high) == pytest.approx((alone.low, alone.high), abs=0.002)


def test_folds_widen_as_fewer_trials_do():
    independent = units([1] * 30 + [0] * 10)
    found = summarise(independent, inflation=1.5)
    assert (found.low, found.high) == wilson_interval(0.75, 40 / 1.5)
    pairs = units([1] * 30 + [0] * 10, [str(i // 2) for i in range(40)])
    once, more = (estimate(pairs.scores, inflation=factor).error for factor in (1, 1.5))
    assert more == pytest.approx(once * math.sqrt(1.5))


def test_stratified_error_is_that_of_the_mean_of_means():
    # two strata of 10: SE^2 = (SE_x^2 + SE_y^2) / 4, SE_x^2 = sum (s - mean)^2 / (10 * 9)
    x, y = [1] * 7 + [0] * 3, [1] * 2 + [0] * 8
    found = summarise(units(x + y, strata=["x"] * 10 + ["y"] * 10))
    squares = (10 * 0.7 * 0.3 + 10 * 0.2 * 0.8) / 90 / 4
    reach = stats.t.ppf(0.975, 19) * math.sqrt(squares)
    assert (found.low, found.high) == pytest.approx((0.45 - reach, 0.45 + reach))


def test_a_stratum_without_spread_of_its_own_has_wilsons():
    # x: 10 of 10, Wilson from .7225; y: 0 of 10, to .2775; each reach .2775 / 1.96 = .14161
    # error = sqrt(2 (.14161 / 2)^2) = .10014; t(19) = 2.0930
    found = summarise(units([1] * 10 + [0] * 10, strata=["x"] * 10 + ["y"] * 10))
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - 2.0930 * 0.10014, abs=1e-3)
    assert found.high == pytest.approx(0.5 + 2.0930 * 0.10014, abs=1e-3)


def test_a_stratum_of_one_cluster_has_wilsons_of_one():
    # x: 2 of 4 right in one cluster, Wilson of one: .5 +- .4454, / 1.96 = .22724
    # y: 8 of 16 right, each alone: SE^2 = 4 / (16 * 15) = .016667
    # error = sqrt(.22724^2 + .016667) / 2 = .13068
    # y has 16 squares of .016667 / 64: 1.5 * .017077^2 / (16 * .00026042^2) = 403, above C - 1 = 16
    scores = [1, 1, 0, 0] + [1, 0] * 8
    clusters = ["x"] * 4 + [f"y{i}" for i in range(16)]
    found = estimate(units(scores, clusters, ["x"] * 4 + ["y"] * 16).scores)
    assert found.error == pytest.approx(0.13068, abs=1e-5)
    assert found.freedom == 16
    expected = wilson_interval(0.5, 0.25 / 0.13068**2, stats.t.ppf(0.975, 16))
    assert found.interval() == pytest.approx(expected, abs=1e-4)


def test_clusters_in_all_strata_have_the_same_factor_as_one_stratum():
    # pairs with a unit in each stratum: the value is the mean of the pairs' means, so the error is
    # that of these means, 2 / 2, 1 / 2 and 0 / 2: SD .5, error .5 / sqrt(3)
    scores = [1, 1, 1, 0, 0, 0]
    found = estimate(units(scores, list("aabbcc"), list("xyxyxy")).scores)
    assert found.error == pytest.approx(0.5 / math.sqrt(3))
    many = estimate(units(scores * 30, [f"{i // 2}" for i in range(180)], list("xy") * 90).scores)
    assert many.error == pytest.approx(np.std([1, 0.5, 0] * 30, ddof=1) / math.sqrt(90))


def test_a_rare_class_is_covered_as_a_frequent_one_is():
    # 300 samples of 5 and 195 examples, 60 and 90 % right: 95 % of the intervals hold 75 %, with
    # a standard error of 1.3 points; without a factor of its own the rare class gave 91 %
    rng = np.random.default_rng(0)
    chances, strata = np.repeat([0.6, 0.9], [5, 195]), ["a"] * 5 + ["b"] * 195
    drawn = (summarise(units(rng.random(200) < chances, strata=strata)) for _ in range(300))
    assert 0.93 < np.mean([found.low <= 0.75 <= found.high for found in drawn]) < 0.98


@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [
        ("error", 0.5 * math.exp(-0.2 / 0.5), 0.5 * math.exp(0.2 / 0.5)),
        ("fit", 1 - 0.5 * math.exp(0.2 / 0.5), 1 - 0.5 * math.exp(-0.2 / 0.5)),
        # Fisher's z of .5 is atanh(.5), whose derivative is 1 / (1 - .25)
        ("correlation", *(math.tanh(math.atanh(0.5) + 0.2 / 0.75 * sign) for sign in (-1, 1))),
    ],
)
def test_other_scales_have_students_interval_where_they_have_no_bounds(scale, low, high):
    assert ends_of(scale, 0.5, 0.2) == pytest.approx((low, high))
    assert ends_of(scale, 0.5, None) == (None, None)
    assert ends_of(scale, 0.0 if scale == "error" else 1.0, 0.2) == (None, None)


def test_independent_right_and_wrong_get_wilsons_interval_and_one_cluster_none():
    found = summarise(units([1, 1, 1, 0]))
    assert (found.low, found.high) == wilson_interval(0.75, 4)
    found = summarise(units([1, 0], ["a", "a"]))
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_no_zero_width_at_the_ends_even_with_clusters(value):
    found = summarise(units([value] * 6, list("aabbcc")))
    assert found.value == value
    assert (found.low, found.high) == wilson_interval(value, 3)  # three clusters, not six units
    assert found.high - found.low > 0.3


def test_wilson_against_scipy():
    for hits, n in [(0, 10), (5, 10), (10, 10), (1, 400)]:
        expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert wilson_interval(hits / n, n) == pytest.approx((expected.low, expected.high))


def weights(clusters: str, strata: str = "") -> UnitWeights:
    return weigh_units(
        pl.DataFrame({"cluster": list(clusters), "stratum": list(strata or "s" * len(clusters))})
    )


def test_the_variance_of_draws_and_that_of_units_add_up():
    # values .75 and .25: SD .3536, between = .125 / 2. Mean scores 1, .5, .5, 0: within =
    # 4 / 3 * 2 * (.5 / 4) ** 2 = .041667. Sum .104167;
    # freedom .104167 ** 2 / (.0625 ** 2 / 1 + .041667 ** 2 / 3) = 2.4194
    found = estimate_over_draws(weights("abcd"), np.array([[1, 1, 1, 0], [1, 0, 0, 0.0]]))
    assert found.value == 0.5
    assert found.sd == pytest.approx(0.125**0.5)
    assert found.error == pytest.approx(0.104167**0.5, abs=1e-6)
    assert found.freedom == pytest.approx(2.4194, abs=1e-4)
    # t at .975 with 2.4194 degrees of freedom is 3.661: 3.661 * .32275 = 1.18, which is cut at 1
    assert found.difference_interval() == (pytest.approx(0.5 - 1.1816, abs=1e-3), 1.0)
    # Wilson's with n = .25 / .104167 = 2.4: centre .5, reach = t / (1 + t ** 2 / n) *
    # sqrt(.25 / 2.4 + t ** 2 / (4 * 2.4 ** 2)) = .4606
    low, high = found.interval()
    assert (low, high) == (pytest.approx(0.0395, abs=1e-3), pytest.approx(0.9605, abs=1e-3))


def test_a_pool_adds_what_all_draws_share():
    # values .75 and .25: s^2 = .125. Four of eight: s^2 / 2 + s^2 * 4 / (8 - 4)
    scores = np.array([[1, 1, 1, 0], [1, 0, 0, 0.0]])
    found = estimate_over_draws(weights("abcd"), scores, pool_variance=1.0)
    assert found.error == pytest.approx(math.sqrt(0.125 / 2 + 0.125 + 0.041667), abs=1e-6)
    # freedom (.229167)^2 / (.1875^2 / 1 + .041667^2 / 3)
    assert found.freedom == pytest.approx(0.0525174 / (0.0351563 + 0.0005787), abs=1e-4)


def test_strata_weigh_the_same_whatever_their_size():
    # stratum x: 3 of 4 right, y: 0 of 1: (3/4 + 0) / 2
    assert summarise(units([1, 1, 1, 0, 0], strata=list("xxxxy"))).value == pytest.approx(0.375)
    # strata s (2 units) and t (1 unit) weigh the same: value of a draw = (mean of s + t) / 2
    found = estimate_over_draws(weights("aab", "sst"), np.array([[1, 0, 1], [1, 1, 0.0]]))
    assert found.value == pytest.approx((0.75 + 0.5) / 2)
    assert found.clusters == 2


def test_all_right_ends_at_one_and_has_a_width():
    found = estimate_over_draws(weights("abcdefgh"), np.ones((3, 8)))
    low, high = found.interval()
    assert (found.value, high) == (1.0, 1.0)
    # eight clusters, t with 7 degrees of freedom: 2.3646
    assert low == pytest.approx(wilson_interval(1.0, 8, 2.3646)[0], abs=1e-4)
    none = estimate_over_draws(weights("abcdefgh"), np.zeros((3, 8))).interval()
    assert none == (0.0, pytest.approx(1 - low))


@pytest.mark.parametrize(("draws", "clusters"), [(1, "abc"), (3, "aaa")], ids=["draw", "cluster"])
def test_one_draw_or_one_cluster_has_no_interval(draws, clusters):
    scores = np.random.default_rng(0).random((draws, 3))
    found = estimate_over_draws(weights(clusters), scores)
    assert found.difference_interval() == found.interval() == (None, None)
    assert found.p() is None
    assert (found.sd is None) == (draws == 1)


def test_interval_and_p_agree():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(200):
        found = estimate_over_draws(weights("abcdefghij"), rng.normal(0.25, 0.5, (4, 10)))
        low, high = found.difference_interval()
        assert (low <= 0 <= high) == (found.p() >= 0.05)
        held.append(low <= 0 <= high)
    assert 20 < sum(held) < 180


def test_a_mean_outside_of_0_to_1_has_students_interval():
    found = estimate_over_draws(weights("abcd"), np.array([[1, 2, 1, 3], [1, 1, 2, 1.0]]))
    low, high = found.interval()
    assert high > 1
    assert (low + high) / 2 == pytest.approx(found.value) == pytest.approx(1.5)


@pytest.mark.thorough
@pytest.mark.parametrize("draws", [3, 10])
@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_intervals_hold_the_mean_over_all_draws_and_units(rate, draws):
    # with 400 samples, 95 % has a standard error of 1.1 points
    found = draw_coverage(np.random.default_rng(0), rate, draws, 200, 400)
    assert 0.92 <= found <= 0.995


@pytest.mark.thorough
@pytest.mark.parametrize("draws", [3, 10])
def test_equal_readouts_differ_in_one_sweep_of_twenty_at_most(draws):
    found = draw_difference_error(np.random.default_rng(0), 0.5, draws, 200, 400)
    assert found <= 0.07
