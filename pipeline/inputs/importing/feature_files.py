"""Readers of `.npy`, `.safetensors` and `.parquet` files of features.

Tensors and columns of heads are called `L12.H7`, as `savs export` writes them.
"""

import json
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open

from savs.datasets.rows.parquet_rows import DAMAGE
from savs.foundation.arrays import Array
from savs.foundation.files import regular_size
from savs.foundation.frames import scan_parquet
from savs.pipeline.errors import ImportFileError
from savs.pipeline.inputs.importing.feature_file import FeatureFile, Layers, of_array, of_heads
from savs.stores import Head

TENSOR_TYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
COLUMN_TYPES = {pl.Float16: "float16", pl.Float32: "float32", pl.Float64: "float64"}
_DAMAGE = (
    *(*DAMAGE, SafetensorError, ValueError, EOFError, RecursionError),
    *(OverflowError, TypeError, SyntaxError, tokenize.TokenError),  # headers of .npy are Python
)
_HEAD = re.compile(r"L(\d{1,6})\.H(\d{1,6})")


def open_features(path: Path) -> FeatureFile:
    """Look at a file of features; nothing of it is read but what is told of the whole.

    Raises
    ------
    ImportFileError
        It cannot be read, or holds something else than features.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ImportFileError(
            f"{path}: expected a name that ends in {', '.join(_READERS)}, got {path.suffix!r}"
        )
    with damage(path):
        regular_size(path)
        found = reader(path)
    return replace(found, read=partial(_guarded, found))


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what a missing or damaged file leads to into an ImportFileError."""
    try:
        yield
    except ImportFileError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ImportFileError(f"{path} cannot be read: {reason}; check the file") from error


def _guarded(file: FeatureFile, start: int, stop: int) -> Layers:
    with damage(file.path):
        return file.read(start, stop)


def _from_npy(path: Path) -> FeatureFile:
    values = np.lib.format.open_memmap(path, mode="r")  # refuses arrays of objects
    return of_array(path, values.shape, str(values.dtype.newbyteorder("=")), values.__getitem__)


def _from_safetensors(path: Path) -> FeatureFile:
    with safe_open(path, framework="numpy") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
        kinds = {str(part.get_dtype()) for part in parts.values()}
        ids = (file.metadata() or {}).get("id")
    types = {TENSOR_TYPES.get(kind, kind) for kind in kinds}
    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        return of_array(path, shape, types.pop(), partial(_tensor_rows, path, name))
    heads = _named_heads(path, list(shapes), "tensors")
    counts = {shape[0] for shape in shapes.values() if len(shape) == 2}
    if len(counts) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ImportFileError(
            f"{path} has tensors of the shapes {', '.join(map(str, set(shapes.values())))};"
            " expected (examples, width), all with the same examples"
        )
    known = None if ids is None else _ids(path, json.loads(ids))
    widths = {head: shapes[name][1] for name, head in heads.items()}
    return of_heads(path, counts.pop(), widths, types, partial(_tensors, path, heads), known)


def _tensors(path: Path, heads: Mapping[str, Head], start: int, stop: int) -> dict[Head, Array]:
    with safe_open(path, framework="numpy") as file:
        return {head: file.get_slice(name)[start:stop] for name, head in heads.items()}


def _tensor_rows(path: Path, name: str, rows: slice) -> Array:
    with safe_open(path, framework="numpy") as file:
        return file.get_slice(name)[rows]


def _from_parquet(path: Path) -> FeatureFile:
    frame = scan_parquet(path)
    schema = frame.collect_schema()
    inner = {
        name: COLUMN_TYPES[own.base_type()]
        for name, dtype in schema.items()
        if isinstance(dtype, pl.List | pl.Array)
        and (own := dtype.inner).base_type() in COLUMN_TYPES
    }
    if not inner:
        raise ImportFileError(
            f"{path} has no column of lists of floats, expected one or more; it has the columns"
            f" {', '.join(schema)}"
        )
    heads = {name: (0, number) for number, name in enumerate(inner)}
    if any(map(_HEAD.fullmatch, inner)):
        heads = _named_heads(path, list(inner), "columns")
    widths = {heads[name]: width for name, width in _widths(path, frame, list(inner)).items()}
    others = tuple(name for name in schema if name not in inner)
    ids = frame.select(pl.col("id").cast(pl.String)) if "id" in others else None
    known = None if ids is None else _ids(path, ids.collect()["id"].to_list())
    rows = int(frame.select(pl.len()).collect().item())

    def columns(start: int, stop: int) -> dict[Head, Array]:
        part = frame.select(list(heads)).slice(start, stop - start).collect()
        return {head: _table(part[name], widths[head]) for name, head in heads.items()}

    return of_heads(path, rows, widths, set(inner.values()), columns, known, others)


def _table(values: pl.Series, width: int) -> Array:
    """Return lists of one length as `(rows, width)`; a null in one is NaN."""
    is_array = isinstance(values.dtype, pl.Array)
    return (values if is_array else values.list.to_array(width)).to_numpy()


def _widths(path: Path, frame: pl.LazyFrame, names: Sequence[str]) -> dict[str, int]:
    """Return the length of each column's lists; ImportFileError unless all its rows have it."""
    schema = frame.collect_schema()
    found = frame.select(_length(name, schema[name]) for name in names)
    least, most = (ends.row(0) for ends in pl.collect_all([found.min(), found.max()]))
    for name, low, high in zip(names, least, most, strict=True):
        if low != high:
            raise ImportFileError(
                f"{path}: column {name!r} has lists of {low} to {high} numbers (null is 0);"
                " expected as many numbers in each row"
            )
    return {name: int(width or 0) for name, width in zip(names, most, strict=True)}


def _length(name: str, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Array):
        return pl.when(pl.col(name).is_null()).then(0).otherwise(dtype.shape[0]).alias(name)
    return pl.col(name).list.len().fill_null(0)


def _named_heads(path: Path, names: Sequence[str], what: str) -> dict[str, Head]:
    """Return name -> head; ImportFileError where a name is of another form."""
    found = {name: _HEAD.fullmatch(name) for name in names}
    heads = {name: (int(match[1]), int(match[2])) for name, match in found.items() if match}
    if not names or len(set(heads.values())) < len(names):
        raise ImportFileError(
            f"{path} has the {what} {', '.join(names[:5]) or '(none)'}; expected a single one, or"
            " one a head that is called L12.H7: layer and head, counted from 0, each once"
        )
    return heads


def _ids(path: Path, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        raise ImportFileError(f"{path}: an id is empty or no text; give each row an id, or none")
    return tuple(values)


_READERS: dict[str, Callable[[Path], FeatureFile]] = {
    ".npy": _from_npy,
    ".safetensors": _from_safetensors,
    ".parquet": _from_parquet,
}
"""Suffix -> reader."""
