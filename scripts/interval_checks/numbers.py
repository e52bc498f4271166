"""Predicted numbers: the intervals of their metrics, and of the numbers themselves.

Numbers and predictions are normal, with half of the variance of each between clusters. Ordinal ones
are cut at quintiles into five levels, as predictions are into the levels next to them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from interval_checks.clusters import Design, Shares, holds, plain_interval
from savs.datasets import Units
from savs.datasets.metrics.numbers import NumberPredictions, number_metrics
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.cross_validation import INFLATION
from savs.pipeline.heads.folds import FOLDS, number_folds
from savs.pipeline.readouts.ridge import fit_numbers
from savs.pipeline.statistics.intervals import (
    Estimate,
    ends_of,
    ends_of_difference,
    estimate,
    one_stratum,
    summarise,
)
from savs.pipeline.targets.numbers import COVERAGE, fit_reach

CORRELATIONS = (0.0, 0.5, 0.9)
MANY = 400_000
"""Examples that stand for endlessly many."""
LEVELS = np.arange(1.0, 6)


def draw(
    rng: np.random.Generator, cluster: Array, correlation: float, *, is_ordinal: bool
) -> NumberPredictions:
    """Return numbers of examples in clusters with predictions of a correlation to them."""
    clusters = int(cluster.max()) + 1
    pairs = rng.normal(size=(2, clusters))[:, cluster] + rng.normal(size=(2, len(cluster)))
    truth, other = math.sqrt(0.5) * pairs
    value = correlation * (correlation * truth + math.sqrt(1 - correlation**2) * other)
    if not correlation:
        value = other * 0.5
    if not is_ordinal:
        return NumberPredictions(truth, value, None, (), None)
    cuts = np.array([-0.8416, -0.2533, 0.2533, 0.8416])
    truth, value = LEVELS[np.searchsorted(cuts, truth)], 3 + 1.4 * value
    return NumberPredictions(truth, value, np.clip(np.rint(value), 1, 5), (), None)


def metric_coverage(
    rng: np.random.Generator, design: Design, correlation: float, samples: int
) -> dict[str, Shares]:
    """Return how often the interval of each metric contains what an endless test set would have."""
    hits: dict[str, list[tuple[bool, bool]]] = {}
    names = pl.Series(design.cluster).cast(pl.String)
    whole = pl.Series(np.arange(MANY)).cast(pl.String)
    for is_ordinal in (False, True):
        endless = draw(rng, np.arange(MANY), correlation, is_ordinal=is_ordinal)
        truths = {
            one.name: float(one.scores["score"].mean())  # type: ignore[arg-type]
            for one in number_metrics(endless, whole, 0.0, 0.0, COVERAGE)
        }
        for _ in range(samples):
            predictions = draw(rng, design.cluster, correlation, is_ordinal=is_ordinal)
            for units in number_metrics(predictions, names, 0.0, 0.0, COVERAGE):
                if is_ordinal and units.name in ("MAE", "RMSE", "R2", "Spearman's rho"):
                    continue
                metric, values = summarise(units), units.scores["score"].to_numpy()
                plain = plain_interval(values, design.cluster)
                truth = truths[units.name]
                pair = holds((metric.low, metric.high), truth), holds(plain, truth)
                hits.setdefault(units.name, []).append(pair)
    return {name: Shares(*np.mean(of, axis=0)) for name, of in hits.items()}


BETTER = (0.5, 0.6, 0.9)
"""Correlations of a second system; the first has .5."""


def difference_coverage(
    rng: np.random.Generator, design: Design, better: float, samples: int
) -> dict[str, Shares]:
    """Return how often the interval of a difference of two systems contains the true one.

    Half of what a prediction lacks is the same in both systems.
    """
    hits: dict[str, list[tuple[bool, bool]]] = {}
    names = pl.Series(design.cluster).cast(pl.String)
    endless = _two(rng, np.arange(MANY), better)
    whole = pl.Series(np.arange(MANY)).cast(pl.String)
    truths = {
        a.name: float((b.scores["score"] - a.scores["score"]).mean())  # type: ignore[arg-type]
        for a, b in _metrics_of(endless, whole)
    }
    for _ in range(samples):
        for a, b in _metrics_of(_two(rng, design.cluster, better), names):
            apart = a.scores.with_columns(score=b.scores["score"] - a.scores["score"])
            found, values = estimate(apart, scale=a.scale), apart["score"].to_numpy()
            ends = ends_of_difference(a.scale, found.value, found.reach() or math.inf)
            truth = truths[a.name]
            pair = holds(ends, truth), holds(plain_interval(values, design.cluster), truth)
            hits.setdefault(a.name, []).append(pair)
    return {name: Shares(*np.mean(of, axis=0)) for name, of in hits.items()}


def _two(rng: np.random.Generator, cluster: Array, better: float) -> list[NumberPredictions]:
    """Return the predictions of two systems of the same examples."""
    pairs = rng.normal(size=(4, int(cluster.max()) + 1))[:, cluster]
    truth, shared, *own = math.sqrt(0.5) * (pairs + rng.normal(size=(4, len(cluster))))
    systems = []
    for correlation, other in zip((BETTER[0], better), own, strict=True):
        lack = math.sqrt(1 - correlation**2) * math.sqrt(0.5) * (shared + other)
        value = correlation * (correlation * truth + lack)
        systems.append(NumberPredictions(truth, value, None, (), None))
    return systems


def _metrics_of(
    systems: Sequence[NumberPredictions], cluster: pl.Series
) -> Iterator[tuple[Units, Units]]:
    return zip(*(number_metrics(one, cluster, 0.0, 0.0, COVERAGE) for one in systems), strict=True)


@dataclass(frozen=True, slots=True)
class Pool:
    """Training examples whose numbers are learned from features of one head."""

    clusters: int
    size: int
    """Of each cluster."""
    width: int

    @property
    def name(self) -> str:
        """The heading of a row."""
        return f"{self.clusters} clusters of {self.size}, {self.width} features"


POOLS = (
    *(Pool(19, 1, 5), Pool(30, 1, 20), Pool(100, 1, 20), Pool(50, 4, 20), Pool(20, 16, 20)),
    *(Pool(200, 1, 300), Pool(100, 4, 300)),
)
NEW = 20
"""Clusters that training does not see."""


def pool_coverage(rng: np.random.Generator, pool: Pool, samples: int) -> tuple[float, float]:
    """Return how often intervals of numbers hold those of new clusters, and that of the CV error.

    The second is how often the interval of the cross-validated mean absolute error holds its mean
    over training sets. Features explain half of the variance; half of theirs, and of the noise's,
    is between clusters.
    """
    slopes = rng.normal(size=pool.width) / math.sqrt(pool.width)
    cluster = np.repeat(np.arange(pool.clusters + NEW), pool.size)
    seen, inside, ends, means = cluster < pool.clusters, 0.0, [], []
    for _ in range(samples):
        rows, noise = (
            rng.normal(size=(pool.clusters + NEW, *shape))[cluster]
            + rng.normal(size=(len(cluster), *shape))
            for shape in ((pool.width,), ())
        )
        numbers = rows @ slopes + noise
        value = _fitted(rows, numbers, cluster, seen, ~seen)
        errors = np.empty(len(numbers))
        parts = number_folds(numbers[seen], FOLDS, cluster[seen])
        for fold in np.unique(parts):
            out = np.flatnonzero(seen)[parts == fold]
            train = np.flatnonzero(seen)[parts != fold]
            errors[out] = np.abs(numbers[out] - _fitted(rows, numbers, cluster, train, out))
        reach = fit_reach(errors[seen], cluster[seen])
        inside += float((np.abs(numbers[~seen] - value) <= (reach or math.inf)).mean())
        weights = one_stratum(pl.Series(cluster[seen]))
        mae = Estimate.of(errors[seen], weights, inflation=INFLATION, scale="error")
        ends.append(ends_of("error", mae.value, mae.reach()))
        means.append(mae.value)
    return inside / samples, float(np.mean([holds(pair, float(np.mean(means))) for pair in ends]))


def _fitted(rows: Array, numbers: Array, cluster: Array, train: Array, new: Array) -> Array:
    """Return the numbers of new examples by a fit to the `train` ones."""
    mean = numbers[train].mean()
    features = rows[None].astype(np.float32)
    fitted = fit_numbers(features[:, train], numbers[train] - mean, cluster[train])
    return mean + fitted.scores(features[:, new]).soft[:, 0].astype(np.float64)
