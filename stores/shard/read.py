"""Read one shard, head by head, every value checked."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.format.layout import (
    EXAMPLES,
    FORMAT,
    INDEX_COLUMN,
    LAYERS,
    OUTPUTS,
    REASON_COLUMN,
    SKIPPED,
    STORED_DTYPES,
    LayerGrid,
    layer_name,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.checksums import crc32, damage
from savs.stores.shard.shard_file import ShardFile, open_file
from savs.stores.shard.text_columns import INT64, read_columns


class Shard:
    """A finished shard, open for reading."""

    def __init__(self, file: ShardFile, path: Path, spec: ShardSpec, identity: Identity) -> None:
        self._file = file
        self._path = path
        self._spec = spec
        self._identity = identity

    @property
    def run(self) -> dict[str, Any]:
        """What the writer recorded about itself."""
        with damage(f"{self._path} attribute run"):
            return json.loads(str(self._file.header.attribute("run")))

    @cached_property
    def rows(self) -> int:
        """Number of examples with features."""
        rows, skipped = self._rows(EXAMPLES), self._rows(SKIPPED)
        if rows + skipped != self._spec.rows:
            raise StoreCorruptError(
                f"{self._path} holds {rows} examples and {skipped} skipped ones, planned are"
                f" {self._spec.rows}; {REPAIR}"
            )
        return rows

    def _rows(self, group: str) -> int:
        (rows,) = self._file.find(f"{group}/{INDEX_COLUMN}", INT64, [None]).shape
        if rows > self._spec.rows:
            raise StoreCorruptError(
                f"{self._file.place(group)} has {rows} rows, planned are {self._spec.rows};"
                " do not trust this file"
            )
        return rows

    def examples(self, names: Collection[str] | None = None) -> dict[str, list[Any]]:
        """Return the columns of the examples with features: `index` and those named, or all."""
        return read_columns(self._file, EXAMPLES, self.rows, names)

    def skipped(self, names: Collection[str] | None = None) -> dict[str, list[Any]]:
        """Return the columns of the skipped examples, with `reason`."""
        wanted = None if names is None else {*names, REASON_COLUMN}
        columns = read_columns(self._file, SKIPPED, self._spec.rows - self.rows, wanted)
        if REASON_COLUMN not in columns:
            raise StoreCorruptError(f"{self._file.place(SKIPPED)} has lost its reasons")
        return columns

    def output(self, name: str) -> Array:
        """Return one of `OUTPUT_NAMES`, `(examples, ...)`.

        Raises
        ------
        StoreCorruptError
            It is missing, of another type or length than the examples, or fails its crc32.
        """
        float32 = np.dtype(np.float32)
        values = self._file.array(f"{OUTPUTS}/{name}", float32, [self.rows, None])
        self._file.check(f"{OUTPUTS}/{name}", values)
        return values

    def heads(
        self, wanted: Sequence[tuple[LayerGrid, int]], out: Sequence[Array] | None = None
    ) -> list[Array]:
        """Return `(rows, head_dim)` in the stored type for each asked head.

        Parameters
        ----------
        wanted
            The heads, each as its layer and its number there.
        out
            Arrays to put the values into, one a head; new ones by default.

        Raises
        ------
        StoreCorruptError
            A layer is not as the store declares it, or a head fails its crc32.
        """
        slabs = [self._slab(grid, head) for grid, head in wanted]
        dtype = STORED_DTYPES[self._identity.dtype]
        if out is None:
            out = [np.empty((self.rows, grid.head_dim), dtype) for grid, _ in wanted]
        for (offset, checksum), values, head in zip(slabs, out, wanted, strict=True):
            read = values if values.flags.c_contiguous else np.empty(values.shape, dtype)
            self._file.fill(read, offset)
            if crc32(read) != checksum:
                raise StoreCorruptError(
                    f"{self._file.place(_layer(head[0]))} head {head[1]} fails its crc32: the file"
                    f" was changed after it was written; {REPAIR}"
                )
            if read is not values:
                values[...] = read
        return list(out)

    def check_hdf5(self) -> None:
        """Check that the file's HDF5 part declares what this store and its header do.

        Raises
        ------
        StoreCorruptError
            It does not, so that other programs would read other values.
        """
        self._file.check_hdf5({_layer(grid): list(grid.heads) for grid in self._identity.grid})

    def require(self, wanted: Sequence[tuple[LayerGrid, int]]) -> None:
        """Raise StoreCorruptError where a head is not as the store declares it; none is read."""
        for grid, head in wanted:
            self._slab(grid, head)

    def _slab(self, grid: LayerGrid, head: int) -> tuple[int, int]:
        """Return where the values of a head begin in the file, and their crc32."""
        name, dtype = _layer(grid), STORED_DTYPES[self._identity.dtype]
        place = grid.heads.index(head)
        shape: list[int | None] = [len(grid.heads), self.rows, grid.head_dim]
        start = self._file.find(name, dtype, shape).offset
        size = self.rows * grid.head_dim * dtype.itemsize
        return start + place * size, self._file.checksum(name, place)


def _layer(grid: LayerGrid) -> str:
    return f"{LAYERS}/{layer_name(grid.layer)}"


@contextmanager
def open_shard(path: Path, spec: ShardSpec, identity: Identity) -> Iterator[Shard]:
    """Open a finished shard without a lock and check that it is the planned one.

    Raises
    ------
    StoreCorruptError
        Not a readable shard of this store and this place in its plan.
    StoreReadError
        It may not or cannot be read.
    """
    expected = {
        "format": FORMAT,
        "split": spec.split,
        "number": spec.number,
        "plan": spec.digest,
        "identity": identity.digest,
    }
    with open_file(path) as file:
        for name, value in expected.items():
            with damage(f"{path} attribute {name}"):
                got = file.header.attribute(name)
            if got != value:
                raise StoreCorruptError(
                    f"{path} is not this store's shard: {name} is {got!r}, expected {value!r};"
                    " it is another's, or store.json was changed: `savs verify` tells"
                )
        yield Shard(file, path, spec, identity)
