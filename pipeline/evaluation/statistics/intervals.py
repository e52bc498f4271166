"""Means with error bars, from one score a unit and the clusters that the units fall into.

A share of independent trials has Wilson's interval (`wilson_interval`). Units have weights,
clusters and strata (`UnitWeights`), which make an `Estimate` and the `Metric` that is reported. A
`DrawEstimate`, of several few-shot draws, has the draws as a second source of variance.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array

LEVEL = 0.95
"""Coverage of every interval."""


Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


def wilson_interval(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """Return Wilson's score interval of a share among n independent trials.

    `n` is a fraction for trials that are not independent, `z` the quantile that sets the level.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(0.5, 10)]
    [0.2366, 0.7634]
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True, slots=True)
class UnitWeights:
    """How the scores of units make a mean over strata of the mean in each."""

    cluster: Array
    """`(units,)` numbers."""
    stratum: Array
    """`(units,)` numbers."""
    clusters: int
    sizes: Array
    """`(strata,)` units in each."""
    stratum_clusters: Array
    """`(strata,)` clusters in each."""

    def value(self, scores: Array) -> float:
        """Return the mean over strata of the mean score in each."""
        return float(self._stratum_means(scores).mean())

    def variance(self, scores: Array) -> float | None:
        """Return the squared clustered standard error of `value`; None if there is one cluster.

        With weights w_i that make the mean over strata of the stratum means, it is the sum over
        clusters of (sum of f w_i (s_i - stratum mean))^2, where f^2 = K / (K - 1) for the K
        clusters of a unit's stratum: with one stratum the formula of Miller, arXiv 2411.00640, with
        the small-sample factor, and where clusters lie within strata that of stratified samples. A
        stratum of one cluster, or whose scores are all equal, shows no spread of its own: it adds
        that of Wilson's interval for its number of clusters.
        """
        if self.clusters < 2:
            return None
        means, strata = self._stratum_means(scores), len(self.sizes)
        # Units of a cluster move together: their deviations are added before they are squared, so
        # that they do not average out as independent ones would. The factor corrects for taking
        # deviations from a mean that these same clusters gave.
        factors = np.sqrt(self.stratum_clusters / np.maximum(self.stratum_clusters - 1, 1))
        weights = factors / (strata * self.sizes)
        apart = (scores - means[self.stratum]) * weights[self.stratum]
        spread = float((np.bincount(self.cluster, apart) ** 2).sum())
        return spread + self._unseen(scores, means) / strata**2

    def _stratum_means(self, scores: Array) -> Array:
        return np.bincount(self.stratum, scores) / self.sizes

    def _unseen(self, scores: Array, means: Array) -> float:
        """Return the sum of the variances of strata that show none."""
        # Scores that are all equal would have an error of 0, however few they are. The longer side
        # of Wilson's interval, in standard errors, is what so few clusters leave open.
        greatest, least = np.full((2, len(means)), -np.inf)
        np.maximum.at(greatest, self.stratum, scores)
        np.maximum.at(least, self.stratum, -scores)
        total = 0.0
        for stratum in np.flatnonzero((greatest == -least) | (self.stratum_clusters == 1)):
            score = min(1.0, abs(float(means[stratum])))
            low, high = wilson_interval(score, int(self.stratum_clusters[stratum]))
            total += (max(score - low, high - score) / Z) ** 2
        return total


