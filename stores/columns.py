"""Text columns in HDF5 without object types: one block of bytes, its offsets, its nulls."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from savs.stores.errors import StoreCorruptError
from savs.stores.hdf5 import (
    Array,
    crc32,
    member_dataset,
    member_group,
    read_attribute,
    read_values,
)
from savs.stores.layout import INDEX_COLUMN, REASON_COLUMN, TEXT_COLUMNS, THUMBNAIL_COLUMN

Columns = Mapping[str, Sequence[Any]]
"""Column name -> one value a row: int for `index`, bytes for `thumbnail`, str or None otherwise."""


def write_columns(group: h5py.Group, columns: Columns) -> None:
    """Write the columns of a shard's examples, or of its skipped examples, below `group`."""
    for name, values in columns.items():
        if name == INDEX_COLUMN:
            array = np.asarray(values, dtype=np.int64)
            group.create_dataset(name, data=array).attrs["crc32"] = np.uint32(crc32(array))
        else:
            _write_bytes(group.create_group(name), values)


def _write_bytes(group: h5py.Group, values: Sequence[str | bytes | None]) -> None:
    cells = [b"" if v is None else v if isinstance(v, bytes) else v.encode("utf-8") for v in values]
    offsets = np.zeros(len(cells) + 1, dtype=np.int64)
    np.cumsum([len(cell) for cell in cells], out=offsets[1:])
    block = np.frombuffer(b"".join(cells), dtype=np.uint8)
    valid = np.array([v is not None for v in values], dtype=np.uint8)
    group.create_dataset("bytes", data=block)
    group.create_dataset("offsets", data=offsets)
    group.create_dataset("valid", data=valid)
    group.attrs["crc32"] = np.uint32(crc32(block, offsets, valid))


def read_columns(group: h5py.Group, where: str) -> dict[str, list[Any]]:
    """Read what `write_columns` wrote, each column checked against its crc32.

    Raises
    ------
    StoreCorruptError
        A column is missing, of another length than the others, or not what was written.
    """
    columns: dict[str, list[Any]] = {INDEX_COLUMN: _read_index(group, where)}
    for name in (*TEXT_COLUMNS, REASON_COLUMN, THUMBNAIL_COLUMN):
        if name in TEXT_COLUMNS or name in group:
            column = member_group(group, name, where)
            columns[name] = _read_bytes(column, f"{where}/{name}", name == THUMBNAIL_COLUMN)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise StoreCorruptError(f"{where}: columns of different lengths: {lengths}")
    return columns


def _read_index(group: h5py.Group, where: str) -> list[int]:
    dataset = member_dataset(group, INDEX_COLUMN, where)
    values = read_values(dataset, f"{where}/{INDEX_COLUMN}")
    _check(dataset, f"{where}/{INDEX_COLUMN}", values)
    return values.tolist()


def _read_bytes(group: h5py.Group, where: str, binary: bool) -> list[Any]:
    block, offsets, valid = (
        read_values(member_dataset(group, name, where), f"{where}/{name}")
        for name in ("bytes", "offsets", "valid")
    )
    _check(group, where, block, offsets, valid)
    text = block.tobytes()
    cells = [
        text[a:b] if ok else None for a, b, ok in zip(offsets[:-1], offsets[1:], valid, strict=True)
    ]
    return cells if binary else [cell if cell is None else cell.decode("utf-8") for cell in cells]


def _check(member: h5py.Group | h5py.Dataset, where: str, *values: Array) -> None:
    if int(read_attribute(member, "crc32", where)) != crc32(*values):
        raise StoreCorruptError(f"{where} fails its crc32; extract this shard again")


def json_cell(value: Any) -> str:
    """Return the text that a `media`, `media_sha256` or `extra` cell holds."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
