"""Read one shard, head by head, every value checked."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.files.raw_file import RawFile
from savs.stores.format.layout import (
    EXAMPLE_COLUMNS,
    EXAMPLES,
    INDEX,
    LAYERS,
    OUTPUT_TYPES,
    OUTPUTS,
    READABLE,
    REASON_COLUMN,
    SKIPPED,
    STORED_DTYPES,
    THUMBNAIL_COLUMN,
    LayerGrid,
    layer_name,
)
from savs.stores.format.manifest import Manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.arrays import Entry, Piece
from savs.stores.shard.content import check_columns, decode_column, endless_row
from savs.stores.shard.index import Index, damage, read_index

UINT8 = np.dtype(np.uint8).str


class Shard:
    """A finished shard, open for reading."""

    def __init__(self, file: RawFile, index: Index, spec: ShardSpec, manifest: Manifest) -> None:
        self._file = file
        self._index = index
        self._spec = spec
        self._planned = manifest.plan.planned_ids(spec)
        self._identity = manifest.identity
        self._dtype = STORED_DTYPES[manifest.identity.dtype]

    @property
    def fingerprint(self) -> int:
        """What changes when the shard is written again with anything else in it."""
        return self._index.fingerprint

    @property
    def run(self) -> dict[str, Any]:
        """What the writer recorded about itself."""
        with damage(f"{self._file.where} attribute run"):
            return msgspec.json.decode(
                str(self._index.table.attributes["run"]), type=dict[str, Any]
            )

    @cached_property
    def rows(self) -> int:
        """Number of examples with features: what its layers have; the others were skipped."""
        grid = self._identity.grid[0]
        shape = (len(grid.heads), None, grid.head_dim)
        rows = self._index.entry(_layer(grid), [self._dtype.str], shape).shape[1]
        if rows > self._spec.rows:
            raise StoreCorruptError(
                f"{self._file.where} has {rows} rows, expected at most {self._spec.rows}; do not"
                " trust this file"
            )
        return rows

    def examples(self, names: Collection[str] | None = None) -> pl.DataFrame:
        """Return the columns of the examples with features: `index` and those named, or all."""
        return self._table(EXAMPLES, self.rows, names)

    def skipped(self, names: Collection[str] | None = None) -> pl.DataFrame:
        """Return the columns of the skipped examples, with `reason`."""
        wanted = None if names is None else {*names, REASON_COLUMN}
        return self._table(SKIPPED, self._spec.rows - self.rows, wanted)

    def _table(self, group: str, rows: int, names: Collection[str] | None) -> pl.DataFrame:
        needed = [*EXAMPLE_COLUMNS] + ([REASON_COLUMN] if group == SKIPPED else [])
        held = self._index.members(group)
        if unknown := held - {*needed, THUMBNAIL_COLUMN}:
            raise StoreCorruptError(
                f"{self._file.where}:/{group} has {min(unknown)!r}, which is not a column of format"
                " 1; do not trust this file"
            )
        columns = [*needed, *({THUMBNAIL_COLUMN} & held)]
        wanted = [n for n in columns if names is None or n in names or n == "index"]
        values = {name: self._column(group, name, rows) for name in wanted}
        with damage(f"{self._file.where}:/{group}"):
            check_columns(values, self._spec.split, self._planned)
        return pl.DataFrame(values)

    def _column(self, group: str, name: str, rows: int) -> pl.Series:
        stored = self._array(
            self._index.entry(f"{group}/{name}", [UINT8], [None]), f"{group}/{name}"
        )
        with damage(f"{self._file.where}:/{group}/{name}"):
            return decode_column(name, stored, rows)

    def output(self, name: str) -> Array:
        """Return an output that the identity lists, `(examples, ...)`.

        StoreCorruptError if it is missing, of another type or length, or fails its crc32.
        """
        path = f"{OUTPUTS}/{name}"
        entry = self._index.table.arrays.get(path)
        beyond = entry.shape[1:] if entry else ()
        return self._array(self._index.entry(path, OUTPUT_TYPES, (self.rows, *beyond)), path)

    def _array(self, entry: Entry, name: str) -> Array:
        """Return an array, checked by its crc32."""
        values = np.empty(entry.shape, entry.dtype)
        if not entry.whole().read(self._file, values):
            raise StoreCorruptError(f"{self._file.where}:/{name} fails its crc32; {REPAIR}")
        return values

    def heads(
        self, wanted: Sequence[tuple[LayerGrid, int]], out: Sequence[Array] | None = None
    ) -> list[Array]:
        """Return `(rows, head_dim)` in the stored type for each head, a layer and a number in it.

        Values go into the C-contiguous arrays `out`, one a head, where they are given.
        StoreCorruptError if a layer is not as the store declares it, a head fails its crc32, or is
        not finite.
        """
        slabs = self.slabs(wanted)
        dtype = self._dtype
        if out is None:
            out = [np.empty((self.rows, grid.head_dim), dtype) for grid, _ in wanted]
        for slab, values, (grid, head) in zip(slabs, out, wanted, strict=True):
            if not slab.read(self._file, values):
                raise StoreCorruptError(
                    f"{self._file.where}:/{_layer(grid)} head {head} fails its crc32: the file was"
                    f" changed after it was written; {REPAIR}"
                )
            if (row := endless_row(values, self._identity.dtype)) is not None:  # savs writes none
                name = self.examples(["id"])["id"][row]
                raise StoreCorruptError(
                    f"{self._file.where}:/{_layer(grid)} head {head} of example {name!r} holds NaN"
                    f" or infinity, expected finite numbers; {REPAIR}"
                )
        return list(out)

    def slabs(self, wanted: Sequence[tuple[LayerGrid, int]]) -> list[Piece]:
        """Return where each head lies; StoreCorruptError for other layers."""
        dtype = self._dtype
        entries: dict[int, Entry] = {}
        places = []
        for grid, head in wanted:
            if grid.layer not in entries:
                shape = (len(grid.heads), self.rows, grid.head_dim)
                entries[grid.layer] = self._index.entry(_layer(grid), [dtype.str], shape)
            entry, number = entries[grid.layer], grid.heads.index(head)
            with damage(f"{self._file.where}:/{_layer(grid)}"):
                places.append(entry.head(number))
        return places

    def check_hdf5(self) -> None:
        """Check that the file's HDF5 structure declares what this store and the index do.

        StoreCorruptError if it does not, so that other programs would read other values.
        """
        from savs.stores.shard.hdf5 import hdf5_table  # h5py: no reader needs it

        where = self._file.where
        with damage(f"{where}: its HDF5 structure"):
            declared, heads = hdf5_table(self._file.file, where)
        indexed = {name: entry.extent() for name, entry in self._index.table.arrays.items()}
        attributes = dict(self._index.table.attributes)
        arrays = declared["arrays"]
        end = arrays.pop(INDEX, [0, "", [0]])
        ours = {_layer(grid): list(grid.heads) for grid in self._identity.grid}
        ends = end[0] + end[2][0] == self._index.size_bytes
        if not ends or (arrays, declared["attributes"], heads) != (indexed, attributes, ours):
            raise StoreCorruptError(
                f"{where} declares other arrays, attributes or heads in HDF5 than in its index;"
                f" {REPAIR}"
            )


def _layer(grid: LayerGrid) -> str:
    return f"{LAYERS}/{layer_name(grid.layer)}"


@contextmanager
def open_shard(path: Any, spec: ShardSpec, manifest: Manifest) -> Iterator[Shard]:
    """Open a finished shard without a lock and check that it is the planned one.

    StoreCorruptError if it is no readable shard of this store with this number in its plan,
    StoreReadError if it may not or cannot be read.
    """
    expected = {
        "format": READABLE,
        "split": (spec.split,),
        "number": (spec.number,),
        "plan": (spec.digest,),
        "identity": (manifest.identity.digest,),
    }
    with RawFile(path) as file:
        index = read_index(file)
        for name, values in expected.items():
            got = index.table.attributes.get(name)
            if got not in values:
                raise StoreCorruptError(
                    f"{path} is not a shard of this store: {name} is {got!r}, expected"
                    f" {' or '.join(map(repr, values))}; it belongs to another store,"
                    " or store.json was changed: run `savs verify`"
                )
        yield Shard(file, index, spec, manifest)
