"""The scores of a sweep's units as a lazy table, so that a file is written group by group."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from polars.io.plugins import register_io_source

from savs.datasets import Units
from savs.foundation.arrays import Array

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

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a group is a batch
        left = n_rows
        for own in scores:
            frame = own.frame()
            if left is not None:
                frame = frame.head(left)  # a limit comes before the predicate
                left -= frame.height
            kept = frame if predicate is None else frame.filter(predicate)
            yield kept if with_columns is None else kept.select(with_columns)
            if left == 0:
                return

    return register_io_source(read, schema=UNITS_SCHEMA, explain_name="savs sweep units")
