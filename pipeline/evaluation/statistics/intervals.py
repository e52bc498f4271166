"""Means with error bars, from one score a unit and the clusters that the units fall into."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.statistics.unit_weights import UnitWeights, one_stratum, weigh_units
from savs.pipeline.evaluation.statistics.wilson import LEVEL, wilson_interval


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
    found = estimate(units.scores)
    low, high = found.interval()
    return Metric(
        name=units.name,
        value=found.value,
        low=low,
        high=high,
        chance=units.chance,
        majority=units.majority,
        units=units.scores.height,
        clusters=found.clusters,
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over strata of stratum means, and how well it is known."""

    value: float
    error: float | None
    """Clustered standard error; None where there is one cluster."""
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

    Parameters
    ----------
    scores
        One row a unit with `score` (0 to 1, or -1 to 1 for a difference of two), `cluster` and
        `stratum`.
    """
    return Estimate.of(scores["score"].cast(pl.Float64).to_numpy(), weigh_units(scores))


def estimate_share(flags: pl.Series, cluster: pl.Series) -> Estimate:
    """Return the share of flags that are set; dependent ones are of the same cluster."""
    return Estimate.of(flags.cast(pl.Float64).to_numpy(), one_stratum(cluster))


def weigh(scores: pl.DataFrame) -> pl.DataFrame:
    """Return units with their `weight` in the mean over strata and the `mean` of their stratum."""
    return scores.with_columns(
        weight=1 / (pl.col("stratum").n_unique() * pl.len().over("stratum")),
        mean=pl.col("score").mean().over("stratum"),
    )


def cluster_sums(units: pl.DataFrame, values: pl.Expr) -> np.ndarray[Any, Any]:
    """Return the sum of an expression over each cluster, in order of first appearance."""
    return (
        units.group_by("cluster", maintain_order=True)
        .agg(values.sum().alias("sum"))["sum"]
        .to_numpy()
    )
