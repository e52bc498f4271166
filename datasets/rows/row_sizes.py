"""How large rows are once they are read: a small file can stand for values that fill the memory."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.errors import SourceError
from savs.foundation.arrays import Array

MAX_ROW_BYTES = 2**27
"""Most bytes of a line, of a CSV cell, and of the text in a row of a Parquet file."""
MAX_WHOLE_BYTES = 2**32
"""Largest JSON or CSV file, which is read at once."""
FREE_BYTES = 2**28
"""What a Parquet file may expand to, however small it is."""
MOST_TIMES = 1000
"""How many times its size a Parquet file may expand to."""
_ROW, _ITEM = 512, 64
"""Bytes that a row, and an item of a list, takes in Python beside its text."""


def row_bytes(frame: pl.LazyFrame, path: Path, media: Container[str]) -> Array:
    """Return how many bytes the text of each row of a Parquet file will take.

    The file is read, but no row of it becomes a Python value.

    Parameters
    ----------
    frame
        The rows.
    path
        Their file.
    media
        Columns of media, whose bytes are read later.

    Returns
    -------
    ndarray
        `(rows,)` int64.

    Raises
    ------
    SourceError
        A row has more than `MAX_ROW_BYTES`, or all rows are so many times larger than the file that
        no data set would be.
    """
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
    found = frame.select(_ROW + pl.sum_horizontal(sizes)).collect(engine="streaming")
    each = found.to_series().to_numpy()
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


def _items(lists: pl.Expr) -> pl.Expr:
    return (lists.list.len().cast(pl.Int64) * _ITEM).fill_null(0)


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
        items = _items(value)
        return items if inner is None else items + value.list.eval(inner).list.sum().fill_null(0)
    if isinstance(dtype, pl.Struct):
        fields = [_size(value.struct.field(f.name), f.dtype, media=media) for f in dtype.fields]
        known = [size for size in fields if size is not None]
        return pl.sum_horizontal(known) if known else None
    return None
