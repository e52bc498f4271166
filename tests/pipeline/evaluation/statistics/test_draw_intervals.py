"""Means over draws and units: values derived by hand, and coverage by simulation."""

import numpy as np
import polars as pl
import pytest
from check_intervals import draw_coverage, draw_difference_error

from savs.pipeline.evaluation.statistics.intervals import (
    UnitWeights,
    estimate_over_draws,
    weigh_units,
    wilson_interval,
)


def units(clusters: str, strata: str = "") -> UnitWeights:
    return weigh_units(
        pl.DataFrame({"cluster": list(clusters), "stratum": list(strata or "s" * len(clusters))})
    )


def test_the_variance_of_draws_and_that_of_units_add_up():
    # values .75 and .25: SD .3536, between = .125 / 2. Mean scores 1, .5, .5, 0: within =
    # 4 / 3 * 2 * (.5 / 4) ** 2 = .041667. Sum .104167;
    # freedom .104167 ** 2 / (.0625 ** 2 / 1 + .041667 ** 2 / 3) = 2.4194
    found = estimate_over_draws(units("abcd"), np.array([[1, 1, 1, 0], [1, 0, 0, 0.0]]))
    assert found.value == 0.5
    assert found.sd == pytest.approx(0.125**0.5)
    assert found.error == pytest.approx(0.104167**0.5, abs=1e-6)
    assert found.freedom == pytest.approx(2.4194, abs=1e-4)
    # t at .975 with 2.4194 degrees of freedom is 3.661: 3.661 * .32275 = 1.18, which is cut at 1
    assert found.interval() == (pytest.approx(0.5 - 1.1816, abs=1e-3), 1.0)
    # Wilson's with n = .25 / .104167 = 2.4: centre .5, reach = t / (1 + t ** 2 / n) *
    # sqrt(.25 / 2.4 + t ** 2 / (4 * 2.4 ** 2)) = .4606
    low, high = found.share_interval()
    assert (low, high) == (pytest.approx(0.0395, abs=1e-3), pytest.approx(0.9605, abs=1e-3))


def test_clusters_and_strata_count_as_in_an_evaluation():
    # strata s (2 units) and t (1 unit) weigh the same: value of a draw = (mean of s + t) / 2
    found = estimate_over_draws(units("aab", "sst"), np.array([[1, 0, 1], [1, 1, 0.0]]))
    assert found.value == pytest.approx((0.75 + 0.5) / 2)
    assert found.clusters == 2


def test_all_right_ends_at_one_and_has_a_width():
    found = estimate_over_draws(units("abcdefgh"), np.ones((3, 8)))
    low, high = found.share_interval()
    assert (found.value, high) == (1.0, 1.0)
    # eight clusters, t with 7 degrees of freedom: 2.3646
    assert low == pytest.approx(wilson_interval(1.0, 8, 2.3646)[0], abs=1e-4)
    none = estimate_over_draws(units("abcdefgh"), np.zeros((3, 8))).share_interval()
    assert none == (0.0, pytest.approx(1 - low))


@pytest.mark.parametrize(("draws", "clusters"), [(1, "abc"), (3, "aaa")], ids=["draw", "cluster"])
def test_one_draw_or_one_cluster_has_no_interval(draws, clusters):
    scores = np.random.default_rng(0).random((draws, 3))
    found = estimate_over_draws(units(clusters), scores)
    assert found.interval() == found.share_interval() == (None, None)
    assert found.p() is None
    assert (found.sd is None) == (draws == 1)


def test_interval_and_p_agree():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(200):
        found = estimate_over_draws(units("abcdefghij"), rng.normal(0.15, 0.5, (4, 10)))
        low, high = found.interval()
        assert (low <= 0 <= high) == (found.p() >= 0.05)
        held.append(low <= 0 <= high)
    assert 20 < sum(held) < 180


def test_a_mean_outside_of_0_to_1_has_students_interval():
    found = estimate_over_draws(units("abcd"), np.array([[1, 2, 1, 3], [1, 1, 2, 1.0]]))
    low, high = found.share_interval()
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
