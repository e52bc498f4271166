"""Means over few-shot draws and test units, and differences of two: intervals and p values.

The draws of training examples and the test units are two sources of variance. With the values v_r
of R draws and the mean score of each unit over the draws, the variance of the mean is

    S^2(v) / R + the squared clustered standard error of the mean scores

whose parts have R - 1 and C - 1 degrees of freedom for C clusters. Their sum has Satterthwaite's
(Biometrics Bulletin 2, 1946), which Student's t takes.
"""

import math
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.evaluation.statistics.unit_weights import UnitWeights
from savs.pipeline.evaluation.statistics.wilson import LEVEL, wilson_interval


@dataclass(frozen=True, slots=True)
class DrawEstimate:
    """A mean over draws, and how well it is known."""

    value: float
    sd: float | None
    """Standard deviation over draws; None for one draw."""
    error: float | None
    """Standard error over draws and clusters; None for one draw or one cluster."""
    freedom: float
    """Satterthwaite's degrees of freedom; 0 without an error."""
    clusters: int

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval of a difference, in -1 to 1; None without an error."""
        if self.error is None:
            return None, None
        reach = self._quantile() * self.error
        return max(-1.0, self.value - reach), min(1.0, self.value + reach)

    def share_interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval of a share, in 0 to 1; None without an error.

        It is Wilson's with Student's t, for as many independent trials as have this standard error.
        Where all scores are 0, or all are 1, the trials are the clusters. A mean outside of 0 to 1
        is no share: its interval is Student's.
        """
        if self.error is None:
            return None, None
        if not 0 <= self.value <= 1:
            reach = self._quantile() * self.error
            return self.value - reach, self.value + reach
        spread = self.value * (1 - self.value)
        known = spread > 0 and self.error > 0
        trials = spread / self.error**2 if known else float(self.clusters)
        return wilson_interval(self.value, trials, self._quantile())

    def p(self) -> float | None:
        """Return the two-sided p value of a true mean of 0; None without an error, or with 0."""
        from scipy.special import stdtr  # scipy.stats takes five times as long to import

        if not self.error:
            return None
        return min(1.0, 2 * float(stdtr(self.freedom, -abs(self.value) / self.error)))

    def _quantile(self) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, (1 + LEVEL) / 2))


def estimate_over_draws(units: UnitWeights, scores: Array) -> DrawEstimate:
    """Return the mean over draws of a metric, or of a difference of two.

    Parameters
    ----------
    units
        The units' clusters and strata.
    scores
        `(draws, units)`: the same units in each draw.
    """
    values = np.array([units.value(draw) for draw in scores])
    value, draws = float(values.mean()), len(values)
    within = units.variance(scores.mean(axis=0))
    if draws < 2:
        return DrawEstimate(value, None, None, 0.0, units.clusters)
    sd = float(values.std(ddof=1))
    if within is None:
        return DrawEstimate(value, sd, None, 0.0, units.clusters)
    between = sd**2 / draws
    total = between + within
    if total == 0:  # no score differs from another one, and all are neither 0 nor 1
        return DrawEstimate(value, sd, 0.0, float(units.clusters - 1), units.clusters)
    freedom = total**2 / (between**2 / (draws - 1) + within**2 / (units.clusters - 1))
    return DrawEstimate(value, sd, math.sqrt(total), freedom, units.clusters)
