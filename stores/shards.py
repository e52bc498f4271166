"""One shard: written whole or not at all, read head by head."""

import io
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
from savs.stores.hdf5 import Array, crc32, damage, member_dataset, member_group
from savs.stores.layout import (
    EXAMPLES,
    FORMAT,
    INDEX_COLUMN,
    LAYERS,
    REASON_COLUMN,
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


def write_shard(
    path: Path, spec: ShardSpec, identity: Identity, content: ShardContent, rank: int
) -> None:
    """Write a shard as `<name>.<rank>.partial`, make it durable, then give it its final name.

    The final name is given only where no file bears it yet.

    Raises
    ------
    FileExistsError
        A shard of that name is there already.
    OSError
        The disk refused.
    """
    partial = path.with_name(f"{path.name}.{rank}.partial")
    image = _image(spec, identity, content)
    try:
        with partial.open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _image(spec: ShardSpec, identity: Identity, content: ShardContent) -> bytes:
    """Return the bytes of a shard's file, made in memory: HDF5 does not survive a full disk."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        _fill(file, spec, identity, content)
    return buffer.getvalue()


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

    def __init__(self, file: h5py.File, path: Path, spec: ShardSpec, identity: Identity) -> None:
        self._file = file
        self._path = path
        self._spec = spec
        self._identity = identity

    @property
    def run(self) -> dict[str, Any]:
        """What the writer recorded about itself."""
        with damage(f"{self._path} attribute run"):
            return json.loads(self._file.attrs["run"].decode("utf-8"))

    @property
    def rows(self) -> int:
        """Number of examples with features."""
        rows, skipped = self._rows(EXAMPLES), self._rows(SKIPPED)
        if rows + skipped != self._spec.rows:
            raise StoreCorruptError(
                f"{self._path} holds {rows} examples and {skipped} skipped ones, planned are"
                f" {self._spec.rows}; delete it and extract again"
            )
        return rows

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

    def examples(self) -> dict[str, list[Any]]:
        """Return the columns of the examples with features."""
        return self._columns(EXAMPLES)

    def skipped(self) -> dict[str, list[Any]]:
        """Return the columns of the skipped examples, with `reason`."""
        columns = self._columns(SKIPPED)
        if REASON_COLUMN not in columns:
            raise StoreCorruptError(f"{self._path}:/{SKIPPED} has lost its reasons")
        return columns

    def _columns(self, name: str) -> dict[str, list[Any]]:
        rows = self.rows if name == EXAMPLES else self._spec.rows - self.rows
        return read_columns(self._file[name], f"{self._path}:/{name}", rows)

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
            layers = member_group(self._file, LAYERS, f"{self._path}:")
            dataset = member_dataset(layers, name, f"{self._path}:/{LAYERS}")
            declared = (len(grid.heads), self.rows, grid.head_dim)
            dtype = STORED_DTYPES[self._identity.dtype]
            if dataset.shape != declared or dataset.dtype != dtype:
                raise StoreCorruptError(
                    f"{where} holds {dataset.shape} {dataset.dtype}, expected {declared} {dtype};"
                    " extract this shard again"
                )
            checksums = dataset.attrs["crc32"]
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
            with damage(f"{path} attribute {name}"):
                got = np.asarray(file.attrs[name]).item()
            if got != value:
                raise StoreCorruptError(
                    f"{path} is not this store's shard: {name} is {got!r}, expected {value!r};"
                    " move it away and run `savs extract` again"
                )
        yield Shard(file, path, spec, identity)
