"""The few HDF5 features that format 1 uses, and the refusal of all others.

HDF5 files can point into other files (external links, external storage, virtual datasets), hold
objects, or ask for filters. A shard does none of it, so a file that does is refused unread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from zlib_ng import zlib_ng

from savs.stores.errors import StoreCorruptError, StoreError

Array = np.ndarray[Any, np.dtype[Any]]


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Turn whatever reading damaged bytes raises into a StoreCorruptError that names the place."""
    try:
        yield
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # HDF5, numpy and JSON each have their own
        raise StoreCorruptError(
            f"{where} is damaged: {type(error).__name__}: {error}; delete the file and run"
            " `savs extract` again"
        ) from error


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
    if member.id.get_storage_size() != member.nbytes:
        raise StoreCorruptError(
            f"{where}/{name} declares {member.nbytes:,} bytes and holds"
            f" {member.id.get_storage_size():,}; do not trust this file"
        )
    return member


def member_group(parent: h5py.Group, name: str, where: str) -> h5py.Group:
    """Return a group of a group; StoreCorruptError where it is missing or is none."""
    member = _member(parent, name, where)
    if not isinstance(member, h5py.Group):
        raise StoreCorruptError(f"{where}/{name} is no group; extract this shard again")
    return member


def _member(parent: h5py.Group, name: str, where: str) -> Any:
    link = parent.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        return parent[name]
    kind = "missing" if link is None else f"a {type(link).__name__}"
    raise StoreCorruptError(f"{where}/{name} is {kind}; extract this shard again")


def attribute(member: h5py.Group | h5py.Dataset, name: str) -> Any:
    """Return an attribute's value; call it where `damage` catches what goes wrong."""
    return member.attrs[name]


def read_array(parent: h5py.Group, name: str, where: str, dtype: Any, length: int | None) -> Array:
    """Return a one-dimensional dataset of a known type, and of a known length if one is given."""
    dataset = member_dataset(parent, name, where)
    if dataset.dtype != np.dtype(dtype) or dataset.ndim != 1:
        raise StoreCorruptError(f"{where}/{name} is {dataset.shape} {dataset.dtype}, not a column")
    if length is not None and dataset.shape[0] != length:
        raise StoreCorruptError(f"{where}/{name} has {dataset.shape[0]} values, expected {length}")
    return np.asarray(dataset[()])


def crc32(*arrays: Array) -> int:
    """Return the CRC-32 of the arrays' bytes, one after the other."""
    value = 0
    for array in arrays:
        value = zlib_ng.crc32(np.ascontiguousarray(array).view(np.uint8).data, value)
    return value
