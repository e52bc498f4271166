"""Test examples that were skipped at extraction: rows without a prediction, counted as wrong."""

from collections.abc import Container, Sequence

import polars as pl

from savs.stores import FeatureStore


def as_wrong(skipped: pl.DataFrame, subtasks: Container[str | None]) -> pl.DataFrame:
    """Return the skipped examples of some subtasks as rows of predictions."""
    own = skipped.filter([subtask in subtasks for subtask in skipped["subtask"]])
    return own.with_columns(correct=pl.lit(False), prediction=pl.lit(None, pl.String))


def with_skipped(
    store: FeatureStore, parts: Sequence[pl.DataFrame], skipped: pl.DataFrame
) -> pl.DataFrame:
    """Return the predictions of all tasks, and the skipped examples, in the store's order."""
    return store.in_order("test", pl.concat([*parts, skipped], how="diagonal_relaxed"))
