"""Rows of Parquet files, with the names of their media in place of the bytes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.errors import SourceError
from savs.datasets.row import PackedMedium
from savs.datasets.rows.base64_media import name_embedded
from savs.datasets.rows.row_sizes import row_bytes
from savs.foundation.arrays import Array
from savs.foundation.frames import scan_parquet

BATCH_ROWS, BATCH_BYTES = 512, 2**26
"""Rows that become Python values together, and the most bytes of their text."""
DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises for a damaged file; PanicException is not an `Exception`."""


def media_columns(schema: Mapping[str, Any]) -> dict[str, pl.Expr]:
    """Return the columns that hold media: bytes, the hub's `{bytes, path}`, or lists of either.

    Returns
    -------
    dict
        Column -> an expression for its bytes, or its lists of bytes.
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
    """Yield the fields of each row of a Parquet file, with `PackedMedium` in place of bytes.

    Parameters
    ----------
    path
        The file.
    name
        Prefix of its media's names: the file's path below the media's folder.

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


def _packed(name: str, found: Any) -> Any:
    """Return a row's value with `PackedMedium` for what `_name` gives for bytes."""
    if isinstance(found, list):
        return [_packed(f"{name}/{index}", item) for index, item in enumerate(found)]
    return PackedMedium(name) if found == "" else found
