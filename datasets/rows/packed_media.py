"""Media stored in the rows of files, read one at a time.

A medium is named by file, row and column: bytes in Parquet files, base64 in files of any kind,
members of tar shards.
"""

import json
import re
from collections.abc import Container
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.errors import MediaError
from savs.datasets.rows.base64_media import decode_embedded
from savs.datasets.rows.file_formats import JSON_LINES, PARQUET, Values, read_values
from savs.datasets.rows.media_index import line_place, member_place
from savs.datasets.rows.parquet_media import DAMAGE, media_columns
from savs.datasets.rows.tar_shards import TAR
from savs.foundation.files import regular_size
from savs.foundation.frames import scan_parquet

CHUNK_ROWS = 64
"""Parquet rows whose media are read together."""
MAX_PACKED_BYTES = 2**28
"""Largest medium in a row of a Parquet file, which can repeat a large one, or in a tar shard."""
_NAME = re.compile(
    r"(?P<file>.+\.(?i:parquet|jsonl|ndjson|json|csv|tar))#(?P<row>\d+)/(?P<column>.+)"
)


def is_packed(name: str) -> bool:
    """Return whether a name is that of a medium stored in the row of a file.

    Examples
    --------
    >>> is_packed("val.parquet#12/image_1"), is_packed("photos/1.jpg")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def packed_file(name: str) -> str:
    """Return the file in a packed medium's name."""
    return _match(name)["file"]


def packed_column(name: str) -> str:
    """Return the file and the column in a packed medium's name, without the row.

    Examples
    --------
    >>> packed_column("val.parquet#12/image_1")
    'val.parquet#image_1'
    """
    found = _match(name)
    return f"{found['file']}#{found['column']}"


def _match(name: str) -> re.Match[str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is not the name of a medium in a file's row")
    return found


def read_packed(path: Path, name: str) -> bytes:
    """Return the bytes of the medium of this name, which is stored in the file at `path`.

    Raises
    ------
    MediaError
        The file cannot be read, has no such row or column, or the value is not a medium.
    """
    found = _match(name)
    read = _VALUES.get(path.suffix.lower(), _text_value)
    try:
        regular_size(path)
        now = path.stat()
        changed = hash((now.st_mtime_ns, now.st_size, now.st_ino))  # clocks are coarse
        data = read(path, changed, int(found["row"]), found["column"])
    except (*DAMAGE, LookupError, TypeError, ValueError) as error:
        raise MediaError(f"{name} cannot be read: {error}") from error
    if isinstance(data, str | dict):
        data = decode_embedded(data, name)
    if not isinstance(data, bytes | None):
        raise MediaError(
            f"{name} holds a {type(data).__name__}, expected a single medium; add /0, /1 ... for"
            " an item of a list"
        )
    if not data:
        raise MediaError(f"{name} is empty (0 bytes)")
    return data


def _parquet_value(path: Path, changed: int, row: int, column: str) -> Any:
    column, index = _column_and_index(column, _parquet_columns(path, changed))
    chunk = _chunk(path, changed, column, row // CHUNK_ROWS)
    return _item(_value(chunk, row % CHUNK_ROWS), index)


def _member(path: Path, changed: int, row: int, column: str) -> bytes:
    place, size = member_place(path, changed, row, column)
    if size > MAX_PACKED_BYTES:
        raise ValueError(f"it has more than {MAX_PACKED_BYTES:,} bytes")
    with path.open("rb") as file:
        file.seek(place)
        return file.read(size)


_VALUES = {PARQUET: _parquet_value, TAR: _member}
"""Suffix -> how a medium in a row is read; others have it as base64."""


def _value(values: pl.Series, index: int) -> Any:
    """Return a value of a column or of a list, unless it is so large that it is no medium."""
    if values.dtype == pl.Binary and (values.bin.size()[index] or 0) > MAX_PACKED_BYTES:
        raise ValueError(f"it has more than {MAX_PACKED_BYTES:,} bytes")
    return values[index]


def _text_value(path: Path, changed: int, row: int, column: str) -> Any:
    lines = path.suffix.lower() in JSON_LINES
    values = _line(path, changed, row) if lines else _rows(path, changed)[row]
    column, index = _column_and_index(column, values)
    return _item(values[column], index)


def _column_and_index(column: str, known: Container[str]) -> tuple[str, int | None]:
    """Split `COLUMN/INDEX`, unless a column has that whole name."""
    if column in known:
        return column, None
    name, _, index = column.rpartition("/")
    if name not in known or not index.isdecimal():
        raise LookupError(f"no column {column!r} has media")
    return name, int(index)


def _item(value: Any, index: int | None) -> Any:
    if index is None:
        return value
    if not isinstance(value, list | pl.Series):
        raise LookupError(f"the value is not a list, so it has no item {index}")
    return _value(value, index) if isinstance(value, pl.Series) else value[index]


# In the cached functions below, `changed` makes a file that was rewritten be read again.


@lru_cache(maxsize=4)
def _parquet_columns(path: Path, changed: int) -> dict[str, pl.Expr]:
    """Return the columns that hold bytes, or may hold base64."""
    del changed
    schema = scan_parquet(path).collect_schema()
    texts = {name: pl.col(name) for name, dtype in schema.items() if _may_embed(dtype)}
    return texts | media_columns(schema)


def _may_embed(dtype: Any) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return inner == pl.String or isinstance(inner, pl.Struct)


@lru_cache(maxsize=4)
def _chunk(path: Path, changed: int, column: str, number: int) -> pl.Series:
    frame = scan_parquet(path)
    bytes_of = _parquet_columns(path, changed)[column]
    rows = frame.select(bytes_of.alias(column)).slice(number * CHUNK_ROWS, CHUNK_ROWS)
    return rows.collect()[column]


def _line(path: Path, changed: int, row: int) -> Values:
    with path.open("rb") as file:
        file.seek(line_place(path, changed, row))
        return json.loads(file.readline().decode("utf-8-sig"))


@lru_cache(maxsize=1)
def _rows(path: Path, changed: int) -> list[Values]:
    del changed
    return read_values(path)
