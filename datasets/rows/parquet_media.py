"""Media inside the rows of a file: named by file, row and column, read when they are needed.

Bytes in Parquet files, and base64 in files of any kind.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.errors import MediaError, SourceError
from savs.datasets.rows.base64_media import decode_embedded, name_embedded, read_embedded

CHUNK_ROWS = 64
"""Rows whose images are read together; two chunks are kept."""
_FILE = r"(?P<file>.+\.(?i:parquet|jsonl|ndjson|json|csv))"
DECODED_ROWS = 512
"""Rows that become Python values together."""
DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises on a file that is damaged; the second is no `Exception`."""
_NAME = re.compile(_FILE + r"#(?P<row>\d+)/(?P<column>.+)")


@dataclass(frozen=True, slots=True)
class PackedMedium:
    """A medium whose bytes lie in the row of a file."""

    name: str
    """`FILE#ROW/COLUMN`, with the place in a list behind it where the column holds lists."""


def is_packed(name: str) -> bool:
    """Return whether a name is of a medium in the row of a file.

    Examples
    --------
    >>> is_packed("val.parquet#12/image_1"), is_packed("photos/1.jpg")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def packed_file(name: str) -> str:
    """Return the file in a packed medium's name."""
    return _match(name)["file"]


def _match(name: str) -> re.Match[str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is not the name of a medium in a file's row")
    return found


def read_packed(path: Path, name: str) -> bytes:
    """Return the bytes of the medium of this name, which lies in the file at `path`.

    Raises
    ------
    MediaError
        The file cannot be read, or has no such row or column, or what it holds is not base64.
    """
    found = _match(name)
    row, column = int(found["row"]), found["column"]
    if path.suffix.lower() != ".parquet":
        return read_embedded(path, name, row, column)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    try:
        columns = _columns(path, changed)
        place = None
        if column not in columns:
            column, _, place = column.rpartition("/")
        value = _chunk(path, changed, column, row // CHUNK_ROWS)[row % CHUNK_ROWS]
        data = value if place is None else value[int(place)]
    except (*DAMAGE, LookupError, TypeError, ValueError) as error:
        raise MediaError(f"{name} cannot be read: {error}") from error
    if isinstance(data, str | dict):
        data = decode_embedded(data, name)
    if not isinstance(data, bytes | None):
        raise MediaError(f"{name} is no single medium; add /0, /1 ... for a place in a list")
    if not data:
        raise MediaError(f"{name} is empty (0 bytes)")
    return data


@lru_cache(maxsize=4)
def _columns(path: Path, changed: int) -> dict[str, pl.Expr]:
    """Return the columns that hold bytes, or may hold base64."""
    del changed  # a file that was written again is read again
    schema = pl.scan_parquet(path, glob=False).collect_schema()
    texts = {name: pl.col(name) for name, dtype in schema.items() if _may_embed(dtype)}
    return texts | media_columns(schema)


def _may_embed(dtype: Any) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return inner == pl.String or isinstance(inner, pl.Struct)


@lru_cache(maxsize=4)
def _chunk(path: Path, changed: int, column: str, number: int) -> pl.Series:
    frame = pl.scan_parquet(path, glob=False)
    bytes_of = _columns(path, changed)[column]
    rows = frame.select(bytes_of.alias(column)).slice(number * CHUNK_ROWS, CHUNK_ROWS)
    return rows.collect()[column]


def media_columns(schema: Mapping[str, Any]) -> dict[str, pl.Expr]:
    """Return the columns that hold media: bytes, `{bytes, path}` as the hub has it, lists of them.

    Returns
    -------
    dict
        Column -> its bytes, or its lists of bytes.
    """
    found = {}
    for name, dtype in schema.items():
        if dtype == pl.Binary or dtype == pl.List(pl.Binary):
            found[name] = pl.col(name)
        elif _is_image(dtype):
            found[name] = pl.col(name).struct.field("bytes")
        elif isinstance(dtype, pl.List) and _is_image(dtype.inner):
            found[name] = pl.col(name).list.eval(pl.element().struct.field("bytes"))
    return found


def _is_image(dtype: Any) -> bool:
    return isinstance(dtype, pl.Struct) and dtype.to_schema().get("bytes") == pl.Binary


def parquet_values(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield each row of a Parquet file, with `PackedMedium` in place of bytes.

    Parameters
    ----------
    path
        The file.
    name
        What the names of its media begin with: the file's path below the media's folder.

    Raises
    ------
    SourceError
        It is no Parquet file.
    """
    try:
        frame = pl.scan_parquet(path, glob=False)
        schema = frame.collect_schema()
        media = media_columns(schema)
        counts = [_count(c, schema[c], bytes_of).alias(c) for c, bytes_of in media.items()]
        rows = frame.with_columns(counts).collect(engine="streaming")
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{path} is not a Parquet file: {reason}; write it again") from error
    for number, values in enumerate(_decoded(rows, path)):
        packed = {
            column: _packed(f"{name}#{number}/{column}", values[column], schema[column])
            for column in media
        }
        yield name_embedded(values | packed, f"{name}#{number}", PackedMedium)


def _decoded(rows: pl.DataFrame, path: Path) -> Iterator[dict[str, Any]]:
    """Yield each row as Python has it; SourceError for a value that Python has not."""
    for start in range(0, rows.height, DECODED_ROWS):
        part = rows.slice(start, DECODED_ROWS)
        try:
            yield from part.rows(named=True)
        except (*DAMAGE, ValueError, OverflowError, LookupError) as error:
            reason = " ".join(str(error).split())
            raise SourceError(
                f"{path} rows {start} to {start + part.height - 1}: a value cannot be read"
                f" ({reason}); mend it, or drop its column"
            ) from error


def _count(column: str, dtype: Any, bytes_of: pl.Expr) -> pl.Expr:
    """Return what is in a row's column: in a list how many media, else an empty text for one.

    Null is none; where there are no bytes, but the path of a file, it is that.
    """
    if isinstance(dtype, pl.List):
        return bytes_of.list.len()
    there = pl.when(bytes_of.is_not_null()).then(pl.lit(""))
    if isinstance(dtype, pl.Struct) and dtype.to_schema().get("path") == pl.String:
        return there.otherwise(pl.col(column).struct.field("path"))
    return there


def _packed(name: str, found: int | str | None, dtype: Any) -> Any:
    if found is None:
        return None
    if isinstance(dtype, pl.List):
        return [PackedMedium(f"{name}/{place}") for place in range(int(found))]
    return found or PackedMedium(name)
