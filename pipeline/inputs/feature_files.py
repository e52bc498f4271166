"""Features in a `.npy`, `.safetensors` or `.parquet` file, read some rows at a time.

Tensors and columns of heads are called `L12.H7`, as `savs export` writes them.
"""

import json
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open

from savs.datasets.rows.parquet_rows import DAMAGE
from savs.foundation.arrays import Array
from savs.foundation.errors import reason_of
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
    heads: "HeadColumns"

    @property
    def ids(self) -> tuple[str, ...] | None:
        """Ids of the rows, if the file has them."""
        return self.heads.ids

    @property
    def others(self) -> tuple[str, ...]:
        """Columns of a Parquet file that are not features."""
        return self.heads.others

    def read(self, start: int, stop: int) -> Layers:
        """Return the features from a first row to one past the last; ImportFileError for damage."""
        with damage(self.path):
            arrays = self.heads.read(start, stop)
            return {
                layer.layer: np.stack(
                    [stored(arrays[layer.layer, head], self.dtype) for head in layer.heads]
                )
                for layer in self.grid
            }


@dataclass(frozen=True, slots=True)
class HeadColumns:
    """What a format says of its file: features head by head."""

    rows: int
    widths: Mapping[Head, int]
    types: set[str]
    read: Callable[[int, int], Mapping[Head, Array]]
    """First row and one past the last -> `(rows, width)` of each head."""
    ids: tuple[str, ...] | None = None
    others: tuple[str, ...] = ()


def open_features(path: Path) -> FeatureFile:
    """Look at a file of features; nothing of it is read but what is given the whole.

    ImportFileError if it cannot be read, or holds something else than features: no rows, types that
    cannot be stored, heads of a layer that differ in width, or examples that take too much memory.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ImportFileError(
            f"{path}: expected a name that ends in {', '.join(_READERS)}, got {path.suffix!r}"
        )
    with damage(path):
        regular_size(path)
        heads = reader(path)
    if not heads.rows:
        raise ImportFileError(f"{path} holds no rows; give a file with at least one example")
    if heads.ids is not None and len(heads.ids) != heads.rows:
        raise ImportFileError(
            f"{path} has {heads.rows:,} rows of features and {len(heads.ids):,} ids; expected an id"
            " for each row, or none"
        )
    if not heads.types <= set(STORED):
        raise ImportFileError(
            f"{path} holds {', '.join(sorted(heads.types))}; expected {', '.join(STORED)}: convert"
            " it, in numpy by .astype('float32')"
        )
    size = 4 * sum(heads.widths.values())
    if size > MAX_ROW_BYTES or not all(heads.widths.values()):
        raise ImportFileError(
            f"{path} has {size:,} bytes of features per example; expected heads of one value or"
            f" more, and at most {MAX_ROW_BYTES:,}"
        )
    grid = []
    for layer, of_layer in groupby(sorted(heads.widths.items()), key=lambda item: item[0][0]):
        widths = {head: width for (_, head), width in of_layer}
        if len(set(widths.values())) > 1:
            raise ImportFileError(
                f"{path}: heads of layer {layer} have the widths {sorted(set(widths.values()))},"
                " expected one; call them heads of several layers, L0.H0 and L1.H0"
            )
        grid.append(LayerGrid(layer, tuple(widths), next(iter(widths.values()))))
    targets = {STORED[name] for name in heads.types}
    dtype = targets.pop() if len(targets) == 1 else "float32"  # where a file has several
    return FeatureFile(
        path, heads.rows, tuple(grid), " and ".join(sorted(heads.types)), dtype, heads
    )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what a missing or damaged file leads to into an ImportFileError."""
    try:
        yield
    except ImportFileError:
        raise
    except _DAMAGE as error:
        raise ImportFileError(
            f"{path} cannot be read: {reason_of(error)}; check the file"
        ) from error


def _from_npy(path: Path) -> HeadColumns:
    values = np.lib.format.open_memmap(path, mode="r")  # refuses arrays of objects
    return _of_array(path, values.shape, str(values.dtype.newbyteorder("=")), values.__getitem__)


