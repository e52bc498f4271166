"""Features in a file: which heads they are of, and some of their rows at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import ImportFileError
from savs.stores import Head, LayerGrid

ARRAYS = "(examples, width), (examples, heads, width) or (examples, layers, heads, width)"
STORED = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float32", "float64": "float32"}
"""Type in a file -> type in the store."""
MAX_ROW_BYTES = 2**28
"""Most bytes of an example's features: a small Parquet file can declare any number."""
Layers = Mapping[int, Array]
"""Layer -> `(heads, examples, width)`, as a shard holds it."""


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A file of features."""

    path: Path
    rows: int
    grid: tuple[LayerGrid, ...]
    found: str
    """Type in the file."""
    dtype: str
    """Type in the store."""
    read: Callable[[int, int], Layers]
    """First row and one past the last -> their features."""
    ids: tuple[str, ...] | None = None
    """Of the rows, where the file has them."""
    others: tuple[str, ...] = ()
    """Columns that are no features, of a Parquet file."""


def of_array(
    path: Path, shape: Sequence[int], found: str, rows: Callable[[slice], Array]
) -> FeatureFile:
    """Return the features of one array, of which `rows` reads some.

    Raises
    ------
    ImportFileError
        The shape is none of `ARRAYS`, or the type cannot be stored.
    """
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise ImportFileError(
            f"{path} is an array of shape {tuple(shape)}; expected {ARRAYS}, none of them 0"
        )
    dtype, width = _stored_type(path, {found}), int(shape[-1])
    layers, heads = (1, 1, *map(int, shape[1:-1]))[-2:]
    grid = [LayerGrid(layer, tuple(range(heads)), width) for layer in range(layers)]

    def read(start: int, stop: int) -> Layers:
        values = stored(np.asarray(rows(slice(start, stop))), dtype)
        parts = values.reshape(stop - start, layers, heads, width).transpose(1, 2, 0, 3)
        return {layer: np.ascontiguousarray(part) for layer, part in enumerate(parts)}

    return FeatureFile(path, int(shape[0]), _checked(path, grid), found, dtype, read)


def of_heads(
    path: Path,
    rows: int,
    widths: Mapping[Head, int],
    types: set[str],
    columns: Callable[[int, int], Mapping[Head, Array]],
    ids: tuple[str, ...] | None = None,
    others: tuple[str, ...] = (),
) -> FeatureFile:
    """Return the features of a file with one array a head, of which `columns` reads some rows.

    Raises
    ------
    ImportFileError
        There are no rows, the heads of a layer differ in width, or a type cannot be stored.
    """
    if not rows:
        raise ImportFileError(f"{path} holds no rows; give a file with at least one example")
    dtype, grid = _stored_type(path, types), []
    for layer in sorted({layer for layer, _ in widths}):
        own = {head: widths[n, head] for n, head in sorted(widths) if n == layer}
        if len(set(own.values())) > 1:
            raise ImportFileError(
                f"{path}: heads of layer {layer} have the widths {sorted(set(own.values()))},"
                " expected one; call them heads of several layers, L0.H0 and L1.H0"
            )
        grid.append(LayerGrid(layer, tuple(own), next(iter(own.values()))))

    def read(start: int, stop: int) -> Layers:
        found = columns(start, stop)
        return {
            g.layer: np.stack([stored(found[g.layer, head], dtype) for head in g.heads])
            for g in grid
        }

    found = " and ".join(sorted(types))
    return FeatureFile(path, rows, _checked(path, grid), found, dtype, read, ids, others)


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
    found = {STORED[name] for name in types}
    return found.pop() if len(found) == 1 else "float32"


def _checked(path: Path, grid: Sequence[LayerGrid]) -> tuple[LayerGrid, ...]:
    """Return a grid; ImportFileError where an example takes too much memory, or nothing."""
    size = 4 * sum(len(layer.heads) * layer.head_dim for layer in grid)
    if size > MAX_ROW_BYTES or any(not layer.head_dim for layer in grid):
        raise ImportFileError(
            f"{path} has {size:,} bytes of features per example; expected heads of one value or"
            f" more, and at most {MAX_ROW_BYTES:,}"
        )
    return tuple(grid)
