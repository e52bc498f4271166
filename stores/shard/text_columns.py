"""Columns of a shard's examples in bytes: each is a JSON list with one value a row."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.format.layout import EXAMPLE_COLUMNS, REASON_COLUMN, THUMBNAIL_COLUMN

Columns = Mapping[str, Sequence[Any]]
"""Column name -> one value a row: int for `index`, lists of text for `media` and `media_sha256`,
bytes for `thumbnail`, text otherwise; None for no value."""

_LISTS = ("media", "media_sha256")


def column_type(name: str) -> pl.DataType:
    """Return the type of an example column; `extra` is JSON text."""
    if name in _LISTS:
        return pl.List(pl.String)
    return {"index": pl.Int64(), THUMBNAIL_COLUMN: pl.Binary()}.get(name, pl.String())


EXAMPLE_SCHEMA = {name: column_type(name) for name in EXAMPLE_COLUMNS}
"""The columns that every example has."""


def encode_column(name: str, values: Sequence[Any]) -> Array:
    """Return a column as it is stored, `(bytes,)` uint8.

    Raises
    ------
    ValueError
        A value is of another type than the column's, missing, or half a character.
    """
    _check(name, values)
    plain = list(values)
    if name == THUMBNAIL_COLUMN:
        plain = [v if v is None else base64.b64encode(v).decode("ascii") for v in plain]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(text.encode("utf-8"), np.uint8)


def decode_column(name: str, stored: Array, rows: int) -> pl.Series:
    """Return what `encode_column` stored.

    Raises
    ------
    ValueError
        The bytes are no JSON list of so many values of the column's type.
    """
    values = json.loads(stored.tobytes())
    if not isinstance(values, list) or len(values) != rows:
        raise ValueError(f"it is no JSON list of {rows} values")
    if name == THUMBNAIL_COLUMN:
        values = [v if v is None else base64.b64decode(v, validate=True) for v in values]
    _check(name, values)
    return pl.Series(name, values, dtype=column_type(name))


def _check(name: str, values: Sequence[Any]) -> None:
    """Raise ValueError where a value is not of the column's type."""
    what, is_right = _KINDS.get(name, ("text", lambda value: isinstance(value, str)))
    optional = not EXAMPLE_COLUMNS.get(name, name == REASON_COLUMN)
    for row, value in enumerate(values):
        if not (is_right(value) or (value is None and optional)):
            raise ValueError(f"row {row} is {value!r:.60}, expected {what}")


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "index": ("a whole number", lambda value: type(value) is int and -(2**63) <= value < 2**63),
    THUMBNAIL_COLUMN: ("bytes", lambda value: isinstance(value, bytes)),
    **dict.fromkeys(_LISTS, ("a list of text", _is_list_of_text)),
}
"""Column that is not text -> what a value of it is."""
