"""From the cells of a sweep to tidy tables: values, means over draws, paired differences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.statistics.intervals import (
    UnitWeights,
    estimate_over_draws,
    weigh_units,
)
from savs.pipeline.evaluation.statistics.paired_tests import holm
from savs.pipeline.evaluation.sweep.units_table import UnitScores, units_table

DRAWS_SCHEMA = {
    "readout": pl.String,
    "heads": pl.Int64,
    "shots": pl.Int64,
    "draw": pl.Int64,
    "metric": pl.String,
    "value": pl.Float64,
    "chance": pl.Float64,
    "units": pl.Int64,
}
SUMMARY_SCHEMA = {
    "readout": pl.String,
    "heads": pl.Int64,
    "shots": pl.Int64,
    "metric": pl.String,
    "mean": pl.Float64,
    "sd": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "chance": pl.Float64,
    "draws": pl.Int64,
}
DIFFERENCES_SCHEMA = {
    "metric": pl.String,
    "heads": pl.Int64,
    "shots": pl.Int64,
    "a": pl.String,
    "b": pl.String,
    "difference": pl.Float64,
    "error": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "draws": pl.Int64,
    "clusters": pl.Int64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
}


class Cell(NamedTuple):
    """One point of the grid."""

    readout: str
    heads: int
    shots: int | None
    """None where all training examples were taken."""
    draw: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep measured. `shots` is null where all training examples were taken."""

    draws: pl.DataFrame
    """One row a readout, number of heads, shots, draw and metric; columns `DRAWS_SCHEMA`."""
    summary: pl.DataFrame
    """One row a readout, number of heads, shots and metric: `mean` and `sd` over draws, the 95 %
    interval `low`, `high` over draws and clusters, null for one draw. The headline metric comes
    first. Columns `SUMMARY_SCHEMA`."""
    differences: pl.DataFrame
    """One row a metric, number of heads, shots and readout `b` other than the first, `a`: the mean
    of b - a over the same draws and units, `p` and interval, null for one draw. `a` has as many
    heads, or the only number that it was measured with. `p_holm` corrects all rows of the headline
    metric, and is null for the others. Columns `DIFFERENCES_SCHEMA`."""
    units: pl.LazyFrame
    """One row a readout, number of heads, shots, metric and unit, with its `scores` in all draws;
    columns `UNITS_SCHEMA`."""


@dataclass(frozen=True, slots=True)
class _Metric:
    """What a metric has in all cells."""

    units: Units
    weights: UnitWeights


@dataclass(slots=True)
class CellScores:
    """The scores of cells, kept as arrays: the units are the same in all of them."""

    _metrics: list[_Metric] = field(default_factory=list)
    _scores: dict[Cell, list[Array]] = field(default_factory=dict)
    _chances: dict[Cell, list[float]] = field(default_factory=dict)

    def add(self, cell: Cell, metrics: Sequence[Units]) -> None:
        """Keep the scores of a cell.

        Raises
        ------
        SelectionError
            A metric has other units than in the first cell.
        """
        if not self._metrics:
            self._metrics = [_Metric(units, weigh_units(units.scores)) for units in metrics]
        for first, units in zip(self._metrics, metrics, strict=True):
            same = [
                frame.select("cluster", "stratum") for frame in (first.units.scores, units.scores)
            ]
            if first.units.name != units.name or not same[0].equals(same[1]):
                raise SelectionError(
                    f"metric {units.name!r} has other units in one draw than in another, expected"
                    " the same in all: `measure` of the benchmark must not choose units by their"
                    " predictions"
                )
        self._scores[cell] = [_small(units.scores["score"]) for units in metrics]
        self._chances[cell] = [units.chance for units in metrics]

    def tables(self, readouts: Sequence[str]) -> Sweep:
        """Return the tables of a sweep, in the order of the readouts."""
        groups: dict[tuple[str, int, int | None], list[Cell]] = {}
        for cell in sorted(self._scores, key=lambda cell: readouts.index(cell.readout)):
            groups.setdefault(cell[:3], []).append(cell)
        scores: list[UnitScores] = []
        means: list[list[object]] = []
        for key, cells in groups.items():
            for number, metric in enumerate(self._metrics):
                own = np.stack([self._scores[cell][number] for cell in cells])
                scores.append(UnitScores(*key, metric.units, own))
                found = estimate_over_draws(metric.weights, own.astype(float))
                ends, chance = found.share_interval(), self._chances[cells[0]][number]
                means.append(
                    [*key, metric.units.name, found.value, found.sd, *ends, chance, len(cells)]
                )
        return Sweep(
            pl.DataFrame(list(self._draws()), schema=DRAWS_SCHEMA, orient="row"),
            pl.DataFrame(means, schema=SUMMARY_SCHEMA, orient="row"),
            self._differences(scores),
            units_table(scores),
        )

    def _draws(self) -> Iterator[list[object]]:
        for cell, scores in self._scores.items():
            for metric, own, chance in zip(self._metrics, scores, self._chances[cell], strict=True):
                value = metric.weights.value(own.astype(float))
                yield [*cell, metric.units.name, value, chance, len(own)]

    def _differences(self, scores: Sequence[UnitScores]) -> pl.DataFrame:
        first = scores[0].readout
        heads_of_first = {own.heads for own in scores if own.readout == first}
        of = {(o.readout, o.heads, o.shots, o.units.name): o.scores.astype(float) for o in scores}
        rows = []
        for metric in self._metrics:
            name = metric.units.name
            for (b, heads, shots, own), theirs in of.items():
                if own != name or b == first:
                    continue
                same = heads if heads in heads_of_first else next(iter(heads_of_first))
                apart = theirs - of[first, same, shots, name]
                found = estimate_over_draws(metric.weights, apart)
                known = [found.value, found.error, *found.interval(), len(apart), found.clusters]
                rows.append([name, heads, shots, first, b, *known, found.p(), None])
        table = pl.DataFrame(rows, schema=DIFFERENCES_SCHEMA, orient="row")
        headline = (pl.col("metric") == self._metrics[0].units.name) & pl.col("p").is_not_null()
        picked = table.with_row_index("row").filter(headline)
        corrected = dict(zip(picked["row"], holm(picked["p"].to_list()), strict=True))
        values = [corrected.get(row) for row in range(table.height)]
        return table.with_columns(p_holm=pl.Series(values, dtype=pl.Float64))


def _small(scores: pl.Series) -> Array:
    """Return scores in one byte each where all are 0 or 1."""
    values = scores.cast(pl.Float64).to_numpy()
    return values.astype(np.uint8) if np.isin(values, (0, 1)).all() else values
