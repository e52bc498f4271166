"""Predictions as CSV, where a cell is text: media, votes and sets are written as JSON."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from savs.pipeline.running.output_files import media_cell, media_of_cell


def csv_bytes(rows: pl.DataFrame, *, with_header: bool) -> bytes:
    """Return rows as CSV. One medium is its name; several, votes and sets are JSON."""
    buffer = io.BytesIO()
    cells = rows.with_columns(
        media=pl.Series(list(map(media_cell, rows["media"].to_list())), dtype=pl.String),
        votes=pl.Series(list(map(_votes, rows["votes"].to_list())), dtype=pl.String),
        prediction_set=pl.Series(
            list(map(_set, rows["prediction_set"].to_list())), dtype=pl.String
        ),
    )
    cells.write_csv(buffer, include_header=with_header)
    return buffer.getvalue()


def read_csv(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return what was written, each medium in its list; votes and sets stay as they are written."""
    types = {name: pl.String if kind.is_nested() else kind for name, kind in schema.items()}
    found = pl.read_csv(path, schema=types)
    media = pl.Series(map(media_of_cell, found["media"]), dtype=pl.List(pl.String))
    return found.with_columns(media=media)


def _votes(found: list[dict[str, Any]] | None) -> str | None:
    if found is None:
        return None
    return msgspec.json.encode({vote["class"]: round(vote["score"], 4) for vote in found}).decode()


def _set(classes: list[str] | None) -> str | None:
    return None if classes is None else msgspec.json.encode(classes).decode()
