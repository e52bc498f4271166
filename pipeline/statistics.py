"""Means with error bars, from one score a unit and the clusters that the units fall into."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Units

LEVEL = 0.95
"""Coverage of every interval."""
Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


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
    """Return the mean of a metric's units and its 95 % interval.

    The standard error is clustered: with weights w_i that make the mean over strata of the stratum
    means, SE^2 = C / (C - 1) * sum over clusters of (sum of w_i (s_i - stratum mean))^2; with one
    stratum this is the formula of Miller, arXiv 2411.00640, with the small-sample factor. The
    interval is Student's t with C - 1 degrees of freedom, clipped to [0, 1]. A stratum whose scores
    are all equal shows no spread of its own: it adds that of Wilson's interval for its number of
    clusters. With one stratum, where all scores are equal, or each unit is its own cluster and
    scores are 0 or 1, the interval is Wilson's, so that 0 % and 100 % have a width too.

    Examples
    --------
    >>> frame = pl.DataFrame({"score": [1.0] * 8, "cluster": list("abcdefgh"), "stratum": "all"})
    >>> metric = summarise(Units("accuracy", frame, chance=0.5))
    >>> metric.value, round(metric.low, 3), metric.high
    (1.0, 0.676, 1.0)
    """
    frame = units.scores.with_columns(
        weight=1 / (pl.col("stratum").n_unique() * pl.len().over("stratum")),
        mean=pl.col("score").mean().over("stratum"),
    )
    strata = frame.group_by("stratum", maintain_order=True).agg(pl.col("score").mean())
    value = float(np.mean(strata["score"].to_numpy()))
    residual = (pl.col("weight") * (pl.col("score") - pl.col("mean"))).sum()
    sums = frame.group_by("cluster").agg(residual.alias("residual"))["residual"].to_numpy()
    low, high = _interval(frame, value, sums)
    return Metric(
        name=units.name,
        value=value,
        low=low,
        high=high,
        chance=units.chance,
        majority=units.majority,
        units=frame.height,
        clusters=len(sums),
    )


def _interval(
    frame: pl.DataFrame, value: float, residuals: np.ndarray[Any, Any]
) -> tuple[float | None, float | None]:
    clusters = len(residuals)
    strata = frame["stratum"].n_unique()
    binary = frame["score"].is_in([0.0, 1.0]).all()
    independent = clusters == frame.height or frame["score"].n_unique() == 1
    if strata == 1 and binary and independent:
        return wilson_interval(value, clusters)
    if clusters < 2:
        return None, None
    from scipy.special import stdtrit  # scipy.stats takes five times as long to import

    spread = clusters / (clusters - 1) * float((residuals**2).sum())
    error = math.sqrt(spread + _spread_of_uniform(frame, strata))
    reach = float(stdtrit(clusters - 1, (1 + LEVEL) / 2)) * error
    return max(0.0, value - reach), min(1.0, value + reach)


def _spread_of_uniform(frame: pl.DataFrame, strata: int) -> float:
    """Return the variance that strata with equal scores add to the mean over strata."""
    uniform = (
        frame.group_by("stratum")
        .agg(
            pl.col("score").first(), same=pl.col("score").n_unique() == 1, n=pl.n_unique("cluster")
        )
        .filter("same")
    )
    reaches = []
    for score, n in uniform.select("score", "n").iter_rows():
        low, high = wilson_interval(score, n)
        reaches.append(max(score - low, high - score) / Z)
    return sum((reach / strata) ** 2 for reach in reaches)


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share among n independent trials.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(0.5, 10)]
    [0.2366, 0.7634]
    """
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - reach), min(1.0, centre + reach)