def _from_safetensors(path: Path) -> HeadColumns:
    with safe_open(path, framework="numpy") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
        kinds = {str(part.get_dtype()) for part in parts.values()}
        ids = (file.metadata() or {}).get("id")
    types = {TENSOR_TYPES.get(kind, kind) for kind in kinds}
    known = None if ids is None else _ids(path, json.loads(ids))

    def rows_of(name: str, rows: slice) -> Array:
        with safe_open(path, framework="numpy") as file:
            return file.get_slice(name)[rows]

    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        return replace(_of_array(path, shape, types.pop(), partial(rows_of, name)), ids=known)
    heads = _named_heads(path, list(shapes), "tensors")
    counts = {shape[0] for shape in shapes.values() if len(shape) == 2}
    if len(counts) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ImportFileError(
            f"{path} has tensors of the shapes {', '.join(map(str, set(shapes.values())))};"
            " expected (examples, width), all with the same examples"
        )

    def read(start: int, stop: int) -> dict[Head, Array]:
        with safe_open(path, framework="numpy") as file:
            return {head: file.get_slice(name)[start:stop] for name, head in heads.items()}

    widths = {head: shapes[name][1] for name, head in heads.items()}
    return HeadColumns(counts.pop(), widths, types, read, known)


def _of_array(
    path: Path, shape: Sequence[int], type_in_file: str, rows: Callable[[slice], Array]
) -> HeadColumns:
    """Return the heads of one array of a shape in `ARRAYS`; `rows` reads a part of it."""
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise ImportFileError(
            f"{path} is an array of shape {tuple(shape)}; expected {ARRAYS}, without a 0"
        )
    layers, heads, width = (1, 1, *map(int, shape[1:]))[-3:]
    places = [(layer, head) for layer in range(layers) for head in range(heads)]

    def read(start: int, stop: int) -> dict[Head, Array]:
        values = np.asarray(rows(slice(start, stop))).reshape(stop - start, layers, heads, width)
        return {place: values[:, *place] for place in places}

    return HeadColumns(int(shape[0]), dict.fromkeys(places, width), {type_in_file}, read)


def _from_parquet(path: Path) -> HeadColumns:
    frame = scan_parquet(path)
    schema = frame.collect_schema()
    inner = {
        name: COLUMN_TYPES[cast("Any", inner_type.base_type())]
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
    arrays = [name for name in heads if isinstance(schema[name], pl.Array)]
    lists = frame.with_columns(pl.col(arrays).arr.to_list()) if arrays else frame
    lengths = lists.select(pl.col(list(heads)).list.len().fill_null(0))
    least, most = (ends.row(0) for ends in pl.collect_all([lengths.min(), lengths.max()]))
    for name, low, high in zip(heads, least, most, strict=True):
        if low != high:
            raise ImportFileError(
                f"{path}: column {name!r} has lists of {low} to {high} numbers (null is 0);"
                " expected as many numbers in each row"
            )
    widths = {head: int(width or 0) for head, width in zip(heads.values(), most, strict=True)}
    others = tuple(name for name in schema if name not in inner and name != VECTOR)
    known = None
    if "id" in others:
        ids = frame.select(pl.col("id").cast(pl.String))
        known = _ids(path, collect_rows(ids, path.stat().st_size, OF_COLUMN)["id"].to_list())
    rows = int(frame.select(pl.len()).collect().item())

    def read(start: int, stop: int) -> dict[Head, Array]:
        part = lists.select(list(heads)).slice(start, stop - start).collect()
        return {  # a null in a list is NaN
            head: part[name].list.to_array(widths[head]).to_numpy() for name, head in heads.items()
        }

    return HeadColumns(rows, widths, {inner[name] for name in heads}, read, known, others)


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


_READERS: dict[str, Callable[[Path], HeadColumns]] = {
    ".npy": _from_npy,
    ".safetensors": _from_safetensors,
    ".parquet": _from_parquet,
}
"""Suffix -> reader."""


def stored(values: Array, dtype: str) -> Array:
    """Return values in the type of the store, bfloat16 as its bits."""
    if dtype == "bfloat16":
        return values.astype(ml_dtypes.bfloat16).view(np.uint16)
    with np.errstate(over="ignore"):  # infinity is reported with the example that has it
        return values.astype(dtype)
