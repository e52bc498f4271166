"""How an array lies in a shard: as HDF5's contiguous bytes, those of a layer head after head.

Nothing else knows it. Who wants filters or chunks writes, finds, reads and verifies them here, with
a new `FORMAT` in `READABLE`: an `Entry` gets fields whose default is an array of format 1.
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta
from zlib_ng import zlib_ng

from savs.foundation.arrays import Array
from savs.stores.errors import StoreCorruptError
from savs.stores.files.raw_file import RawFile
from savs.stores.format.layout import Count

if TYPE_CHECKING:
    import h5py

PAGE_BYTES = 4096
OF_FILE = {"alignment_threshold": PAGE_BYTES, "alignment_interval": PAGE_BYTES}
"""Options of a file: larger datasets begin with pages, which the kernel copies faster."""


class Piece(NamedTuple):
    """Where the bytes of an array, or of a head of a layer, lie."""

    offset: int
    """In bytes from the beginning of the file."""
    crc32: int

    def read(self, file: RawFile, out: Array) -> bool:
        """Read into an array, C-contiguous, and return whether it has its CRC-32."""
        file.fill(out, self.offset)
        return crc32(out) == self.crc32


class Entry(NamedTuple):
    """Offset, type and shape of an array, as the index declares them."""

    offset: Count
    """In bytes from the beginning of the file."""
    dtype: str
    """As numpy writes it: `<u2`."""
    shape: tuple[Count, ...]
    crc32: Annotated[str, Meta(pattern=r"^([0-9a-f]{8})*\Z")]
    """Eight hexadecimal digits, or as many for each head."""

    def is_within(self, size_bytes: int) -> bool:
        """Return whether a file of a size has the array."""
        nbytes = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        return bool(self.crc32) and self.offset + nbytes <= size_bytes

    def extent(self) -> list[Any]:
        """Return what HDF5 declares of the array, see `extent`."""
        return [self.offset, self.dtype, [*self.shape]]

    def whole(self) -> Piece:
        """Return where the array lies."""
        return Piece(self.offset, int(self.crc32[:8], 16))

    def head(self, number: int) -> Piece:
        """Return where the head at a position in a layer, `(heads, rows, head_dim)`, lies."""
        nbytes = math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize
        checksum = self.crc32[8 * number : 8 * number + 8]
        return Piece(self.offset + number * nbytes, int(checksum, 16))


def write_array(file: "h5py.File", name: str, values: Array, *, each: bool = False) -> Entry:
    """Write an array and return its entry: with one checksum, or one for each head."""
    dataset = file.create_dataset(name, data=values)
    offset = dataset.id.get_offset() if values.nbytes else 0  # no bytes lie nowhere
    sums = [crc32(head) for head in values] if each else [crc32(values)]
    checksums = "".join(f"{value:08x}" for value in sums)
    return Entry(offset, values.dtype.str, values.shape, checksums)


def extent(member: "h5py.Dataset", where: str) -> list[Any]:
    """Return offset, type and shape of a dataset; StoreCorruptError if it lies in another way."""
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


def crc32(array: Array) -> int:
    """Return the CRC-32 of an array's bytes."""
    return zlib_ng.crc32(np.ascontiguousarray(array))
