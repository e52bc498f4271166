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
from savs.foundation.parquet_files import scan_parquet

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
        counts = [_count(c, schema[c], bytes_of).alias(c) for c, bytes_of in media.items()]
        rows = frame.with_columns(counts).collect(engine="streaming")
    except SourceError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{path} is not a Parquet file: {reason}; write it again") from error
    for number, values in enumerate(_python_rows(rows, sizes, path)):
        packed = {
            column: _packed(f"{name}#{number}/{column}", values[column], schema[column])
            for column in media
        }
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


def _count(column: str, dtype: Any, bytes_of: pl.Expr) -> pl.Expr:
    """Return what stands for a row's media: their number in a list, an empty text for bytes.

    Without bytes it is the path of a file, if that is given, else null.
    """
    if isinstance(dtype, pl.List):
        return bytes_of.list.len()
    packed = pl.when(bytes_of.is_not_null()).then(pl.lit(""))
    if isinstance(dtype, pl.Struct) and dtype.to_schema().get("path") == pl.String:
        path = pl.col(column).struct.field("path")
        return packed.when(path != "").then(path)
    return packed


def _packed(name: str, found: int | str | None, dtype: Any) -> Any:
    if found is None:
        return None
    if isinstance(dtype, pl.List):
        return [PackedMedium(f"{name}/{index}") for index in range(int(found))]
    return found or PackedMedium(name)
