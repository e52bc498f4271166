"""From the cells of a sweep to a tidy table, and to means over draws with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array

RESAMPLES = 1000
LEVEL = 0.95


class Cell(NamedTuple):
    """One point of the grid."""

    readout: str
    heads: int
    shots: int
    draw: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep measured."""

    draws: pl.DataFrame
    """One row a readout, number of heads, shots, draw and metric: `value`, `chance`, `units`."""
    summary: pl.DataFrame
    """One row a readout, number of heads, shots and metric: `mean` and `sd` over draws (null for
    one draw), the 95 % interval `low`, `high` over draws and clusters, `chance`, `draws`. The
    headline metric comes first."""


def summarise_cells(cells: Mapping[Cell, Sequence[Units]], seed: int) -> Sweep:
    """Return the tables of a sweep.

    The interval is a percentile bootstrap on two levels: draws, and clusters of test units, are
    both drawn again, the clusters the same for all draws of a replicate.
    """
    rows = [
        [*cell, metric.name, _mean(metric), metric.chance, metric.scores.height]
        for cell, metrics in cells.items()
        for metric in metrics
    ]
    names = ["readout", "heads", "shots", "draw", "metric", "value", "chance", "units"]
    draws = pl.DataFrame(rows, schema=names, orient="row")
    groups: dict[tuple[str, int, int], list[Sequence[Units]]] = {}
    for cell, metrics in cells.items():
        groups.setdefault(cell[:3], []).append(metrics)
    summary = [
        [*key, name, *_summary(own, seed), own[0].chance, len(own)]
        for key, found in groups.items()
        for name, own in zip(
            [metric.name for metric in found[0]], zip(*found, strict=True), strict=True
        )
    ]
    order = ["readout", "heads", "shots", "metric", "mean", "sd", "low", "high", "chance", "draws"]
    return Sweep(draws, pl.DataFrame(summary, schema=order, orient="row"))


def _mean(metric: Units) -> float:
    return float((_weights(metric) * metric.scores["score"].to_numpy()).sum())


def _weights(metric: Units) -> Array:
    """Return what each unit counts: strata have equal weight, units in a stratum too."""
    return metric.scores.select(
        1 / (pl.col("stratum").n_unique() * pl.len().over("stratum"))
    ).to_series().to_numpy()  # fmt: skip


@lru_cache(maxsize=8)
def _picks(clusters: int, seed: int) -> Array:
    """Return how often each replicate holds each cluster, `(resamples, clusters)`."""
    rng = np.random.default_rng([seed, clusters])
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)
    return drawn.astype(np.float64)  # as numbers of a matrix product


def _summary(draws: Sequence[Units], seed: int) -> tuple[float, float | None, float, float]:
    """Return mean, SD over draws, and the ends of the interval."""
    weights = _weights(draws[0])
    scores = np.stack([metric.scores["score"].to_numpy() for metric in draws], axis=1)
    values = weights @ scores  # (draws,)
    own = draws[0].scores["cluster"].rank("dense").to_numpy().astype(np.int64) - 1
    count = int(own.max()) + 1
    sums = np.zeros((count, len(draws)))
    np.add.at(sums, own, weights[:, None] * scores)
    sizes = np.bincount(own, weights=weights)
    picks = _picks(count, seed)
    means = (picks @ sums) / (picks @ sizes)[:, None]  # (resamples, draws)
    which = np.random.default_rng(seed).integers(len(draws), size=means.shape)
    replicates = np.take_along_axis(means, which, axis=1).mean(axis=1)
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    sd = float(values.std(ddof=1)) if len(draws) > 1 else None
    return float(values.mean()), sd, float(low), float(high)
