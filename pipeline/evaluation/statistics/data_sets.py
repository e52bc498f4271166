"""One number for several data sets: the mean of what was measured on each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.pipeline.evaluation.statistics.paired_tests import sign_flip
from savs.pipeline.evaluation.statistics.wilson import LEVEL

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class DataSetMean:
    """A mean over data sets, each with the same weight."""

    value: float
    low: float | None
    """Lower end of the 95 % interval; None for one data set."""
    high: float | None


@dataclass(frozen=True, slots=True)
class DataSetDifference:
    """A mean paired difference over data sets, and how often it goes which way."""

    mean: DataSetMean
    p: float | None
    """Of the sign-flip test over data sets; None for one data set."""
    wins: int
    """Data sets whose own interval lies above 0."""
    ties: int
    """Data sets whose interval holds 0, or that have none."""
    losses: int
    """Data sets whose own interval lies below 0."""


def mean_over_data_sets(values: Sequence[float]) -> DataSetMean:
    """Return the mean of one value a data set, with Student's t interval over data sets.

    The values differ by what data sets, their draws and their test examples are: the spread that is
    seen has all three. The interval is for other data sets of the same kind.

    Examples
    --------
    >>> found = mean_over_data_sets([0.5, 0.7])  # SD .1414, standard error .1, t(1) = 12.706
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.6, -0.6706, 1.8706)
    """
    from scipy.special import stdtrit  # scipy.stats takes five times as long to import

    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return DataSetMean(mean, None, None)
    error = float(np.std(values, ddof=1)) / count**0.5
    reach = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    return DataSetMean(mean, mean - reach, mean + reach)


def difference_over_data_sets(
    differences: Sequence[float], intervals: Sequence[Interval]
) -> DataSetDifference:
    """Return the mean of one paired difference a data set, its test, and wins, ties and losses.

    Parameters
    ----------
    differences
        One a data set.
    intervals
        The ends of each one's own 95 % interval; None where it has none.
    """
    signs = [
        0 if low is None or high is None else (low > 0) - (high < 0) for low, high in intervals
    ]
    return DataSetDifference(
        mean=mean_over_data_sets(differences),
        p=sign_flip(np.asarray(differences)).p if len(differences) > 1 else None,
        wins=signs.count(1),
        ties=signs.count(0),
        losses=signs.count(-1),
    )
