"""Predictions of new images as a table: made of their store, written whole as CSV, JSON or Parquet.

In CSV a cell is text: media, votes and sets are JSON there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from savs.pipeline.classifying.classified_store import image_id
from savs.pipeline.errors import OutputError
from savs.pipeline.evaluation.evaluation import SelectedHeads
from savs.pipeline.evaluation.predictions import VOTES, in_schema, packed_predictions
from savs.pipeline.running.output_files import media_cell, new_file
from savs.pipeline.selection.selection import Selection
from savs.stores import FeatureStore

CSV = ".csv"
PARQUET = ".parquet"
SUFFIXES = (CSV, ".jsonl", ".ndjson", PARQUET)
CLASSIFIED_SCHEMA = {
    "id": pl.String,
    "media": pl.List(pl.String),
    "subtask": pl.String,
    "prompt": pl.String,
    "prediction": pl.String,
    "probability": pl.Float32,
    "margin": pl.Float32,
    "votes": VOTES,
    "prediction_set": pl.List(pl.String),
    "unsure": pl.Boolean,
    "typicality": pl.Float32,
    "atypical": pl.Boolean,
    "reason": pl.String,
}
"""Columns of the predictions of new images; `subtask` is left out where the classifier has none.

`prediction_set` and `unsure` need a risk; `probability`, `typicality` and `atypical` are those of
the calibration. Without one, `probability` is the share of the scores, see `shares`. A skipped
example has a `reason` and no prediction."""


def predictions_of(store: FeatureStore, selection: Selection, risk: float | None) -> pl.LazyFrame:
    """Return the predictions of all examples of a store of new images, in the order of its plan.

    Columns `CLASSIFIED_SCHEMA`. Ids are those that the images had before each was used in several
    tasks.
    """
    predictor = SelectedHeads(store, selection, risk=risk, is_compared=True)
    table = packed_predictions(store, predictor)
    if len(selection.tasks) > 1:
        table = table.with_columns(image_id(pl.col("id")))
    columns = in_schema(table, CLASSIFIED_SCHEMA)
    has_subtasks = any(task.subtask is not None for task in selection.tasks)
    return columns if has_subtasks else columns.drop("subtask")


def require_table_name(path: Path) -> None:
    """Raise OutputError unless predictions can be written under this name."""
    if path.suffix.lower() not in SUFFIXES or (path.exists() and not path.is_file()):
        raise OutputError(
            f"{path}: expected a name that ends in {', '.join(SUFFIXES)} as `out`, and no folder,"
            " pipe or device"
        )


def write_predictions(
    path: Path, table: pl.LazyFrame, before_naming: Callable[[Path], None]
) -> None:
    """Write predictions whole; `before_naming` is given the file before it gets its name.

    Raises
    ------
    OutputError
        The disk refuses; a file that was there stays as it was.
    """
    with new_file(path) as partial:
        with partial.open("wb") as file:
            if path.suffix.lower() == CSV:
                in_cells(table).sink_csv(file)
            elif path.suffix.lower() == PARQUET:
                table.sink_parquet(file)
            else:
                table.sink_ndjson(file)
        before_naming(partial)


def in_cells(table: pl.LazyFrame) -> pl.LazyFrame:
    """Return predictions as CSV has them: one medium is its name, other lists are JSON."""
    return table.with_columns(
        _cells("media", media_cell), _cells("votes", _votes_cell), _cells("prediction_set", _json)
    )


def _cells(column: str, cell: Callable[[Any], str]) -> pl.Expr:
    """Return a column of lists as text, null if there is no list."""

    def convert(lists: pl.Series) -> pl.Series:
        cells = [None if value is None else cell(value) for value in lists.to_list()]
        return pl.Series(lists.name, cells, dtype=pl.String)

    return pl.col(column).map_batches(convert, return_dtype=pl.String, is_elementwise=True)


def _votes_cell(votes: list[Mapping[str, Any]]) -> str:
    return _json({vote["class"]: round(vote["score"], 4) for vote in votes})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
