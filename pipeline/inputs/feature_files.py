"""Features in a `.npy`, `.safetensors` or `.parquet` file, read some rows at a time.

Tensors and columns of heads are called `L12.H7`, as `savs export` writes them.
"""

import json
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open

from savs.datasets.rows.parquet_rows import DAMAGE
from savs.foundation.arrays import Array
from savs.foundation.files import regular_size
from savs.foundation.frames import OF_COLUMN, collect_rows, scan_parquet
from savs.pipeline.errors import ImportFileError
from savs.stores import Head, LayerGrid
from savs.stores.format.layout import parse_head

ARRAYS = "(examples, width), (examples, heads, width) or (examples, layers, heads, width)"
STORED = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float32", "float64": "float32"}
"""Type in a file -> type in the store."""
TENSOR_TYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
VECTOR = "vector"
"""Column of `savs export` that repeats the columns of heads."""
COLUMN_TYPES = {pl.Float16: "float16", pl.Float32: "float32", pl.Float64: "float64"}
MAX_ROW_BYTES = 2**28
"""Most bytes of an example's features: a small Parquet file can declare any number."""
Layers = Mapping[int, Array]
"""Layer -> `(heads, examples, width)`, as a shard holds it."""
_DAMAGE = (
    *(*DAMAGE, SafetensorError, ValueError, EOFError, RecursionError),
    *(OverflowError, TypeError, SyntaxError, tokenize.TokenError),  # headers of .npy are Python
)


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A file of features."""

    path: Path
    rows: int
    grid: tuple[LayerGrid, ...]
    type_in_file: str
    dtype: str
    """Type in the store."""
    read: Callable[[int, int], Layers]
    """First row and one past the last -> their features."""
    ids: tuple[str, ...] | None = None
    """Ids of the rows, if the file has them."""
    others: tuple[str, ...] = ()
    """Columns of a Parquet file that are not features."""


def open_features(path: Path) -> FeatureFile:
    """Look at a file of features; nothing of it is read but what is given the whole.

    ImportFileError if it cannot be read, or holds something else than features.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ImportFileError(
            f"{path}: expected a name that ends in {', '.join(_READERS)}, got {path.suffix!r}"
        )
    with damage(path):
        regular_size(path)
        file = reader(path)
    if file.ids is not None and len(file.ids) != file.rows:
        raise ImportFileError(
            f"{path} has {file.rows:,} rows of features and {len(file.ids):,} ids; expected an id"
            " for each row, or none"
        )
    return replace(file, read=partial(_guarded, file))


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
    known = None if ids is None else _ids(path, json.loads(ids))
    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        file = of_array(path, shape, types.pop(), partial(_tensor_rows, path, name))
        return replace(file, ids=known)
    heads = _named_heads(path, list(shapes), "tensors")
    counts = {shape[0] for shape in shapes.values() if len(shape) == 2}
    if len(counts) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ImportFileError(
            f"{path} has tensors of the shapes {', '.join(map(str, set(shapes.values())))};"
            " expected (examples, width), all with the same examples"
        )
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
        name: COLUMN_TYPES[inner_type.base_type()]
        for name, dtype in schema.items()
        if isinstance(dtype, pl.List | pl.Array)
        and (inner_type := dtype.inner).base_type() in COLUMN_TYPES
    }
    if not inner:
        raise ImportFileError(
            f"{path} has no column of lists of floats, expected one or more; it has the columns"
            f" {', '.join(schema)}"
        )
    if any(map(parse_head, inner)):
        inner.pop(VECTOR, None)  # it repeats the heads, for viewers
    heads = {name: (0, number) for number, name in enumerate(inner)}
    if any(map(parse_head, inner)):
        heads = _named_heads(path, list(inner), "columns")
    widths = {heads[name]: width for name, width in _widths(path, frame, list(inner)).items()}
    others = tuple(name for name in schema if name not in inner and name != VECTOR)
    ids = frame.select(pl.col("id").cast(pl.String)) if "id" in others else None
    known = None
    if ids is not None:
        known = _ids(path, collect_rows(ids, path.stat().st_size, OF_COLUMN)["id"].to_list())
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
    lengths = frame.select(_length(name, schema[name]) for name in names)
    least, most = (ends.row(0) for ends in pl.collect_all([lengths.min(), lengths.max()]))
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
    """Return name -> head; ImportFileError if a name has another form."""
    heads = {name: head for name in names if (head := parse_head(name)) is not None}
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


