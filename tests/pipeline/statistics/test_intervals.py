import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from savs.datasets import Units
from savs.pipeline.statistics.intervals import summarise, wilson_interval


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
    # two strata of 10: SE^2 = (SE_x^2 + SE_y^2) / 4, SE_x^2 = sum (s - mean)^2 / 100, and 20/19
    x, y = [1] * 7 + [0] * 3, [1] * 2 + [0] * 8
    found = summarise(units(x + y, strata=["x"] * 10 + ["y"] * 10))
    squares = (10 * 0.7 * 0.3 + 10 * 0.2 * 0.8) / 100 / 4 * 20 / 19
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
