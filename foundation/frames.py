"""Tables that a query reads piece by piece, and Parquet files that anyone may have written."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source

from savs.foundation.files import is_utf8


def lazy_frames(
    frames: Callable[[], Iterable[pl.DataFrame]], schema: Mapping[str, pl.DataType], name: str
) -> pl.LazyFrame:
    """Return a lazy table of frames that are made one after the other, as far as a query needs.

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