def weigh_units(units: pl.DataFrame) -> UnitWeights:
    """Return the weights of units, one row each with `cluster` and `stratum`."""
    cluster, stratum = (_numbers(units[name]) for name in ("cluster", "stratum"))
    clusters = int(cluster.max()) + 1
    pairs = pl.Series(stratum * clusters + cluster).unique()  # np.unique sorts: 30 times as long
    return UnitWeights(
        cluster=cluster,
        stratum=stratum,
        clusters=clusters,
        sizes=np.bincount(stratum),
        stratum_clusters=np.bincount(pairs.to_numpy() // clusters),
    )


def one_stratum(cluster: pl.Series) -> UnitWeights:
    """Return the weights of units whose plain mean is taken."""
    numbers = _numbers(cluster)
    clusters, units = int(numbers.max()) + 1, len(numbers)
    nothing = np.zeros(units, np.int64)
    return UnitWeights(numbers, nothing, clusters, np.array([units]), np.array([clusters]))


def _numbers(values: pl.Series) -> Array:
    return values.rank("dense").to_numpy().astype(np.int64) - 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over strata of stratum means, and how well it is known."""

    value: float
    error: float | None
    """Clustered standard error; None if there is one cluster."""
    clusters: int
    is_share: bool
    """Whether the units are trials of one share: 0 or 1, independent, in one stratum."""

    @classmethod
    def of(cls, scores: Array, units: UnitWeights) -> "Estimate":
        """Return the estimate of `(units,)` scores; see `UnitWeights.variance`."""
        variance = units.variance(scores)
        return cls(
            value=units.value(scores),
            error=None if variance is None else math.sqrt(variance),
            clusters=units.clusters,
            is_share=len(units.sizes) == 1
            and bool(((scores == 0) | (scores == 1)).all())
            and (units.clusters == len(scores) or bool((scores == scores[0]).all())),
        )

    def interval(self) -> tuple[float | None, float | None]:
        """Return the ends of the 95 % interval of scores from 0 to 1, not of a difference.

        None where one cluster tells nothing of the spread. The standard error is clustered, see
        `UnitWeights.variance`. The interval is Student's t with C - 1 degrees of freedom for C
        clusters, clipped to [0, 1]. With one stratum, where all scores are equal, or each unit is
        its own cluster and scores are 0 or 1, it is Wilson's, so that 0 % and 100 % have a width
        too.
        """
        if self.is_share:
            return wilson_interval(self.value, self.clusters)
        reach = self.reach()
        if reach is None:
            return None, None
        return max(0.0, self.value - reach), min(1.0, self.value + reach)

    def reach(self) -> float | None:
        """Return half the width of the 95 % interval by Student's t; None without an error."""
        if self.error is None:
            return None
        from scipy.special import stdtrit  # scipy.stats takes five times as long to import

        return float(stdtrit(self.clusters - 1, (1 + LEVEL) / 2)) * self.error


def estimate(scores: pl.DataFrame) -> Estimate:
    """Return the mean of units and its clustered standard error; see `UnitWeights.variance`.

    `scores` has a row a unit: `score` (0 to 1, or -1 to 1 for a difference of two), `cluster` and
    `stratum`.
    """
    return Estimate.of(scores["score"].cast(pl.Float64).to_numpy(), weigh_units(scores))


def estimate_share(flags: pl.Series, cluster: pl.Series) -> Estimate:
    """Return the share of flags that are set; dependent ones belong to the same cluster."""
    return Estimate.of(flags.cast(pl.Float64).to_numpy(), one_stratum(cluster))


@dataclass(frozen=True, slots=True)
class Metric:
    """One number with its uncertainty."""

    name: str
    value: float
    """Mean over strata of the mean score in each, 0 to 1."""
    low: float | None
    """Lower end of the 95 % interval; None where one cluster alone tells nothing of the spread."""
    high: float | None
    """Upper end."""
    chance: float
    """What a guess that knows nothing but the classes is expected to reach."""
    majority: float | None
    """What always naming the most frequent test class reaches, where that makes sense."""
    units: int
    clusters: int

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        return asdict(self)


def summarise(units: Units) -> Metric:
    """Return the mean of a metric's units and its 95 % interval, see `Estimate.interval`.

    Examples
    --------
    >>> frame = pl.DataFrame({"score": [1.0] * 8, "cluster": list("abcdefgh"), "stratum": "all"})
    >>> metric = summarise(Units("accuracy", frame, chance=0.5))
    >>> metric.value, round(metric.low, 3), metric.high
    (1.0, 0.676, 1.0)
    """
    estimated = estimate(units.scores)
    low, high = estimated.interval()
    return Metric(
        name=units.name,
        value=estimated.value,
        low=low,
        high=high,
        chance=units.chance,
        majority=units.majority,
        units=units.scores.height,
        clusters=estimated.clusters,
    )


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

    `scores` are `(draws, units)`, the same units in each draw.
    """
    values = np.array([units.value(draw) for draw in scores])
    value, draws = float(values.mean()), len(values)
    within = units.variance(scores.mean(axis=0))
    if draws < 2:
        return DrawEstimate(value, None, None, 0.0, units.clusters)
    sd = float(values.std(ddof=1))
    if within is None:
        return DrawEstimate(value, sd, None, 0.0, units.clusters)
    # All draws are measured on the same units: what these add to every value alike is not in the
    # spread of the values, so `within` comes on top. Satterthwaite's freedom is that of the scaled
    # chi-square whose mean and variance are those of the sum: the noisier part sets it.
    between = sd**2 / draws
    total = between + within
    if total == 0:  # no score differs from another one, and all are neither 0 nor 1
        return DrawEstimate(value, sd, 0.0, float(units.clusters - 1), units.clusters)
    freedom = total**2 / (between**2 / (draws - 1) + within**2 / (units.clusters - 1))
    return DrawEstimate(value, sd, math.sqrt(total), freedom, units.clusters)
