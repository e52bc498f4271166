import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from savs.datasets import Units
from savs.pipeline.evaluation.statistics.intervals import summarise, wilson_interval


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
    # SE = sqrt(3/2 * (1 + 1 + 0)) / 6 = sqrt(3) / 6 = .288675; t(2) = 4.302653
    found = summarise(units([1, 1, 0, 0, 1, 0], list("aabbcc")))
    assert found.value == 0.5
    assert (found.units, found.clusters) == (6, 3)
    assert found.low == 0.0  # .5 - 4.302653 * .288675 < 0
    assert found.high == 1.0


def test_clustered_interval_width_follows_miller():
    scores, clusters = [1, 1, 0, 1, 0, 0, 1, 1] * 20, [str(i // 4) for i in range(160)]
    found = summarise(units(scores, clusters))
    mean = np.mean(scores)
    sums = (np.array(scores) - mean).reshape(40, 4).sum(axis=1)
    error = math.sqrt(40 / 39 * (sums**2).sum()) / 160
    reach = stats.t.ppf(0.975, 39) * error
    assert found.low == pytest.approx(mean - reach)
    assert found.high == pytest.approx(mean + reach)


def test_strata_weigh_the_same_whatever_their_size():
    # stratum x: 3 of 4 right, y: 0 of 1: (3/4 + 0) / 2
    found = summarise(units([1, 1, 1, 0, 0], strata=list("xxxxy")))
    assert found.value == pytest.approx(0.375)


def test_stratified_error_is_that_of_the_mean_of_means():
    # two strata of 10: SE^2 = (SE_x^2 + SE_y^2) / 4, SE_x^2 = sum (s - mean)^2 / (10 * 9)
    x, y = [1] * 7 + [0] * 3, [1] * 2 + [0] * 8
    found = summarise(units(x + y, strata=["x"] * 10 + ["y"] * 10))
    squares = (10 * 0.7 * 0.3 + 10 * 0.2 * 0.8) / 90 / 4
    reach = stats.t.ppf(0.975, 19) * math.sqrt(squares)
    assert found.low == pytest.approx(0.45 - reach)
    assert found.high == pytest.approx(0.45 + reach)


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
    # error = sqrt(.22724^2 + .016667) / 2 = .13068; 17 clusters, t(16) = 2.1199
    scores = [1, 1, 0, 0] + [1, 0] * 8
    clusters = ["x"] * 4 + [f"y{i}" for i in range(16)]
    found = summarise(units(scores, clusters, ["x"] * 4 + ["y"] * 16))
    assert found.low == pytest.approx(0.5 - 2.1199 * 0.13068, abs=1e-4)
    assert found.high == pytest.approx(0.5 + 2.1199 * 0.13068, abs=1e-4)


def test_clusters_in_all_strata_have_the_same_factor_as_one_stratum():
    # pairs with a unit in each stratum: the value is the mean of the pairs' means, so the interval
    # is that of these means, 2 / 2, 1 / 2 and 0 / 2: SD .5, error .5 / sqrt(3), t(2) = 4.3027
    scores = [1, 1, 1, 0, 0, 0]
    found = summarise(units(scores, list("aabbcc"), list("xyxyxy")))
    alone = summarise(units([1, 0.5, 0], list("abc")))
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    many = summarise(units(scores * 30, [f"{i // 2}" for i in range(180)], list("xy") * 90))
    assert many.high - many.value == pytest.approx(
        stats.t.ppf(0.975, 89) * np.std([1, 0.5, 0] * 30, ddof=1) / math.sqrt(90)
    )


def test_a_rare_class_is_covered_as_a_frequent_one_is():
    # 300 samples of 5 and 195 examples, 60 and 90 % right: 95 % of the intervals hold 75 %, with
    # a standard error of 1.3 points; without a factor of its own the rare class gave 91 %
    rng = np.random.default_rng(0)
    chances, strata = np.repeat([0.6, 0.9], [5, 195]), ["a"] * 5 + ["b"] * 195
    drawn = (summarise(units(rng.random(200) < chances, strata=strata)) for _ in range(300))
    assert 0.93 < np.mean([found.low <= 0.75 <= found.high for found in drawn]) < 0.98


def test_independent_right_and_wrong_get_wilsons_interval():
    found = summarise(units([1, 1, 1, 0]))
    assert (found.low, found.high) == wilson_interval(0.75, 4)


@pytest.mark.parametrize(("scores", "value"), [([1] * 6, 1.0), ([0] * 6, 0.0)])
def test_no_zero_width_at_the_ends_even_with_clusters(scores, value):
    found = summarise(units(scores, list("aabbcc")))
    assert found.value == value
    assert (found.low, found.high) == wilson_interval(value, 3)  # three clusters, not six units
    assert found.high - found.low > 0.3


def test_one_cluster_has_no_interval():
    found = summarise(units([1, 0], ["a", "a"]))
    assert (found.low, found.high) == (None, None)


def test_wilson_against_scipy():
    for hits, n in [(0, 10), (5, 10), (10, 10), (1, 400)]:
        expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert wilson_interval(hits / n, n) == pytest.approx((expected.low, expected.high))
