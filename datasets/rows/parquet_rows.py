"""Rows of Parquet files, with the names of their media in place of the bytes.

A small file can stand for values that fill the memory, so its rows are measured first.
"""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.errors import SourceError
from savs.datasets.row import MAX_ROW_BYTES, PackedMedium
from savs.datasets.rows.base64_media import name_embedded
from savs.foundation.arrays import Array
from savs.foundation.frames import scan_parquet

BATCH_ROWS, BATCH_BYTES = 512, 2**26
"""Rows that become Python values together, and the most bytes of their text."""
DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises for a damaged file; PanicException is not an `Exception`."""
FREE_BYTES = 2**28
"""What a Parquet file may expand to, however small it is."""
MOST_TIMES = 1000
"""How many times its size a Parquet file may expand to."""
_ROW, _ITEM = 512, 64
"""Bytes that a row, and an item of a list, takes in Python next to its text."""


def parquet_values(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the fields of each row of a Parquet file, with `PackedMedium` in place of bytes.

    `name` begins the names of its media: the file's path below their folder.

    Raises
    ------
    SourceError
        The file is not Parquet, is too large once it is read, or a value has no Python equivalent.
    """
    try:
        frame = scan_parquet(path)
        schema = frame.collect_schema()
        media = media_columns(schema)
        sizes = row_bytes(frame, path, media)
        rows = frame.with_columns(_stands_for(c, schema[c]).alias(c) for c in media).collect(
            engine="streaming"
        )
    except SourceError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{path} is not a Parquet file: {reason}; write it again") from error
    for number, values in enumerate(_python_rows(rows, sizes, path)):
        packed = {column: _packed(f"{name}#{number}/{column}", values[column]) for column in media}
        yield name_embedded(values | packed, f"{name}#{number}")


def _python_rows(rows: pl.DataFrame, sizes: Array, path: Path) -> Iterator[dict[str, Any]]:
    """Yield each row as Python values; SourceError for a value that Python lacks."""
    start, ends = 0, np.cumsum(sizes)
    while start < rows.height:
        fit = int(np.searchsorted(ends, ends[start] - sizes[start] + BATCH_BYTES, "right"))
        part = rows.slice(start, min(BATCH_ROWS, max(1, fit - start)))
        try:
            yield from part.rows(named=True)
        except (*DAMAGE, ValueError, OverflowError, LookupError) as error:
            reason = " ".join(str(error).split())
            raise SourceError(
                f"{path} rows {start} to {start + part.height - 1}: a value cannot be read"
                f" ({reason}); correct it, or drop its column"
            ) from error
        start += part.height


def media_columns(schema: Mapping[str, Any]) -> dict[str, pl.Expr]:
    """Return an expression for the bytes, or lists of bytes, of each column of media.

    Media are bytes, the hub's `{bytes, path}`, or lists of either.
    """
    expressions = {}
    for name, dtype in schema.items():
        if dtype == pl.Binary or dtype == pl.List(pl.Binary):
            expressions[name] = pl.col(name)
        elif _is_image(dtype):
            expressions[name] = pl.col(name).struct.field("bytes")
        elif isinstance(dtype, pl.List) and _is_image(dtype.inner):
            expressions[name] = pl.col(name).list.eval(pl.element().struct.field("bytes"))
    return expressions


def _is_image(dtype: Any) -> bool:
    return isinstance(dtype, pl.Struct) and dtype.to_schema().get("bytes") == pl.Binary


def _stands_for(column: str, dtype: Any) -> pl.Expr:
    """Return what stands for a column's media, or for the items of its lists."""
    if isinstance(dtype, pl.List):
        return pl.col(column).list.eval(_name(pl.element(), dtype.inner))
    return _name(pl.col(column), dtype)


def _name(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Return an empty text for bytes; without bytes the path of a file, if given, else null."""
    if not isinstance(dtype, pl.Struct):
        return pl.when(value.is_not_null()).then(pl.lit(""))
    name = pl.when(value.struct.field("bytes").is_not_null()).then(pl.lit(""))
    if dtype.to_schema().get("path") == pl.String:
        path = value.struct.field("path")
        return name.when(path != "").then(path)
    return name


def _packed(name: str, value: Any) -> Any:
    """Return a row's value with `PackedMedium` for what `_name` gives for bytes."""
    if isinstance(value, list):
        return [_packed(f"{name}/{index}", item) for index, item in enumerate(value)]
    return PackedMedium(name) if value == "" else value


def row_bytes(frame: pl.LazyFrame, path: Path, media: Container[str]) -> Array:
    """Return how many bytes the text of each row of a Parquet file will take: `(rows,)` int64.

    The rows of `frame`, which are those of the file at `path`, are read, but none becomes a Python
    value. The bytes of the columns of `media` do not count: they are read later.

    Raises
    ------
    SourceError
        A row has more than `MAX_ROW_BYTES`, or all rows are a multiple of larger than the file that
        no data set would be.
    """
    # Parquet stores an equal value once, however many rows have it. Only the lengths of texts are
    # computed, so a few kilobytes that stand for gigabytes are refused before they are expanded.
    most = max(FREE_BYTES, MOST_TIMES * path.stat().st_size)
    count = frame.select(pl.len()).collect(engine="streaming").item()
    _require_total(path, _ROW * count, most)
    sizes = [
        size
        for name, dtype in frame.collect_schema().items()
        if (size := _size(pl.col(name), dtype, media=name in media)) is not None
    ]
    if not sizes:
        return np.full(count, _ROW)
    totals = frame.select(_ROW + pl.sum_horizontal(sizes)).collect(engine="streaming")
    each = totals.to_series().to_numpy()
    if each.max(initial=0) > MAX_ROW_BYTES:
        raise SourceError(
            f"{path} row {int(each.argmax())} has {int(each.max()):,} bytes of text, more than"
            f" {MAX_ROW_BYTES:,}; shorten it, or drop the column"
        )
    _require_total(path, int(each.sum()), most)
    return each


def _require_total(path: Path, total: int, most: int) -> None:
    if total > most:
        raise SourceError(
            f"{path} would take {total:,} bytes of memory, {MOST_TIMES:,} times its size; split"
            " it, or drop repeated columns"
        )


def _size(value: pl.Expr, dtype: Any, *, media: bool) -> pl.Expr | None:
    """Return the bytes of text in a value of some type; None where its size is fixed.

    The bytes of media do not count: a name stands for them.
    """
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return value.cast(pl.String).str.len_bytes().cast(pl.Int64).fill_null(0)
    if dtype == pl.Binary:
        return None if media else value.bin.size().cast(pl.Int64).fill_null(0)
    if isinstance(dtype, pl.Array):
        return _size(value.arr.to_list(), pl.List(dtype.inner), media=media)
    if isinstance(dtype, pl.List):
        inner = _size(pl.element(), dtype.inner, media=media)
        items = (value.list.len().cast(pl.Int64) * _ITEM).fill_null(0)
        return items if inner is None else items + value.list.eval(inner).list.sum().fill_null(0)
    if isinstance(dtype, pl.Struct):
        fields = [_size(value.struct.field(f.name), f.dtype, media=media) for f in dtype.fields]
        known = [size for size in fields if size is not None]
        return pl.sum_horizontal(known) if known else None
    return None
