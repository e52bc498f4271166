"""From what a fit gives for a number to the number, its level and its interval.

Fits are of numbers less their mean, in standard deviations, so that float32 keeps their digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from savs.datasets.label_kinds import MOST
from savs.foundation.arrays import Array

NUMBER = "number"
"""The one class of a task of numbers: its score is the number."""
COVERAGE = 0.95
"""Share of the numbers that lie in their intervals."""
LEAST = 5
"""Independent training examples that a task of numbers needs: some are left out twice."""
ROUNDING = 1e-9
Finite = Annotated[float, Meta(gt=-MOST, lt=MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRule:
    """What is known of the numbers of training examples, and how far predictions are from them."""

    mean: Finite
    median: Finite
    """What is predicted of an example by nothing else: chance."""
    spread: Annotated[float, Meta(gt=0, lt=MOST)]
    """Standard deviation."""
    levels: tuple[Finite, ...] = ()
    """The levels of an ordinal task, ascending; empty for a regression."""
    reach: Annotated[float, Meta(ge=0, lt=MOST)] | None = None
    """Half the width of an interval; None if too few examples were left out for one."""

    @classmethod
    def of(cls, numbers: Array, *, is_ordinal: bool) -> "NumberRule":
        """Return the rule of the `(n,)` numbers of training examples, which are not all equal."""
        return cls(
            mean=float(numbers.mean()),
            median=float(np.median(numbers)),
            spread=float(numbers.std()),
            levels=tuple(np.unique(numbers).tolist()) if is_ordinal else (),
        )

    def numbers(self, soft: Array) -> Array:
        """Return `(n,)` float64 numbers of the `(n, 1)` soft scores of a fit."""
        return self.mean + self.spread * soft[:, 0].astype(np.float64)

    def nearest(self, numbers: Array) -> Array:
        """Return the level next to each number, the lower of two; without levels the numbers."""
        if not self.levels:
            return numbers
        levels = np.array(self.levels)
        return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, numbers)]

    def intervals(self, numbers: Array, reach: Array | float) -> tuple[Array, Array]:
        """Return the ends of intervals: of an ordinal task the outer levels inside, one at least.

        >>> rule = NumberRule.of(np.array([1.0, 2, 3, 5]), is_ordinal=True)
        >>> [ends.tolist() for ends in rule.intervals(np.array([2.5, 9]), 1.0)]
        [[2.0, 5.0], [3.0, 5.0]]
        """
        low, high = numbers - reach, numbers + reach
        if not self.levels:
            return low, high
        levels, choice = np.array(self.levels), self.nearest(numbers)
        first = np.minimum(np.searchsorted(levels, low), len(levels) - 1)
        last = np.maximum(np.searchsorted(levels, high, side="right") - 1, 0)
        return np.minimum(levels[first], choice), np.maximum(levels[last], choice)


def fit_reach(errors: Array, clusters: Array | Sequence[str]) -> float | None:
    """Return how far from its prediction a number lies in 95 % of new clusters; None if unknown.

    Split conformal for examples in clusters (Lee, Barber and Willett, arXiv 2306.06342): of C
    clusters each, and the new one, which may be anything, have the weight 1 / (C + 1), and their
    examples equal shares of it. Where each example is its own cluster that is the
    ceil((n + 1) 0.95)-th smallest error.

    >>> fit_reach(np.arange(1.0, 20), np.arange(19)), fit_reach(np.arange(1.0, 19), np.arange(18))
    (19.0, None)
    """
    names, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)[1:]
    order = np.argsort(np.abs(errors))
    weights = np.cumsum(1 / sizes[names][order]) / (len(sizes) + 1)
    enough = np.flatnonzero(weights >= COVERAGE - ROUNDING)
    return float(np.abs(errors)[order][enough[0]]) if len(enough) else None
