"""The columns of a shard's examples as a polars frame."""

import json
from collections.abc import Collection
from typing import Any

import polars as pl

from savs.stores.format.layout import INDEX_COLUMN, TEXT_COLUMNS, THUMBNAIL_COLUMN
from savs.stores.shard.read import Shard

_JSON_COLUMNS = ("media", "media_sha256")
_TYPES: dict[str, pl.DataType] = {
    INDEX_COLUMN: pl.Int64(),
    THUMBNAIL_COLUMN: pl.Binary(),
    **dict.fromkeys(_JSON_COLUMNS, pl.List(pl.String)),
}
"""Columns that are not text."""


def column_type(name: str) -> pl.DataType:
    """Return the type of an example column; `extra` is JSON text."""
    return _TYPES.get(name, pl.String())


EXAMPLE_SCHEMA = {name: column_type(name) for name in (INDEX_COLUMN, *TEXT_COLUMNS)}
"""The columns that every example has."""


def shard_table(
    shard: Shard, *, skipped: bool = False, names: Collection[str] | None = None
) -> pl.DataFrame:
    """Return a shard's examples, or its skipped ones, in the order of the plan.

    Parameters
    ----------
    shard
        Open for reading.
    skipped
        Return the examples that could not be read, with `reason`.
    names
        Which columns beside `index`; all by default. Others are not read.

    Raises
    ------
    StoreCorruptError
        A column is damaged or missing.
    """
    columns = shard.skipped(names) if skipped else shard.examples(names)
    frame: dict[str, list[Any]] = {
        name: [json.loads(v) for v in values] if name in _JSON_COLUMNS else values
        for name, values in columns.items()
    }
    return pl.DataFrame(frame, schema={name: column_type(name) for name in columns})
