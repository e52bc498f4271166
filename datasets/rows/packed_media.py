"""Media stored in the rows of files, read one at a time.

A medium is named by file, row and column: bytes in Parquet files, base64 in files of any kind,
members of tar shards. The places of members and lines are kept in an index, while memory lasts:
without it each medium would cost a pass over its whole file.
"""

import json
from array import array
from collections import OrderedDict
from collections.abc import Callable, Container
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl

from savs.datasets.errors import MediaError
from savs.datasets.rows.file_formats import JSON_LINES, PARQUET, Values, read_values
from savs.datasets.rows.media_names import decode_embedded, packed_parts
from savs.datasets.rows.parquet_rows import DAMAGE, media_columns
from savs.datasets.rows.tar_shards import TAR, read_shard
from savs.foundation.bounds import whole_number
from savs.foundation.files import regular_size
from savs.foundation.frames import scan_parquet

CHUNK_ROWS = 64
"""Parquet rows whose media are read together."""
MAX_PACKED_BYTES = 2**28
"""Largest medium in a row of a Parquet file, which can repeat a large one, or in a tar shard."""
MAX_INDEX_BYTES = 2**27
"""Most bytes of the indexes of each kind that a process keeps, unless one alone is larger: those of
5 million members of tar shards, or of 16 million lines."""
_LONG_LINE = 512
"""A line of more bytes than this is not blank."""


def read_packed(path: Path, name: str) -> bytes:
    """Return the bytes of the medium of this name, which is stored in the file at `path`.

    Raises
    ------
    MediaError
        The file cannot be read, has no such row or column, or the value is not a medium.
    """
    _, text, column = packed_parts(name)
    read = _VALUES.get(path.suffix.lower(), _text_value)
    try:
        regular_size(path)
        now = path.stat()
        changed = hash((now.st_mtime_ns, now.st_size, now.st_ino))  # clocks are coarse
        if (row := whole_number(text)) is None:
            raise LookupError("no file has so many rows")
        data = read(path, changed, row, column)
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


def _text_value(path: Path, changed: int, row: int, column: str) -> Any:
    lines = path.suffix.lower() in JSON_LINES
    values = _line(path, changed, row) if lines else _rows(path, changed)[row]
    column, index = _column_and_index(column, values)
    return _item(values[column], index)


def _member(path: Path, changed: int, row: int, column: str) -> bytes:
    firsts, names, places, sizes = _MEMBERS.of(path, changed)
    members = range(firsts[row], firsts[row + 1])
    member = next((m for m in members if names[m] == hash(column)), None)
    if member is None:
        raise LookupError(f"row {row} has no member {column!r}")
    if sizes[member] > MAX_PACKED_BYTES:
        raise ValueError(f"it has more than {MAX_PACKED_BYTES:,} bytes")
    with path.open("rb") as file:
        file.seek(places[member])
        return file.read(sizes[member])


_VALUES = {PARQUET: _parquet_value, TAR: _member}
"""Suffix -> how a medium in a row is read; others have it as base64."""


def _value(values: pl.Series, index: int) -> Any:
    """Return a value of a column or of a list, unless it is too large for a medium."""
    if values.dtype == pl.Binary and (values.bin.size()[index] or 0) > MAX_PACKED_BYTES:
        raise ValueError(f"it has more than {MAX_PACKED_BYTES:,} bytes")
    return values[index]


def _column_and_index(column: str, known: Container[str]) -> tuple[str, int | None]:
    """Split `COLUMN/INDEX`, unless a column has that whole name."""
    if column in known:
        return column, None
    name, _, index = column.rpartition("/")
    number = whole_number(index)
    if name not in known or number is None:
        raise LookupError(f"no column {column!r} has media")
    return name, number


def _item(value: Any, index: int | None) -> Any:
    if index is None:
        return value
    if not isinstance(value, list | pl.Series):
        raise LookupError(f"the value is not a list, so it has no item {index}")
    return _value(value, index) if isinstance(value, pl.Series) else value[index]


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


@lru_cache(maxsize=1)
def _rows(path: Path, changed: int) -> list[Values]:
    del changed
    return read_values(path)


def _line(path: Path, changed: int, row: int) -> Values:
    with path.open("rb") as file:
        file.seek(_LINES.of(path, changed)[0][row])
        return json.loads(file.readline().decode("utf-8-sig"))


Index = tuple["array[int]", ...]
"""Columns of integers."""


class IndexCache:
    """The indexes of files that were used last; an older one is made again."""

    def __init__(self, make: Callable[[Path], Index], limit: int) -> None:
        """Cache what `make` returns for files, up to a number of bytes, but at least one index."""
        self._make, self._limit = make, limit
        self._indexes: OrderedDict[tuple[Path, int], Index] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, path: Path, changed: int) -> Index:
        """Return the index of a file; `changed` is another number after the file was rewritten."""
        # The lock is held while an index is made: threads that ask for one file wait for the first
        # instead of each reading all of it.
        with self._lock:
            if (path, changed) not in self._indexes:
                index = self._make(path)
                self._bytes += _bytes(index)
                while self._indexes and self._bytes > self._limit:
                    self._bytes -= _bytes(self._indexes.popitem(last=False)[1])
                self._indexes[path, changed] = index
            self._indexes.move_to_end((path, changed))
            return self._indexes[path, changed]


def _bytes(index: Index) -> int:
    return sum(len(column) * column.itemsize for column in index)


def _members(path: Path) -> Index:
    """Return the first member of each row, and each member's hash of its name, place and size."""
    # Hashes instead of names: 24 bytes a member, where text takes ten times as much. Only the few
    # names of one row are compared.
    firsts, names, places, sizes = (array("q") for _ in range(4))
    for sample in read_shard(path):
        firsts.append(len(names))
        for name, (place, size) in sample.members.items():
            names.append(hash(name))
            places.append(place)
            sizes.append(size)
    firsts.append(len(names))
    return firsts, names, places, sizes


def _lines(path: Path) -> Index:
    """Return the place of each line that is not blank to the reader of rows."""
    places, place = array("q"), 0
    with path.open("rb") as file:
        for line in file:
            # Rows are numbered as their reader does, which skips blank lines. What is blank is
            # known only once decoded (other spaces, a byte order mark); a long line never is.
            text = line.strip()
            if len(text) > _LONG_LINE or text.decode("utf-8-sig", "replace").strip():
                places.append(place)
            place += len(line)
    return (places,)


_MEMBERS, _LINES = IndexCache(_members, MAX_INDEX_BYTES), IndexCache(_lines, MAX_INDEX_BYTES)
