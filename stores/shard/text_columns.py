"""Text columns in HDF5 without object types: one block of bytes, its offsets, its nulls."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import StoreCorruptError
from savs.stores.format.layout import INDEX_COLUMN, REASON_COLUMN, TEXT_COLUMNS, THUMBNAIL_COLUMN
from savs.stores.shard.checksums import damage
from savs.stores.shard.hdf5_writing import Hdf5Writer
from savs.stores.shard.shard_file import ShardFile

Columns = Mapping[str, Sequence[Any]]
"""Column name -> one value a row: int for `index`, bytes for `thumbnail`, str or None otherwise."""

INT64, UINT8 = np.dtype(np.int64), np.dtype(np.uint8)


def write_columns(file: Hdf5Writer, group: str, columns: Columns) -> None:
    """Write the columns of a shard's examples, or of its skipped examples, below `group`."""
    for name, values in columns.items():
        if name == INDEX_COLUMN:
            file.checked(f"{group}/{name}", np.asarray(values, dtype=np.int64))
        else:
            file.column(f"{group}/{name}", _parts(values))


def _parts(values: Sequence[str | bytes | None]) -> dict[str, Array]:
    cells = [b"" if v is None else v if isinstance(v, bytes) else v.encode("utf-8") for v in values]
    offsets = np.zeros(len(cells) + 1, dtype=np.int64)
    np.cumsum([len(cell) for cell in cells], out=offsets[1:])
    return {
        "bytes": np.frombuffer(b"".join(cells), dtype=np.uint8),
        "offsets": offsets,
        "valid": np.array([v is not None for v in values], dtype=np.uint8),
    }


def read_columns(
    file: ShardFile, group: str, rows: int, names: Collection[str] | None = None
) -> dict[str, list[Any]]:
    """Read what `write_columns` wrote for a number of rows, each column checked by its crc32.

    `index` is always read, of the others those in `names`, or all.

    Raises
    ------
    StoreCorruptError
        A column is missing, of another length, or not what was written.
    """
    with damage(file.place(group)):
        members = file.header.members(group)
    unknown = sorted(members - {INDEX_COLUMN, REASON_COLUMN, THUMBNAIL_COLUMN, *TEXT_COLUMNS})
    if unknown:
        raise StoreCorruptError(
            f"{file.place(group)} has {unknown[0]!r}, which is no column of format 1"
        )
    index = file.array(f"{group}/{INDEX_COLUMN}", INT64, [rows])
    file.check(f"{group}/{INDEX_COLUMN}", index)
    columns: dict[str, list[Any]] = {INDEX_COLUMN: index.tolist()}
    for name in (*TEXT_COLUMNS, REASON_COLUMN, THUMBNAIL_COLUMN):
        if names is not None and name not in names:
            continue
        if name in TEXT_COLUMNS or name in members:
            cells = _read_bytes(file, f"{group}/{name}", rows)
            with damage(file.place(f"{group}/{name}")):
                binary = name == THUMBNAIL_COLUMN
                columns[name] = [c if c is None or binary else c.decode("utf-8") for c in cells]
    return columns


def _read_bytes(file: ShardFile, name: str, rows: int) -> list[bytes | None]:
    block = file.array(f"{name}/bytes", UINT8, [None])
    offsets = file.array(f"{name}/offsets", INT64, [rows + 1])
    valid = file.array(f"{name}/valid", UINT8, [rows])
    file.check(name, block, offsets, valid)
    if offsets[0] != 0 or offsets[-1] != len(block) or (np.diff(offsets) < 0).any():
        raise StoreCorruptError(
            f"{file.place(name)}/offsets do not ascend from 0 to {len(block)}; do not trust this"
            " file"
        )
    text, ends = block.tobytes(), offsets.tolist()
    return [
        text[a:b] if ok else None
        for a, b, ok in zip(ends[:-1], ends[1:], valid.tolist(), strict=True)
    ]


def json_cell(value: Any) -> str:
    """Return the text that a `media`, `media_sha256` or `extra` cell holds."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
