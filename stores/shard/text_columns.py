"""Columns of a shard's examples in bytes: each is a JSON list with one value a row."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.format.layout import EXAMPLE_COLUMNS, REASON_COLUMN, THUMBNAIL_COLUMN

Columns = Mapping[str, Sequence[Any]]
"""Column name -> one value a row: int for `index`, lists of text for `media` and `media_sha256`,
bytes for `thumbnail`, text otherwise; None for no value."""

_LIST = (list[str], pl.List(pl.String))
_TYPES: dict[str, tuple[Any, pl.DataType]] = {
    "index": (int, pl.Int64()),
    "media": _LIST,
    "media_sha256": _LIST,
    THUMBNAIL_COLUMN: (bytes, pl.Binary()),
}
"""Column that is not text -> type of its values in Python and in a table."""


def column_type(name: str) -> pl.DataType:
    """Return the type of an example column; `extra` is JSON text."""
    return _TYPES.get(name, (str, pl.String()))[1]


EXAMPLE_SCHEMA = {name: column_type(name) for name in EXAMPLE_COLUMNS}
"""The columns that every example has."""
SKIPPED_SCHEMA = EXAMPLE_SCHEMA | {REASON_COLUMN: pl.String()}
"""The columns of a skipped example."""


def _json_type(name: str) -> Any:
    """Return the type of a whole column; bytes are base64."""
    value = _TYPES.get(name, (str, None))[0]
    return list[value if EXAMPLE_COLUMNS.get(name, name == REASON_COLUMN) else value | None]


def encode_column(name: str, values: Sequence[Any]) -> Array:
    """Return a column as it is stored, `(bytes,)` uint8.

    Raises
    ------
    ValueError
        A value is of another type than the column's, missing, or half a character.
    """
    checked = msgspec.convert(list(values), _json_type(name), builtin_types=(bytes,))
    return np.frombuffer(msgspec.json.encode(checked), np.uint8)


def decode_column(name: str, stored: Array, rows: int) -> pl.Series:
    """Return what `encode_column` stored.

    Raises
    ------
    ValueError
        The bytes are not a JSON list of `rows` values of the column's type.
    """
    values = msgspec.json.decode(stored.tobytes(), type=_json_type(name))
    if len(values) != rows:
        raise ValueError(f"expected a JSON list of {rows} values, got {len(values)}")
    if rows and column_type(name) == pl.List(pl.String()):
        # from the text at once: polars would make a series of each list of values
        text = pl.Series(name, [stored.tobytes().decode()])
        return text.str.json_decode(pl.List(pl.List(pl.String))).explode()
    return pl.Series(name, values, dtype=column_type(name))


def check_columns(columns: Mapping[str, pl.Series], split: str, planned: Collection[str]) -> None:
    """Check some columns of the examples of one shard, whose planned ids are `planned`.

    Raises
    ------
    ValueError
        An id is not planned or occurs twice, an example is of another split or lacks its label.
    """
    empty = pl.Series(dtype=pl.String)
    ids, splits = columns.get("id", empty), columns.get("split", empty)
    odd = set(ids).difference(planned) or ids.filter(ids.is_duplicated())
    if len(odd):
        raise ValueError(f"id: expected planned ones, each once, got {min(odd)!r}")
    if len(others := splits.filter(splits != split)):
        raise ValueError(f"split: expected {split!r}, got {others[0]!r}")
    check_labels(columns.get("label", empty), split)


def check_labels(labels: pl.Series, split: str) -> None:
    """Raise ValueError unless all training examples have a label, and all test examples or none."""
    nulls = labels.null_count()
    if nulls and (split == "train" or (split == "test" and nulls < len(labels))):
        raise ValueError(f"label: expected one in every row, got null in {nulls:,}")
