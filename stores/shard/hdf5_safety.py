"""The few HDF5 features that format 1 uses, and the refusal of all others.

HDF5 files can point into other files (external links, external storage, virtual datasets), hold
objects, or ask for filters. A shard does none of it, so what does is refused unread; where a header
says where the arrays lie, HDF5 is not asked, and `savs verify` compares the two.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.shard.header import Extent


class Hdf5Header:
    """What a shard declares of itself in HDF5; see `Header`, whose methods these are."""

    def __init__(self, file: h5py.File, where: str) -> None:
        self._file = file
        self._where = where
        self._sums: dict[str, Array] = {}

    def attribute(self, name: str) -> int | str:
        """Return an attribute of the file."""
        value = np.asarray(self._file.attrs[name]).item()
        return value.decode("utf-8") if isinstance(value, bytes) else value

    def members(self, group: str) -> set[str]:
        """Return the names of what lies in a group."""
        return set(map(str, self._group(group)))  # a name that is no UTF-8 comes as bytes

    def extent(self, name: str) -> Extent:
        """Return where an array lies; a dataset that is not plainly in this file is refused."""
        return _extent(self._member(name), f"{self._where}:/{name}")

    def checksum(self, name: str, place: int = 0) -> int:
        """Return the crc32 of an output, a column, or the head at a place of a layer."""
        if name not in self._sums:
            self._sums[name] = _checksums(self._member(name))
        return int(self._sums[name][place])

    def heads(self, name: str) -> list[int]:
        """Return the numbers of a layer's heads."""
        return np.asarray(self._member(name).attrs["heads"]).tolist()

    def table(self, attributes: Sequence[str]) -> dict[str, Any]:
        """Return all that a `WrittenHeader` of this file holds; what format 1 has not is refused.

        Parameters
        ----------
        attributes
            Which attributes a file has.
        """
        if set(self._file.attrs) != set(attributes):
            raise StoreCorruptError(
                f"{self._where} has the attributes {sorted(self._file.attrs)}, expected"
                f" {sorted(attributes)}; do not trust this file"
            )
        arrays: dict[str, list[Any]] = {}
        sums: dict[str, str] = {}
        for name, member in self._walk("", set()):
            if isinstance(member, h5py.Dataset):
                arrays[name] = [*_extent(member, f"{self._where}:/{name}")]
            if "crc32" in member.attrs:
                sums[name] = _checksums(member).astype(">u4").tobytes().hex()
        held = {name: self.attribute(name) for name in attributes}
        return {"attributes": held, "arrays": arrays, "crc32": sums}

    def _walk(self, way: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
        """Yield everything in the file by name; what is linked otherwise, or twice, is refused.

        Names of one thing can make loops, or ways without number.
        """
        for last in map(str, self._group(way) if way else self._file):
            name = f"{way}/{last}" if way else last
            member = self._member(name)
            if set(member.attrs) - {"crc32", "heads"}:
                raise StoreCorruptError(
                    f"{self._where}:/{name} has attributes that format 1 has not; do not trust it"
                )
            address = h5py.h5o.get_info(member.id).addr  # type: ignore[attr-defined]
            if address in seen:
                raise StoreCorruptError(
                    f"{self._where}:/{name} has another name, too; do not trust this file"
                )
            seen.add(address)
            yield name, member
            if isinstance(member, h5py.Group):
                yield from self._walk(name, seen)

    def _group(self, name: str) -> h5py.Group:
        member = self._member(name)
        if not isinstance(member, h5py.Group):
            raise StoreCorruptError(f"{self._where}:/{name} is no group; {REPAIR}")
        return member

    def _member(self, name: str) -> Any:
        """Return what bears a name, which no link of another kind may lead to."""
        way, _, last = name.rpartition("/")
        parent = self._group(way) if way else self._file
        link = parent.get(last, getlink=True)
        if isinstance(link, h5py.HardLink):
            return parent[last]
        kind = "missing" if link is None else f"a {type(link).__name__}"
        raise StoreCorruptError(f"{self._where}:/{name} is {kind}; {REPAIR}")


def _extent(member: Any, where: str) -> Extent:
    if not isinstance(member, h5py.Dataset):
        raise StoreCorruptError(f"{where} is no dataset; {REPAIR}")
    if member.is_virtual or member.external or member.chunks or member.dtype.hasobject:
        raise StoreCorruptError(
            f"{where} is virtual, external, chunked or of objects, which no shard is;"
            " do not trust this file"
        )
    if member.id.get_storage_size() != member.nbytes:
        raise StoreCorruptError(
            f"{where} declares {member.nbytes:,} bytes and holds"
            f" {member.id.get_storage_size():,}; do not trust this file"
        )
    place = member.id.get_offset() if member.nbytes else 0  # no bytes have no place
    if place is None:
        raise StoreCorruptError(f"{where} is not contiguous; do not trust this file")
    return Extent(place, member.dtype.str, list(member.shape))


def _checksums(member: h5py.Group | h5py.Dataset) -> Array:
    return np.atleast_1d(np.asarray(member.attrs["crc32"]))
