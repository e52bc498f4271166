"""Predictions of all test examples: skipped ones, too, in the order of the input file."""

from collections.abc import Container, Sequence

import polars as pl

from savs.pipeline.evaluation.predictions import packed
from savs.stores import FeatureStore

SLICE = 2**14
"""Predictions that are packed at a time."""


def with_skipped(
    store: FeatureStore, parts: Sequence[pl.DataFrame], subtasks: Container[str | None]
) -> pl.LazyFrame:
    """Return predictions together with the test examples of these subtasks that were skipped."""
    rows = [*parts, as_wrong(store.skipped("test"), subtasks)]
    return store.in_order("test", pl.concat(rows, how="diagonal_relaxed")).lazy()


def as_wrong(skipped: pl.DataFrame, subtasks: Container[str | None]) -> pl.DataFrame:
    """Return skipped examples of some subtasks as predictions: there is none, and it is wrong."""
    own = skipped.filter([subtask in subtasks for subtask in skipped["subtask"]])
    return own.with_columns(correct=pl.lit(False))


def in_file_order(store: FeatureStore, table: pl.LazyFrame) -> pl.LazyFrame:
    """Return test examples in the order of the input file.

    Where shards have them in another one, memory holds the whole table while it is packed anew, so
    that no query has to sort it.
    """
    places = store.places("test", table.select("id").collect())
    if places.is_sorted():
        return table
    rows = table.collect()[places.arg_sort()]
    return pl.concat(packed(part) for part in rows.iter_slices(SLICE))
