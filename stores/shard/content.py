"""The content of one shard, and its checks before it is written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.errors import FeatureValueError
from savs.stores.format.layout import (
    EXAMPLE_COLUMNS,
    OUTPUT_TYPES,
    REASON_COLUMN,
    STORED_DTYPES,
    THUMBNAIL_COLUMN,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec

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


@dataclass(frozen=True, slots=True)
class ShardContent:
    """What one shard holds."""

    layers: Mapping[int, Array]
    """Layer -> `(heads, rows, head_dim)` in the stored type."""
    examples: Columns
    """One value a row, in the order of the features' rows."""
    skipped: Columns
    """The same columns for the examples that could not be read, with `reason`."""
    run: Mapping[str, Any]
    """What the writer records about itself."""
    outputs: Mapping[str, Array] = field(default_factory=dict)
    """Name of each output that the identity lists -> one row an example, of `OUTPUT_TYPES`."""


def check_content(
    spec: ShardSpec, planned: Sequence[str], identity: Identity, content: ShardContent
) -> None:
    """Check that a content fits a planned shard and is finite; FeatureValueError if it does not."""
    _check_columns(spec, planned, content)
    ids = content.examples["id"]
    _check_outputs(spec, identity, content, len(ids))
    for grid in identity.grid:
        expected = (len(grid.heads), len(ids), grid.head_dim)
        dtype = STORED_DTYPES[identity.dtype]
        values = content.layers.get(grid.layer)
        if values is None or values.shape != expected or values.dtype != dtype:
            got = "missing" if values is None else f"{values.shape} {values.dtype}"
            raise FeatureValueError(
                f"{spec.name}: layer {grid.layer} is {got}, expected {expected} {dtype}"
            )
        if (row := endless_row(values, identity.dtype)) is not None:
            raise FeatureValueError(
                f"{spec.name}: layer {grid.layer} of example {ids[row]!r} holds NaN or infinity in"
                f" {identity.dtype}; use the dtype that the model was trained in, or `dtype`"
                " float32"
            )


def _check_outputs(spec: ShardSpec, identity: Identity, content: ShardContent, rows: int) -> None:
    lengths = {name: len(values) for name, values in content.outputs.items()}
    if lengths != dict.fromkeys(identity.outputs, rows):
        raise FeatureValueError(
            f"{spec.name}: outputs have lengths {lengths}, expected {sorted(identity.outputs)} of"
            f" {rows} rows"
        )
    for name, values in content.outputs.items():
        if values.dtype.str not in OUTPUT_TYPES:
            raise FeatureValueError(
                f"{spec.name}: output {name} is {values.dtype}, expected float32 or int32"
            )


def _check_columns(spec: ShardSpec, planned: Sequence[str], content: ShardContent) -> None:
    for what, columns in (("example", content.examples), ("skipped", content.skipped)):
        needed = {*EXAMPLE_COLUMNS} | ({REASON_COLUMN} if what == "skipped" else set())
        lengths = {name: len(values) for name, values in columns.items()}
        known = needed <= set(lengths) <= needed | {THUMBNAIL_COLUMN}
        if not known or len(set(lengths.values())) != 1:
            raise FeatureValueError(
                f"{spec.name}: the {what} columns have lengths {lengths}, expected all of"
                f" {sorted(needed)}, equally long, and no others except {THUMBNAIL_COLUMN}"
            )
    strange = {*content.examples["split"], *content.skipped["split"]} - {spec.split}
    if strange:
        raise FeatureValueError(
            f"{spec.name}: examples belong to split {min(map(str, strange))!r}, expected"
            f" {spec.split!r}"
        )
    ids = sorted([*content.examples["id"], *content.skipped["id"]])
    if ids != sorted(planned):
        raise FeatureValueError(
            f"{spec.name}: {len(ids)} examples from {ids[:1]} on, expected {spec.rows} from"
            f" {planned[0]!r} on; write each shard with its planned rows"
        )


EXPONENTS: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "bfloat16": (np.uint16, 0x7F80),
    "float16": (np.uint16, 0x7C00),
    "float32": (np.uint32, 0x7F80_0000),
}
"""Numeric type -> how to view its bits, and the exponent that NaN and the infinities have."""


def endless_row(values: Array, dtype: str) -> int | None:
    """Return the first row that holds NaN or infinity, of `(..., rows, width)`; None without."""
    bits, exponent = EXPONENTS[dtype]
    exponents = values.view(bits) & bits(exponent)
    if exponents.max(initial=0) < exponent:
        return None
    endless = (exponents == exponent).any(axis=(*range(values.ndim - 2), -1))
    return int(np.argmax(endless))


def is_finite(values: Array, dtype: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where values are neither NaN nor infinite."""
    bits, exponent = EXPONENTS[dtype]
    return (values.view(bits) & bits(exponent)) != exponent


def _json_type(name: str) -> Any:
    """Return the type of a whole column; bytes are base64."""
    value = _TYPES.get(name, (str, None))[0]
    return list[value if EXAMPLE_COLUMNS.get(name, name == REASON_COLUMN) else value | None]


def encode_column(name: str, values: Sequence[Any]) -> Array:
    """Return a column as it is stored, `(bytes,)` uint8.

    ValueError if a value has another type than the column's, missing, or half a character.
    """
    checked = msgspec.convert(list(values), _json_type(name), builtin_types=(bytes,))
    return np.frombuffer(msgspec.json.encode(checked), np.uint8)


def decode_column(name: str, stored: Array, rows: int) -> pl.Series:
    """Return what `encode_column` stored.

    ValueError unless the bytes are a JSON list of `rows` values of the column's type.
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

    ValueError if an id is not planned or occurs twice, or an example belongs to another split or
    lacks its label.
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
