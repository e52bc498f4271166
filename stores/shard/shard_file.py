"""The arrays of one shard, each within its file, as declared, and with its crc32."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.files.paths import is_remote
from savs.stores.files.raw_file import RawFile
from savs.stores.format.layout import SHARD_ATTRIBUTES
from savs.stores.shard.checksums import crc32, damage
from savs.stores.shard.hdf5_safety import Hdf5Header
from savs.stores.shard.header import (
    FIRST_LINE_BYTES,
    MARK,
    Extent,
    Header,
    WrittenHeader,
    parse_first_line,
    parse_header,
)

LIKELY_BYTES = 2**14
"""Read at once of a file's beginning; a longer header is read in two pieces."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""What an HDF5 file begins with."""


class ShardFile:
    """A shard's header and a way to the arrays that it declares."""

    def __init__(self, raw: RawFile, header: Header) -> None:
        self.header = header
        self._raw = raw

    def place(self, name: str) -> str:
        """Return how a message names an array or a group."""
        return f"{self._raw.where}:/{name}"

    def find(self, name: str, dtype: np.dtype[Any], shape: list[int | None]) -> Extent:
        """Return where an array lies, if it is as expected; `shape` has None for any length.

        Raises
        ------
        StoreCorruptError
            It is missing, of another type or shape, or not within the file.
        """
        with damage(self.place(name)):
            found = self.header.extent(name)
            limit = self._raw.size_bytes
            same = found.shape == shape and None not in shape  # as it is with most
            if found.dtype != dtype.str or not (same or _fits(found.shape, shape, limit)):
                wanted = ", ".join("any" if n is None else str(n) for n in shape)
                raise StoreCorruptError(
                    f"{self.place(name)} holds {found.shape!s:.60} {found.dtype!s:.20}, expected"
                    f" [{wanted}] {dtype.str}; {REPAIR}"
                )
            last = found.offset + math.prod(found.shape) * dtype.itemsize
            if type(found.offset) is not int or not 0 <= found.offset <= last <= limit:
                raise StoreCorruptError(
                    f"{self.place(name)} does not lie within the file; {REPAIR}"
                )
        return found

    def array(self, name: str, dtype: np.dtype[Any], shape: list[int | None]) -> Array:
        """Return an array that `find` finds; its crc32 is yet to be compared."""
        found = self.find(name, dtype, shape)
        known = [n if m is None else m for n, m in zip(found.shape, shape, strict=True)]
        values = np.empty(known, dtype)
        self.fill(values, found.offset)
        return values

    def fill(self, values: Array, offset: int) -> None:
        """Fill a C-contiguous array with the bytes from `offset` on; see `RawFile.fill`."""
        self._raw.fill(values, offset)

    def checksum(self, name: str, place: int = 0) -> int:
        """Return the crc32 of an output, a column, or the head at a place of a layer."""
        with damage(self.place(name)):
            return self.header.checksum(name, place)

    def check(self, name: str, *values: Array) -> None:
        """Raise StoreCorruptError where values are not those that were written under a name."""
        if self.checksum(name) != crc32(*values):
            raise StoreCorruptError(f"{self.place(name)} fails its crc32; {REPAIR}")

    def check_hdf5(self, heads: Mapping[str, Sequence[int]]) -> None:
        """Check that HDF5 declares what format 1 knows, and what the header says, if there is one.

        Parameters
        ----------
        heads
            Name of each layer's array -> the numbers of its heads.

        Raises
        ------
        StoreCorruptError
            It does not, so that other programs would read other values.
        """
        where = self._raw.where
        with _open_hdf5(self._raw) as file, damage(f"{where}: the HDF5 part"):
            hdf5 = Hdf5Header(file, where)
            declared = hdf5.table(SHARD_ATTRIBUTES)
            other = {name: hdf5.heads(name) for name in heads} != dict(heads)
        if isinstance(self.header, WrittenHeader):
            other |= {"bytes": self._raw.size_bytes, **declared} != self.header.table
        if other:
            raise StoreCorruptError(
                f"{where} declares other arrays or heads in HDF5 than the store or its own header;"
                f" {REPAIR}"
            )


def _fits(shape: Any, wanted: Sequence[int | None], limit: int) -> bool:
    """Return whether a declared shape is of whole numbers, as wanted, and not beyond a limit."""
    return (
        type(shape) is list
        and len(shape) == len(wanted)
        and all(
            type(n) is int and 0 <= n <= limit and m in (None, n)
            for n, m in zip(shape, wanted, strict=True)
        )
    )


@contextmanager
def open_file(path: Any) -> Iterator[ShardFile]:
    """Open a shard's file: its header where it begins with one, else its HDF5.

    Raises
    ------
    StoreReadError
        It may not or cannot be read.
    StoreCorruptError
        It is no shard, or its header is damaged.
    """
    with RawFile(path) as raw:
        header = _written_header(raw)
        if header is not None:
            yield ShardFile(raw, header)
            return
        with _open_hdf5(raw) as file:
            yield ShardFile(raw, Hdf5Header(file, raw.where))


def _written_header(raw: RawFile) -> WrittenHeader | None:
    """Return the header that a file begins with; None where it begins with HDF5's signature."""
    start = np.empty(min(LIKELY_BYTES, raw.size_bytes), np.uint8)
    raw.fill(start, 0)
    text = start.tobytes()
    if text.startswith(SIGNATURE):
        return None
    if not text.startswith(MARK):
        raise StoreCorruptError(
            f"{raw.where} cannot be opened as HDF5 (it begins with neither its signature nor a"
            f" header); {REPAIR}"
        )
    stop, checksum = parse_first_line(text, raw.where)
    if stop > len(text):
        rest = np.empty(min(stop, raw.size_bytes) - len(text), np.uint8)
        raw.fill(rest, len(text))
        text += rest.tobytes()
    with damage(f"{raw.where}: the header"):
        header = parse_header(text[FIRST_LINE_BYTES:stop], checksum, raw.where)
        whole, size = header.table["bytes"], raw.size_bytes
        if whole != size:
            raise StoreCorruptError(
                f"{raw.where} is {'truncated' if size < whole else 'too long'}: it has {size:,}"
                f" bytes, its header says {whole:,}; {REPAIR}"
            )
    return header


@contextmanager
def _open_hdf5(raw: RawFile) -> Iterator[h5py.File]:
    """Open the HDF5 part of a shard."""
    remote = is_remote(raw.path)
    try:
        file = h5py.File(raw.file, "r") if remote else h5py.File(raw.path, "r", locking=False)
    except OSError as error:
        raise StoreCorruptError(
            f"{raw.where} cannot be opened as HDF5 ({error}); {REPAIR}"
        ) from error
    except Exception as error:
        raise raw.refused(error) from error
    with file:
        raw.require_same()  # this opened it a second time, by its name
        yield file
