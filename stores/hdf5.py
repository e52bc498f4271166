"""The few HDF5 features that format 1 uses, and the refusal of all others.

HDF5 files can point into other files (external links, external storage, virtual datasets), hold
objects, or ask for filters. A shard does none of it, so a file that does is refused unread.
"""

import zlib
from typing import Any

import h5py
import numpy as np

from savs.stores.errors import StoreCorruptError

Array = np.ndarray[Any, np.dtype[Any]]


def member_dataset(parent: h5py.Group, name: str, where: str) -> h5py.Dataset:
    """Return a plain dataset of a group.

    Raises
    ------
    StoreCorruptError
        It is missing, is no dataset, or its values do not lie plainly in this file.
    """
    member = _member(parent, name, where)
    if not isinstance(member, h5py.Dataset):
        raise StoreCorruptError(f"{where}/{name} is no dataset; extract this shard again")
    if member.is_virtual or member.external or member.chunks or member.dtype.hasobject:
        raise StoreCorruptError(
            f"{where}/{name} is virtual, external, chunked or of objects, which no shard is;"
            " do not trust this file"
        )
    return member


def member_group(parent: h5py.Group, name: str, where: str) -> h5py.Group:
    """Return a group of a group; StoreCorruptError where it is missing or is none."""
    member = _member(parent, name, where)
    if not isinstance(member, h5py.Group):
        raise StoreCorruptError(f"{where}/{name} is no group; extract this shard again")
    return member


def _member(parent: h5py.Group, name: str, where: str) -> Any:
    try:
        link = parent.get(name, getlink=True)
        if isinstance(link, h5py.HardLink):
            return parent[name]
    except (KeyError, OSError, RuntimeError) as error:
        raise StoreCorruptError(f"{where}/{name} cannot be read: {error}") from error
    kind = "missing" if link is None else f"a {type(link).__name__}"
    raise StoreCorruptError(f"{where}/{name} is {kind}; extract this shard again")


def read_values(dataset: h5py.Dataset, where: str, place: Any = ()) -> Array:
    """Return a dataset's values, or those at one place; StoreCorruptError where it cannot."""
    try:
        return np.asarray(dataset[place])
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise StoreCorruptError(f"{where} cannot be read: {error}") from error


def read_attribute(member: h5py.Group | h5py.Dataset, name: str, where: str) -> Array:
    """Return an attribute; StoreCorruptError where it is missing or cannot be read."""
    try:
        return np.asarray(member.attrs[name])
    except (KeyError, OSError, RuntimeError, TypeError) as error:
        raise StoreCorruptError(f"{where} has no readable attribute {name!r}: {error}") from error


def crc32(*arrays: Array) -> int:
    """Return the CRC-32 of the arrays' bytes, one after the other."""
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, value)
    return value
