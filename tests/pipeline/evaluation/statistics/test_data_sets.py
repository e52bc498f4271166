import pytest

from savs.pipeline.evaluation.statistics.paired_tests import (
    difference_over_data_sets,
    mean_over_data_sets,
)


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
