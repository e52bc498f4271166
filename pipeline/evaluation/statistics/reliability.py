"""Whether probabilities are as often right as they say, and what not answering would gain."""

from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array

BINS = 10
"""Bins of equal width."""
DIGITS = 6
"""Decimal places of a probability that count: two of three votes are 2/3 by any sum."""
SHARES = tuple(tenths / 10 for tenths in range(10, 0, -1))
"""Shares of the examples that are answered in `accuracy_by_coverage`."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Examples whose probability lies in `low` < p <= `high`."""

    low: float
    high: float
    examples: int
    probability: float
    """Mean."""
    accuracy: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The accuracy among a share of the examples, those of greatest probability."""

    coverage: float
    """The share that is answered."""
    accuracy: float
    threshold: float
    """Least probability among the answered."""


def reliability(probabilities: Array, correct: Array, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the bins that have examples, in ascending order.

    Parameters
    ----------
    probabilities
        `(n,)` of the predicted classes, 0 to 1.
    correct
        `(n,)` whether each prediction is right.
    bins
        Number of bins of equal width; 0 is in the first one.

    Examples
    --------
    >>> [(b.low, b.examples, b.accuracy) for b in reliability(np.array([0.3, 0.95, 1.0]),
    ...                                                       np.array([True, False, True]))]
    [(0.2, 1, 1.0), (0.9, 2, 0.5)]
    """
    ends = np.arange(bins + 1) / bins
    rounded = np.round(probabilities.astype(np.float64), DIGITS)
    place = np.clip(np.searchsorted(ends, rounded, side="left") - 1, 0, bins - 1)
    return tuple(
        Bin(
            float(ends[number]),
            float(ends[number + 1]),
            int(own.sum()),
            float(probabilities[own].mean()),
            float(correct[own].mean()),
        )
        for number in range(bins)
        if (own := place == number).any()
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error: the mean over examples of |probability - accuracy|.

    Source: Guo et al., arXiv 1706.04599, section 2.
    """
    total = sum(part.examples for part in bins)
    return sum(part.examples * abs(part.probability - part.accuracy) for part in bins) / total


def accuracy_by_coverage(probabilities: Array, correct: Array) -> tuple[Answered, ...]:
    """Return the accuracy among the likeliest share of the examples, for each of `SHARES`.

    Of equally likely examples at the cut, each is answered with the same chance: their mean counts.
    A share of n examples is rounded up to whole ones.

    Examples
    --------
    >>> found = accuracy_by_coverage(np.array([0.9, 0.8, 0.8, 0.8]), np.array([1, 1, 0, 0]))
    >>> [(a.coverage, round(a.accuracy, 3)) for a in found if a.coverage in (1, 0.5)]
    [(1.0, 0.5), (0.5, 0.667)]
    """
    rounded = np.round(probabilities.astype(np.float64), DIGITS)
    levels, group = np.unique(-rounded, return_inverse=True)
    sizes, right = np.bincount(group), np.bincount(group, correct)
    found = []
    for share in SHARES:
        wanted = int(np.ceil(round(share * len(probabilities), 9)))
        last = int(np.searchsorted(np.cumsum(sizes), wanted))
        before = int(sizes[:last].sum())
        hits = right[:last].sum() + (wanted - before) * right[last] / sizes[last]
        found.append(Answered(share, float(hits / wanted), float(-levels[last])))
    return tuple(found)
