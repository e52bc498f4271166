"""Predictions of `savs classify` or `savs evaluate`, read from a file."""

from pathlib import Path
from typing import Any

import polars as pl

from savs.foundation.files import regular_size
from savs.foundation.frames import scan_parquet
from savs.pipeline.running.output_files import media_of_cell
from savs.stores.results import reading

COLUMNS = {
    "id": pl.String,
    "media": pl.List(pl.String),
    "subtask": pl.String,
    "prediction": pl.String,
    "margin": pl.Float32,
}
NEEDED = ("id", "prediction", "margin")
LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", *LINES, ".parquet")


def read_predictions(path: Path) -> pl.DataFrame:
    """Return the columns `COLUMNS`; `media` only where the file has it.

    Raises
    ------
    ResultError
        The file is not there, is of another form, or lacks a column.
    """
    with reading(path, "savs classify"):
        regular_size(path)
        found = _read(path)
        lacks = [name for name in NEEDED if name not in found.columns]
        if lacks:
            raise ValueError(f"it has no column {lacks[0]!r}; expected {', '.join(NEEDED)}")
        if "media" in found.columns and found.schema["media"] == pl.String:
            cells = map(media_of_cell, found["media"])
            found = found.with_columns(media=pl.Series(cells, dtype=pl.List(pl.String)))
        if "subtask" not in found.columns:
            found = found.with_columns(subtask=pl.lit(None, pl.String))
        types = {n: kind for n, kind in COLUMNS.items() if n in found.columns}
        return found.select(pl.col(name).cast(kind) for name, kind in types.items())


def _read(path: Path) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        text: dict[str, Any] = dict.fromkeys(COLUMNS, pl.String) | {"margin": pl.Float32}
        return pl.read_csv(path, schema_overrides=text, infer_schema_length=None)
    if suffix in LINES:
        return pl.read_ndjson(path, infer_schema_length=None)
    with path.open("rb") as file:
        return scan_parquet(file).collect()
