"""What the HDF5 structure of a shard declares, and the refusal of all that format 1 does not use.

HDF5 files can point into other files (external links, external storage, virtual datasets), hold
objects, or ask for filters. Readers go by the index and never ask HDF5; other programs do, so
`savs verify` compares the two.
"""

from collections.abc import Collection, Iterator
from typing import Any

import h5py
import numpy as np

from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.format.layout import LAYERS, SHARD_ATTRIBUTES


def hdf5_table(source: Any, where: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return what a shard, an open file of bytes, declares in HDF5.

    That is `attributes` and `arrays` (name -> offset, type, shape) as an index has them, and for
    each layer the numbers of its heads. StoreCorruptError if the file has what no shard has.
    """
    arrays: dict[str, list[Any]] = {}
    heads: dict[str, list[int]] = {}
    with h5py.File(source, "r") as file:
        _require_attributes(file, SHARD_ATTRIBUTES, where)
        for name, member in _walk(file, "", where, set()):
            is_layer = name.startswith(f"{LAYERS}/")
            _require_attributes(member, ["heads"] if is_layer else [], f"{where}:/{name}")
            if is_layer:
                heads[name] = np.asarray(member.attrs["heads"]).tolist()
            if isinstance(member, h5py.Dataset):
                arrays[name] = _extent(member, f"{where}:/{name}")
        attributes = {name: _plain(file.attrs[name]) for name in SHARD_ATTRIBUTES}
    return {"attributes": attributes, "arrays": arrays}, heads


def _require_attributes(
    member: h5py.Group | h5py.Dataset, allowed: Collection[str], where: str
) -> None:
    if set(member.attrs) != set(allowed):
        raise StoreCorruptError(
            f"{where} has the attributes {sorted(member.attrs)}, expected {sorted(allowed)}; do not"
            " trust this file"
        )


def _plain(value: Any) -> int | str:
    item = np.asarray(value).item()
    return item.decode("utf-8") if isinstance(item, bytes) else item


def _walk(
    group: h5py.Group, way: str, where: str, seen: set[int]
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield everything in a group by name; what is linked otherwise, or twice, is refused.

    Several names of one thing can make loops, or paths without number.
    """
    for last in group:
        name = f"{way}/{last}" if way else str(last)
        link = group.get(last, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise StoreCorruptError(f"{where}:/{name} is a {type(link).__name__}; {REPAIR}")
        member: Any = group[last]
        address = h5py.h5o.get_info(member.id).addr  # type: ignore[attr-defined]
        if address in seen:
            raise StoreCorruptError(
                f"{where}:/{name} also has another name; do not trust this file"
            )
        seen.add(address)
        yield name, member
        if isinstance(member, h5py.Group):
            yield from _walk(member, name, where, seen)


def _extent(member: h5py.Dataset, where: str) -> list[Any]:
    if member.is_virtual or member.external or member.chunks or member.dtype.hasobject:
        raise StoreCorruptError(
            f"{where} is virtual, external, chunked or of objects, which format 1 forbids;"
            " do not trust this file"
        )
    if member.id.get_storage_size() != member.nbytes:
        raise StoreCorruptError(
            f"{where} declares {member.nbytes:,} bytes and holds"
            f" {member.id.get_storage_size():,}; do not trust this file"
        )
    offset = member.id.get_offset() if member.nbytes else 0  # no bytes lie nowhere
    if offset is None:
        raise StoreCorruptError(f"{where} is not contiguous; do not trust this file")
    return [offset, member.dtype.str, list(member.shape)]
