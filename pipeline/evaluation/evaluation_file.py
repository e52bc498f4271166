"""An evaluation on disk: metrics, predictions, units, and the selection that made them."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from savs.datasets import Units
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.selection.selection_file import save_selection
from savs.stores.results import (
    METRICS,
    PREDICTIONS,
    SUBMISSION,
    UNITS,
    write_json,
    write_table,
)

UNIT_SCHEMA = pl.Schema(
    {
        "metric": pl.String,
        "unit": pl.UInt32,
        "score": pl.Float64,
        "cluster": pl.String,
        "stratum": pl.String,
    }
)
"""Columns of units.parquet; `unit` counts from 0 in each metric, in the order of the examples."""


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> tuple[Path, Path]:
    """Write metrics.json and the two tables, and the selection and submission.json, if any.

    predictions.parquet has a row an example, units.parquet a row a metric and unit.

    Returns
    -------
    tuple
        Paths of the metrics and of the predictions.

    Raises
    ------
    StoreWriteError
        The folder cannot be written.
    """
    folder = Path(folder)
    if evaluation.selection is not None:
        save_selection(evaluation.selection, folder)
    if evaluation.submission is not None:
        write_json(folder / SUBMISSION, evaluation.submission)
    write_table(folder / UNITS, unit_table(evaluation.units))
    return (
        write_json(folder / METRICS, evaluation.to_json()),
        write_table(folder / PREDICTIONS, evaluation.predictions),
    )


def unit_table(units: Sequence[Units]) -> pl.DataFrame:
    """Return the scores of all metrics, one row a metric and unit; columns `UNIT_SCHEMA`."""
    parts = [
        metric.scores.with_row_index("unit")
        .with_columns(metric=pl.lit(metric.name))
        .select(list(UNIT_SCHEMA))
        .cast(UNIT_SCHEMA)
        for metric in units
    ]
    return pl.concat([pl.DataFrame(schema=UNIT_SCHEMA), *parts])