def of_array(
    path: Path, shape: Sequence[int], type_in_file: str, rows: Callable[[slice], Array]
) -> FeatureFile:
    """Return the features of one array; `rows` reads a part of it.

    ImportFileError if the shape is none of `ARRAYS`, or the type cannot be stored.
    """
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise ImportFileError(
            f"{path} is an array of shape {tuple(shape)}; expected {ARRAYS}, none of them 0"
        )
    dtype, width = _stored_type(path, {type_in_file}), int(shape[-1])
    layers, heads = (1, 1, *map(int, shape[1:-1]))[-2:]
    grid = [LayerGrid(layer, tuple(range(heads)), width) for layer in range(layers)]

    def read(start: int, stop: int) -> Layers:
        values = stored(np.asarray(rows(slice(start, stop))), dtype)
        parts = values.reshape(stop - start, layers, heads, width).transpose(1, 2, 0, 3)
        return {layer: np.ascontiguousarray(part) for layer, part in enumerate(parts)}

    return FeatureFile(path, int(shape[0]), _checked(path, grid), type_in_file, dtype, read)


def of_heads(
    path: Path,
    rows: int,
    widths: Mapping[Head, int],
    types: set[str],
    columns: Callable[[int, int], Mapping[Head, Array]],
    ids: tuple[str, ...] | None = None,
    others: tuple[str, ...] = (),
) -> FeatureFile:
    """Return the features of a file with one array per head; `columns` reads some rows.

    ImportFileError without rows, or where the heads of a layer differ in width, or a type cannot
    be stored.
    """
    if not rows:
        raise ImportFileError(f"{path} holds no rows; give a file with at least one example")
    dtype, grid = _stored_type(path, types), []
    for layer in sorted({layer for layer, _ in widths}):
        widths_of_layer = {head: widths[n, head] for n, head in sorted(widths) if n == layer}
        if len(set(widths_of_layer.values())) > 1:
            raise ImportFileError(
                f"{path}: heads of layer {layer} have the widths"
                f" {sorted(set(widths_of_layer.values()))},"
                " expected one; call them heads of several layers, L0.H0 and L1.H0"
            )
        grid.append(LayerGrid(layer, tuple(widths_of_layer), next(iter(widths_of_layer.values()))))

    def read(start: int, stop: int) -> Layers:
        arrays = columns(start, stop)
        return {
            g.layer: np.stack([stored(arrays[g.layer, head], dtype) for head in g.heads])
            for g in grid
        }

    type_names = " and ".join(sorted(types))
    return FeatureFile(path, rows, _checked(path, grid), type_names, dtype, read, ids, others)


def stored(values: Array, dtype: str) -> Array:
    """Return values in the type of the store, bfloat16 as its bits."""
    if dtype == "bfloat16":
        return values.astype(ml_dtypes.bfloat16).view(np.uint16)
    with np.errstate(over="ignore"):  # infinity is reported with the example that has it
        return values.astype(dtype)


def _stored_type(path: Path, types: set[str]) -> str:
    """Return the type that features get in the store: float32 where a file has several."""
    if not types <= set(STORED):
        raise ImportFileError(
            f"{path} holds {', '.join(sorted(types))}; expected {', '.join(STORED)}: convert it,"
            " in numpy by .astype('float32')"
        )
    targets = {STORED[name] for name in types}
    return targets.pop() if len(targets) == 1 else "float32"


def _checked(path: Path, grid: Sequence[LayerGrid]) -> tuple[LayerGrid, ...]:
    """Return a grid; ImportFileError if an example takes too much memory, or nothing."""
    size = 4 * sum(len(layer.heads) * layer.head_dim for layer in grid)
    if size > MAX_ROW_BYTES or any(not layer.head_dim for layer in grid):
        raise ImportFileError(
            f"{path} has {size:,} bytes of features per example; expected heads of one value or"
            f" more, and at most {MAX_ROW_BYTES:,}"
        )
    return tuple(grid)
