"""Rows of Parquet files, with the names of their media in place of the bytes.

Its rows are measured first, see `expanded_bytes`.
"""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.errors import SourceError
from savs.datasets.row import MAX_ROW_BYTES, PackedMedium
from savs.datasets.rows.media_names import name_embedded
from savs.foundation.arrays import Array
from savs.foundation.errors import reason_of
from savs.foundation.frames import ExpansionError, expanded_bytes, scan_parquet

BATCH_ROWS, BATCH_BYTES = 512, 2**26
"""Rows that become Python values together, and the most bytes of their text."""
DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises for a damaged file; PanicException is not an `Exception`."""


def parquet_values(path: Path, name: str, value: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the fields of each row of a Parquet file, with `PackedMedium` in place of bytes.

    `name` begins the names of its media: the file's path below their folder. `value` is as in
    `expanded_bytes`.

    Raises
    ------
    SourceError
        The file is not Parquet, is too large once it is read, or a value has no Python equivalent.
    """
    try:
        frame = scan_parquet(path)
        schema = frame.collect_schema()
        media = media_columns(schema)
        sizes = row_bytes(frame, path, media, value)
        rows = frame.with_columns(_stands_for(c, schema[c]).alias(c) for c in media).collect(
            engine="streaming"
        )
    except SourceError:
        raise
    except DAMAGE as error:
        raise SourceError(
            f"{path} is not a Parquet file: {reason_of(error)}; write it again"
        ) from error
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
            raise SourceError(
                f"{path} rows {start} to {start + part.height - 1}: a value cannot be read"
                f" ({reason_of(error)}); correct it, or drop its column"
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


def row_bytes(
    frame: pl.LazyFrame, path: Path, media: Container[str], value: int | None = None
) -> Array:
    """Return how many bytes the text of each row of a Parquet file will take: `(rows,)` int64.

    The rows of `frame`, which are those of the file at `path`, are read, but none becomes a Python
    value. The bytes of the columns of `media` do not count: they are read later.

    Raises
    ------
    SourceError
        A row has more than `MAX_ROW_BYTES`, or all rows are a multiple of larger than the file that
        no data set would be.
    """
    try:
        each = expanded_bytes(frame, path.stat().st_size, media, value)
    except ExpansionError as error:
        raise SourceError(
            f"{path} is too large: {error}; split it, or drop repeated columns"
        ) from error
    if each.max(initial=0) > MAX_ROW_BYTES:
        raise SourceError(
            f"{path} row {int(each.argmax())} has {int(each.max()):,} bytes of text, more than"
            f" {MAX_ROW_BYTES:,}; shorten it, or drop the column"
        )
    return each
