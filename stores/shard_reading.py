"""Read one shard, head by head, every value checked."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from savs.stores.columns import read_columns
from savs.stores.errors import StoreCorruptError, StoreReadError
from savs.stores.hdf5 import (
    Array,
    attribute,
    crc32,
    damage,
    member_dataset,
    member_group,
)
from savs.stores.layout import (
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
from savs.stores.manifest import Identity
from savs.stores.places import is_remote, open_bytes
from savs.stores.plan import ShardSpec


class Shard:
    """A finished shard, open for reading."""

    def __init__(self, file: h5py.File, path: Path, spec: ShardSpec, identity: Identity) -> None:
        self._file = file
        self._path = path
        self._spec = spec
        self._identity = identity

    @property
    def run(self) -> dict[str, Any]:
        """What the writer recorded about itself."""
        with damage(f"{self._path} attribute run"):
            return json.loads(attribute(self._file, "run").decode("utf-8"))

    @cached_property
    def rows(self) -> int:
        """Number of examples with features."""
        rows, skipped = self._rows(EXAMPLES), self._rows(SKIPPED)
        if rows + skipped != self._spec.rows:
            raise StoreCorruptError(
                f"{self._path} holds {rows} examples and {skipped} skipped ones, planned are"
                f" {self._spec.rows}; delete it and extract again"
            )
        return rows

    @cached_property
    def _layers(self) -> h5py.Group:
        return member_group(self._file, LAYERS, f"{self._path}:")

    def _rows(self, name: str) -> int:
        with damage(f"{self._path}:/{name}"):
            group = member_group(self._file, name, f"{self._path}:")
            rows = member_dataset(group, INDEX_COLUMN, f"{self._path}:/{name}").shape[0]
        if rows > self._spec.rows:
            raise StoreCorruptError(
                f"{self._path}:/{name} has {rows} rows, planned are {self._spec.rows};"
                " do not trust this file"
            )
        return rows

    def examples(self, names: Collection[str] | None = None) -> dict[str, list[Any]]:
        """Return the columns of the examples with features: `index` and those named, or all."""
        return self._columns(EXAMPLES, names)

    def skipped(self, names: Collection[str] | None = None) -> dict[str, list[Any]]:
        """Return the columns of the skipped examples, with `reason`."""
        columns = self._columns(SKIPPED, None if names is None else {*names, REASON_COLUMN})
        if REASON_COLUMN not in columns:
            raise StoreCorruptError(f"{self._path}:/{SKIPPED} has lost its reasons")
        return columns

    def _columns(self, name: str, names: Collection[str] | None) -> dict[str, list[Any]]:
        rows = self.rows if name == EXAMPLES else self._spec.rows - self.rows
        where = f"{self._path}:/{name}"
        return read_columns(member_group(self._file, name, f"{self._path}:"), where, rows, names)

    def output(self, name: str) -> Array:
        """Return one of `OUTPUT_NAMES`, one row an example.

        Raises
        ------
        StoreCorruptError
            It is missing, of another length than the examples, or fails its crc32.
        """
        where = f"{self._path}:/{OUTPUTS}/{name}"
        with damage(where):
            outputs = member_group(self._file, OUTPUTS, f"{self._path}:")
            dataset = member_dataset(outputs, name, f"{self._path}:/{OUTPUTS}")
            if dataset.shape[:1] != (self.rows,):
                raise StoreCorruptError(f"{where} has {dataset.shape[:1]} rows, not {self.rows}")
            values = np.asarray(dataset[()])
            if crc32(values) != int(attribute(dataset, "crc32")):
                raise StoreCorruptError(f"{where} fails its crc32; extract this shard again")
        return values

    def heads(self, grid: LayerGrid, heads: Sequence[int]) -> Iterator[Array]:
        """Yield `(rows, head_dim)` in the stored type for each asked head of one layer.

        Raises
        ------
        StoreCorruptError
            The layer is not as the store declares it, or a head fails its crc32.
        """
        name = layer_name(grid.layer)
        where = f"{self._path}:/{LAYERS}/{name}"
        with damage(where):
            dataset = member_dataset(self._layers, name, f"{self._path}:/{LAYERS}")
            declared = (len(grid.heads), self.rows, grid.head_dim)
            dtype = STORED_DTYPES[self._identity.dtype]
            if dataset.shape != declared or dataset.dtype != dtype:
                raise StoreCorruptError(
                    f"{where} holds {dataset.shape} {dataset.dtype}, expected {declared} {dtype};"
                    " extract this shard again"
                )
            checksums = attribute(dataset, "crc32")
        for head in heads:
            place = grid.heads.index(head)
            with damage(where):
                values = np.asarray(dataset[place])
                intact = crc32(values) == checksums[place]
            if not intact:
                raise StoreCorruptError(
                    f"{where} head {head} fails its crc32: the file was changed after it was"
                    f" written; delete {self._path.name} and run `savs extract` again"
                )
            yield values


@contextmanager
def open_shard(path: Path, spec: ShardSpec, identity: Identity) -> Iterator[Shard]:
    """Open a finished shard without a lock and check that it is the planned one.

    Raises
    ------
    StoreCorruptError
        Not a readable shard of this store and this place in its plan.
    """
    try:
        if not is_remote(path) and path.is_file():
            path.open("rb").close()
        source = open_bytes(path)
    except OSError as error:
        raise StoreReadError(
            f"{path} cannot be read: {error.strerror or error}; check its permissions and the disk"
        ) from error
    try:
        locking = {} if is_remote(path) else {"locking": False}
        file = h5py.File(source, "r", **locking)
    except OSError as error:
        raise StoreCorruptError(
            f"{path} cannot be opened as HDF5 ({error}); delete it and run `savs extract` again"
        ) from error
    with file:
        expected = {
            "format": FORMAT,
            "split": spec.split.encode(),
            "number": spec.number,
            "plan": spec.digest.encode(),
            "identity": identity.digest.encode(),
        }
        for name, value in expected.items():
            with damage(f"{path} attribute {name}"):
                got = np.asarray(attribute(file, name)).item()
            if got != value:
                raise StoreCorruptError(
                    f"{path} is not this store's shard: {name} is {got!r}, expected {value!r};"
                    " move it away and run `savs extract` again"
                )
        yield Shard(file, path, spec, identity)
