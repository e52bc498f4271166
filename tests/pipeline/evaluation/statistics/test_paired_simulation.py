"""Coverage of the intervals and the tests' errors of the first kind, by simulation.

Of n samples a share p has a standard error of sqrt(p (1 - p) / n): .5 points for a coverage of 95 %
in 2,000 samples, so the bounds 93 and 97 % are 4 of them away; an error of 5 % may miss by 3.3,
which a right test does for one seed in 1,000. Seeds are fixed.
"""

import math

import numpy as np
import pytest
from check_intervals import (
    coverage,
    mcnemar_error,
    ours,
    paired_coverage,
    ranking_coverage,
    sign_flip_error,
)


@pytest.mark.thorough
@pytest.mark.parametrize("clusters", [50, 200])
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_clustered_intervals_hold_the_rate_in_93_to_97_percent(rate, clusters):
    found = coverage(np.random.default_rng(11), rate, clusters, 2000)
    assert 0.93 < found < 0.97


@pytest.mark.thorough
def test_paired_intervals_hold_the_difference_in_93_to_97_percent():
    found = paired_coverage(np.random.default_rng(12), 0.3, 100, 2000)
    assert 0.93 < found < 0.97


@pytest.mark.parametrize("n", [200, 400])
def test_mcnemar_rejects_near_5_percent(n):
    # a sum over all samples, so nothing is left to chance: 40 and 80 units differ on average
    assert 0.045 < mcnemar_error(ours, n, 0.2) < 0.0505


@pytest.mark.thorough
def test_the_sign_flip_rejects_near_5_percent():
    found = sign_flip_error(np.random.default_rng(13), 60, draws := 3000, flips=999)
    assert abs(found - 0.05) < 3.3 * math.sqrt(0.05 * 0.95 / draws)  # 3.7 to 6.3 %


@pytest.mark.thorough
@pytest.mark.parametrize(("share", "shift"), [(0.1, 1.5), (0.25, 1.0)])
def test_intervals_of_rank_metrics_hold_the_value_in_92_to_97_percent(share, shift):
    found = ranking_coverage(np.random.default_rng(14), 1000, share, shift, 800)
    assert set(found) == {"average precision", "ROC-AUC"}
    assert all(0.92 < coverage < 0.97 for coverage in found.values())
