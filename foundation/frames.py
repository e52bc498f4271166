"""Tables that a query reads piece by piece, and Parquet files that anyone may have written.

A small Parquet file can stand for values that fill the memory, so its rows are measured first.
"""

import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, get_type_hints

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from savs.foundation.files import is_utf8

FREE_BYTES = 2**28
"""What a Parquet file may expand to, however small it is."""
MOST_TIMES = 1000
"""How many times its size a Parquet file may expand to."""
_ROW, _ITEM = 512, 64
"""Bytes that a row, and an item of a list, takes in Python next to its text."""
OF_COLUMN = 16
"""Bytes that a value of a column takes next to its text."""


def schema_of(row: type) -> pl.Schema:
    """Return the columns of a table whose rows are a dataclass or a named tuple."""
    return pl.Schema(get_type_hints(row))


def lazy_frames(
    frames: Callable[[], Iterable[pl.DataFrame]], schema: Mapping[str, pl.DataType], name: str
) -> pl.LazyFrame:
    """Return a lazy table of frames, made one after the other, only as many as a query needs.

    `frames` is called at each query, and its frames have the columns of `schema`; `name` is what
    `explain` shows.
    """

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a frame is a batch
        left = sys.maxsize if n_rows is None else n_rows
        for frame in frames():
            cut = frame.head(left)  # a limit comes before the predicate
            left -= cut.height
            rows = cut if predicate is None else cut.filter(predicate)
            yield rows if with_columns is None else keep_columns(rows, with_columns)
            if left == 0:
                return

    return register_io_source(read, schema=schema, explain_name=name)


def keep_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return some columns of a frame, or none: its height stays.

    Polars asks a source for no column where a query only counts its rows, as in a cross join, and
    `select` then loses the height.
    """
    return frame.select(names) if names else frame.drop(frame.columns)


def scan_parquet(source: Path | IO[bytes] | bytes) -> pl.LazyFrame:
    """Return a Parquet file, or its bytes, as a LazyFrame, after a look at its schema.

    Polars takes a column of the extension type `_POLARS_PYTHON_OBJECT` for addresses of objects in
    its own memory, whoever wrote the file. No file can hold such a column rightly.

    Raises
    ------
    polars.exceptions.PolarsError, OSError
        The file is not Parquet, cannot be read, or has a column of Python objects.
    """
    if isinstance(source, Path) and not is_utf8(str(source)):
        source = source.read_bytes()  # polars takes no such name
    frame = pl.scan_parquet(source, glob=False)
    for name, dtype in frame.collect_schema().items():
        if _has_objects(dtype):
            raise pl.exceptions.SchemaError(
                f"column {name!r} holds addresses of Python objects, which no file can; do not"
                " trust this file"
            )
    return frame


def _has_objects(dtype: Any) -> bool:
    inner = [field.dtype for field in dtype.fields] if isinstance(dtype, pl.Struct) else []
    inner += [dtype.inner] if isinstance(dtype, pl.List | pl.Array) else []
    return dtype == pl.Object or any(map(_has_objects, inner))


class ExpansionError(ValueError):
    """A Parquet file whose rows take far more memory than the file."""


def collect_rows(frame: pl.LazyFrame, file_bytes: int, value: int | None = None) -> pl.DataFrame:
    """Return the rows of columns of a Parquet file of a size; errors as `expanded_bytes`."""
    expanded_bytes(frame, file_bytes, value=value)
    return frame.collect()


def expanded_bytes(
    frame: pl.LazyFrame,
    file_bytes: int,
    uncounted: Container[str] = (),
    value: int | None = None,
) -> np.ndarray[Any, Any]:
    """Return how many bytes each row of a Parquet file takes as Python values: `(rows,)` int64.

    Parquet stores an equal value once, however many rows have it. Only the lengths of texts and
    lists are computed, so a few kilobytes that stand for gigabytes are refused before they are
    expanded. Texts in the columns `uncounted` do not count. `value` is what a value takes next
    to its text where rows stay columns, `OF_COLUMN`; by default all become Python objects.

    Raises
    ------
    ExpansionError
        All rows take more than `FREE_BYTES`, and more than `MOST_TIMES` the size of the file.
    """
    most = max(FREE_BYTES, MOST_TIMES * file_bytes)
    count = frame.select(pl.len()).collect(engine="streaming").item()
    row = _ROW if value is None else value * len(frame.collect_schema())
    _require_total(row * count, most)
    sizes = [
        size
        for name, dtype in frame.collect_schema().items()
        if (size := _size(pl.col(name), dtype, media=name in uncounted)) is not None
    ]
    if not sizes:
        return np.full(count, row)
    totals = frame.select(row + pl.sum_horizontal(sizes)).collect(engine="streaming")
    each = totals.to_series().to_numpy()
    _require_total(int(each.sum()), most)
    return each


def _require_total(total: int, most: int) -> None:
    if total > most:
        raise ExpansionError(
            f"it would take {total:,} bytes of memory, {MOST_TIMES:,} times its size"
        )


def _size(value: pl.Expr, dtype: Any, *, media: bool) -> pl.Expr | None:
    """Return the bytes of text in a value of some type; None if its size is fixed.

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
