"""Write the HDF5 part of a shard, and note what its header shall say of it."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from savs.foundation.arrays import Array
from savs.stores.shard.checksums import crc32


class Hdf5Writer:
    """An HDF5 file that is made, and the table of what it holds. Names are those of format 1."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._groups: dict[str, h5py.Group] = {"": file}
        self._attributes: dict[str, int | str] = {}
        self._arrays: dict[str, list[Any]] = {}
        self._sums: dict[str, str] = {}

    def table(self) -> dict[str, Mapping[str, Any]]:
        """Return what a header says of what was written; see `WrittenHeader`."""
        return {"attributes": self._attributes, "arrays": self._arrays, "crc32": self._sums}

    def attribute(self, name: str, value: int | str) -> None:
        """Write an attribute of the file."""
        self._attributes[name] = value
        text = isinstance(value, str)  # of fixed length: no object type
        self._file.attrs[name] = np.bytes_(value.encode("utf-8")) if text else np.int64(value)

    def group(self, name: str) -> h5py.Group:
        """Return a group, which is made if it is not there; it may stay empty."""
        if name not in self._groups:
            way, _, last = name.rpartition("/")
            self._groups[name] = self.group(way).create_group(last)
        return self._groups[name]

    def array(self, name: str, values: Array) -> h5py.Dataset:
        """Write an array."""
        dataset = self._create(name, values)
        if values.size:
            dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values))
        self._note(name, dataset, values)
        return dataset

    def column(self, name: str, parts: Mapping[str, Array]) -> None:
        """Write arrays below a name that have one crc32."""
        for part, values in parts.items():
            self.array(f"{name}/{part}", values)
        self._sum(name, self.group(name), *parts.values())

    def checked(self, name: str, values: Array) -> None:
        """Write an array that has a crc32 of its own."""
        self._sum(name, self.array(name, values), values)

    def room(self, name: str, heads: tuple[int, ...], values: Array) -> int:
        """Declare a layer and leave room for its values; return where they go in the file."""
        room = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        room.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        room.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        dataset = self._create(name, values, room)
        dataset.attrs["heads"] = np.asarray(heads, dtype=np.uint32)
        self._sums[name] = "0" * 8 * len(heads)  # as long as what `checksums` puts there
        return self._note(name, dataset, values)

    def checksums(self, name: str, values: Array) -> None:
        """Write the crc32 of each head of a layer."""
        sums = np.array([crc32(head) for head in values], dtype=np.uint32)
        self._file[name].attrs["crc32"] = sums
        self._sums[name] = sums.astype(">u4").tobytes().hex()

    def _create(
        self, name: str, values: Array, settings: h5py.h5p.PropDCID | None = None
    ) -> h5py.Dataset:
        """Make a dataset for values; `Group.create_dataset` would look up what is known here."""
        way, _, last = name.rpartition("/")
        kind, space = h5py.h5t.py_create(values.dtype), h5py.h5s.create_simple(values.shape)
        parent = self.group(way).id
        return h5py.Dataset(h5py.h5d.create(parent, last.encode(), kind, space, settings))

    def _sum(self, name: str, member: h5py.Group | h5py.Dataset, *values: Array) -> None:
        found = crc32(*values)
        member.attrs["crc32"] = np.uint32(found)
        self._sums[name] = f"{found:08x}"

    def _note(self, name: str, dataset: h5py.Dataset, values: Array) -> int:
        place = dataset.id.get_offset() if values.nbytes else 0  # no bytes have no place
        self._arrays[name] = [place, values.dtype.str, list(values.shape)]
        return self._arrays[name][0]
