"""One shard: written whole or not at all, read head by head."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from savs.stores.columns import Columns, read_columns, write_columns
from savs.stores.errors import StoreCorruptError
from savs.stores.hdf5 import (
    Array,
    crc32,
    member_dataset,
    member_group,
    read_attribute,
    read_values,
)
from savs.stores.layout import (
    EXAMPLES,
    FORMAT,
    INDEX_COLUMN,
    LAYERS,
    SKIPPED,
    STORED_DTYPES,
    LayerGrid,
    layer_name,
)
from savs.stores.manifest import Identity
from savs.stores.plan import ShardSpec


@dataclass(frozen=True, slots=True)
class ShardContent:
    """What one shard holds beside its name."""

    layers: Mapping[int, Array]
    """Layer -> `(heads, rows, head_dim)` in the stored type."""
    examples: Columns
    """One value a row, in the order of the features' rows."""
    skipped: Columns
    """The same columns for the examples that could not be read, with `reason`."""
    run: Mapping[str, Any]
    """What the writer records about itself."""


def write_shard(path: Path, spec: ShardSpec, identity: Identity, content: ShardContent) -> None:
    """Write a shard as `<name>.partial`, make it durable, then give it its final name.

    The final name is given only where no file bears it yet.

    Raises
    ------
    FileExistsError
        A shard of that name is there already.
    OSError
        The disk refused.
    """
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        with h5py.File(partial, "x") as file:
            _fill(file, spec, identity, content)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        publish(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _fill(file: h5py.File, spec: ShardSpec, identity: Identity, content: ShardContent) -> None:
    file.attrs["format"] = np.int64(FORMAT)
    file.attrs["number"] = np.int64(spec.number)
    for name, text in (
        ("split", spec.split),
        ("plan", spec.digest),
        ("identity", identity.digest),
        ("dtype", identity.dtype),
        ("run", json.dumps(dict(content.run))),
    ):
        file.attrs[name] = np.bytes_(text.encode("utf-8"))  # fixed length: no object type
    layers = file.create_group(LAYERS)
    for grid in identity.grid:
        values = np.ascontiguousarray(content.layers[grid.layer])
        dataset = layers.create_dataset(layer_name(grid.layer), data=values)
        dataset.attrs["heads"] = np.asarray(grid.heads, dtype=np.uint32)
        dataset.attrs["crc32"] = np.array([crc32(head) for head in values], dtype=np.uint32)
    write_columns(file.create_group(EXAMPLES), content.examples)
    write_columns(file.create_group(SKIPPED), content.skipped)


def publish(partial: Path, path: Path) -> None:
    """Give a finished file its final name, never over another one, and make the name durable."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(f"{path} is there already") from None
        partial.rename(path)
    else:
        partial.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Shard:
    """A finished shard, open for reading."""

    def __init__(self, file: h5py.File, path: Path, identity: Identity) -> None:
        self._file = file
        self._path = path
        self._identity = identity

    @property
    def run(self) -> dict[str, Any]:
        """What the writer recorded about itself."""
        text = read_attribute(self._file, "run", str(self._path)).item()
        return json.loads(text.decode("utf-8"))

    @property
    def rows(self) -> int:
        """Number of examples with features."""
        examples, where = self._group(EXAMPLES)
        return member_dataset(examples, INDEX_COLUMN, where).shape[0]

    def examples(self) -> dict[str, list[Any]]:
        """Return the columns of the examples with features."""
        return read_columns(*self._group(EXAMPLES))

    def skipped(self) -> dict[str, list[Any]]:
        """Return the columns of the skipped examples."""
        return read_columns(*self._group(SKIPPED))

    def _group(self, name: str) -> tuple[h5py.Group, str]:
        return member_group(self._file, name, f"{self._path}:"), f"{self._path}:/{name}"

    def heads(self, grid: LayerGrid, heads: Sequence[int]) -> Iterator[Array]:
        """Yield `(rows, head_dim)` in the stored type for each asked head of one layer.

        Raises
        ------
        StoreCorruptError
            The layer is not as the store declares it, or a head fails its crc32.
        """
        layers, where = self._group(LAYERS)
        dataset = member_dataset(layers, layer_name(grid.layer), where)
        where = f"{where}/{layer_name(grid.layer)}"
        declared = (len(grid.heads), self.rows, grid.head_dim)
        dtype = STORED_DTYPES[self._identity.dtype]
        if dataset.shape != declared or dataset.dtype != dtype:
            raise StoreCorruptError(
                f"{where} holds {dataset.shape} {dataset.dtype}, expected {declared} {dtype};"
                " extract this shard again"
            )
        checksums = read_attribute(dataset, "crc32", where)
        for head in heads:
            place = grid.heads.index(head)
            values = read_values(dataset, where, place)
            if crc32(values) != checksums[place]:
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
        file = h5py.File(path, "r", locking=False)
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
            got = read_attribute(file, name, str(path)).item()
            if got != value:
                raise StoreCorruptError(
                    f"{path} is not this store's shard: {name} is {got!r}, expected {value!r};"
                    " move it away and run `savs extract` again"
                )
        yield Shard(file, path, identity)
