"""Text columns in HDF5 without object types: one block of bytes, its offsets, its nulls."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from savs.stores.errors import StoreCorruptError
from savs.stores.hdf5 import Array, attribute, crc32, damage, member_group, read_array
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


def read_columns(
    group: h5py.Group, where: str, rows: int, names: Collection[str] | None = None
) -> dict[str, list[Any]]:
    """Read what `write_columns` wrote for a number of rows, each column checked by its crc32.

    `index` is always read, of the others those in `names`, or all.

    Raises
    ------
    StoreCorruptError
        A column is missing, of another length, or not what was written.
    """
    with damage(where):
        unknown = sorted(
            set(group) - {INDEX_COLUMN, REASON_COLUMN, THUMBNAIL_COLUMN, *TEXT_COLUMNS}
        )
        if unknown:
            raise StoreCorruptError(f"{where} has {unknown[0]!r}, which is no column of format 1")
    with damage(f"{where}/{INDEX_COLUMN}"):
        index = read_array(group, INDEX_COLUMN, where, np.int64, rows)
        _check(group[INDEX_COLUMN], f"{where}/{INDEX_COLUMN}", index)
    columns: dict[str, list[Any]] = {INDEX_COLUMN: index.tolist()}
    for name in (*TEXT_COLUMNS, REASON_COLUMN, THUMBNAIL_COLUMN):
        if names is not None and name not in names:
            continue
        if name in TEXT_COLUMNS or name in group:
            with damage(f"{where}/{name}"):
                column = member_group(group, name, where)
                cells = _read_bytes(column, f"{where}/{name}", rows)
                binary = name == THUMBNAIL_COLUMN
                columns[name] = [c if c is None or binary else c.decode("utf-8") for c in cells]
    return columns


def _read_bytes(group: h5py.Group, where: str, rows: int) -> list[bytes | None]:
    block = read_array(group, "bytes", where, np.uint8, None)
    offsets = read_array(group, "offsets", where, np.int64, rows + 1)
    valid = read_array(group, "valid", where, np.uint8, rows)
    _check(group, where, block, offsets, valid)
    text = block.tobytes()
    return [
        text[a:b] if ok else None for a, b, ok in zip(offsets[:-1], offsets[1:], valid, strict=True)
    ]


def _check(member: Any, where: str, *values: Array) -> None:
    if int(attribute(member, "crc32")) != crc32(*values):
        raise StoreCorruptError(f"{where} fails its crc32; extract this shard again")


def json_cell(value: Any) -> str:
    """Return the text that a `media`, `media_sha256` or `extra` cell holds."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
