"""The scores of a sweep's units as a lazy table, so that a file is written group by group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array
from savs.foundation.frames import lazy_frames

UNITS_SCHEMA: Mapping[str, pl.DataType] = {
    "readout": pl.String(),
    "heads": pl.Int64(),
    "shots": pl.Int64(),
    "metric": pl.String(),
    "unit": pl.UInt32(),
    "cluster": pl.String(),
    "stratum": pl.String(),
    "scores": pl.List(pl.Float64()),
}
"""Columns of a sweep's units; `unit` counts from 0 in each metric, `scores` has one a draw."""


@dataclass(frozen=True, slots=True)
class UnitScores:
    """The scores of one metric's units, with one readout, number of heads and shots."""

    readout: str
    heads: int
    shots: int | None
    units: Units
    """For the name, the clusters and the strata."""
    scores: Array
    """`(draws, units)`."""

    def frame(self) -> pl.DataFrame:
        """Return one row a unit, columns `UNITS_SCHEMA`."""
        kept = self.units.scores.select("cluster", "stratum").with_row_index("unit")
        return kept.with_columns(
            readout=pl.lit(self.readout),
            heads=pl.lit(self.heads),
            shots=pl.lit(self.shots),
            metric=pl.lit(self.units.name),
            scores=pl.Series(self.scores.T.astype(float)).arr.to_list(),
        ).select(pl.col(name).cast(dtype) for name, dtype in UNITS_SCHEMA.items())


def units_table(scores: Sequence[UnitScores]) -> pl.LazyFrame:
    """Return the units of all groups, columns `UNITS_SCHEMA`."""
    return lazy_frames(lambda: (own.frame() for own in scores), UNITS_SCHEMA, "savs sweep units")
