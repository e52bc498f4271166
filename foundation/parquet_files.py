"""Parquet files that anyone may have written."""

from pathlib import Path
from typing import IO, Any

import polars as pl


def scan_parquet(source: Path | IO[bytes] | bytes) -> pl.LazyFrame:
    """Return a Parquet file, or its bytes, as a LazyFrame, after a look at its schema.

    Polars takes a column of the extension type `_POLARS_PYTHON_OBJECT` for addresses of objects in
    its own memory, whoever wrote the file. No file can hold such a column rightly.

    Raises
    ------
    polars.exceptions.PolarsError, OSError
        The file is not Parquet, cannot be read, or has a column of Python objects.
    """
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
