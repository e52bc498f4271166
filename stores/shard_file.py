"""The bytes of one shard, read in pieces, each within the file and with its crc32."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import numpy as np

from savs.stores.errors import StoreCorruptError, StoreError, StoreReadError
from savs.stores.hdf5 import Hdf5Header
from savs.stores.header import (
    FIRST_LINE_BYTES,
    MARK,
    Extent,
    Header,
    WrittenHeader,
    parse_first_line,
    parse_header,
)
from savs.stores.integrity import Array, crc32, damage
from savs.stores.layout import SHARD_ATTRIBUTES
from savs.stores.places import is_remote, open_bytes

LIKELY_BYTES = 2**14
"""Read at once of a file's beginning; a longer header is read in two pieces."""


class ShardFile:
    """A shard's header and a way to the arrays that it declares."""

    def __init__(self, raw: BinaryIO, header: Header, path: Any) -> None:
        self.header = header
        self.where = str(path)
        self._path = path
        self._raw = raw
        self._size_bytes = raw.seek(0, 2)

    def place(self, name: str) -> str:
        """Return how a message names an array or a group."""
        return f"{self.where}:/{name}"

    def find(self, name: str, dtype: np.dtype[Any], shape: Sequence[int | None]) -> Extent:
        """Return where an array lies, if it is as expected; `shape` has None for any length.

        Raises
        ------
        StoreCorruptError
            It is missing, of another type or shape, or not within the file.
        """
        with damage(self.place(name)):
            found = self.header.extent(name)
            if found.dtype != dtype.str or not _fits(found.shape, shape):
                wanted = tuple("any" if n is None else n for n in shape)
                raise StoreCorruptError(
                    f"{self.place(name)} holds {tuple(found.shape)} {np.dtype(found.dtype)},"
                    f" expected {wanted} {dtype}; extract this shard again"
                )
            last = found.offset + math.prod(found.shape) * dtype.itemsize
            if type(found.offset) is not int or not 0 <= found.offset <= last <= self._size_bytes:
                raise StoreCorruptError(
                    f"{self.place(name)} does not lie within the file; delete it and run"
                    " `savs extract` again"
                )
        return found

    def array(self, name: str, dtype: np.dtype[Any], shape: Sequence[int | None]) -> Array:
        """Return an array that `find` finds; its crc32 is yet to be compared."""
        found = self.find(name, dtype, shape)
        values = np.empty(found.shape, dtype)
        self.fill(values, found.offset)
        return values

    def fill(self, values: Array, offset: int) -> None:
        """Fill a C-contiguous array with the bytes from `offset` on."""
        fill(self._raw, values, offset, self.where)

    def checksum(self, name: str, place: int = 0) -> int:
        """Return the crc32 of an output, a column, or the head at a place of a layer."""
        with damage(self.place(name)):
            return self.header.checksum(name, place)

    def check(self, name: str, *values: Array) -> None:
        """Raise StoreCorruptError where values are not those that were written under a name."""
        if self.checksum(name) != crc32(*values):
            raise StoreCorruptError(f"{self.place(name)} fails its crc32; extract this shard again")

    def compare_header(self) -> None:
        """Compare the header that the file begins with, if it does, with what its HDF5 declares.

        Raises
        ------
        StoreCorruptError
            They differ, so that other programs would read other values.
        """
        if not isinstance(self.header, WrittenHeader):
            return
        with _open_hdf5(self._path, self._raw) as file, damage(f"{self.where} HDF5 part"):
            declared = Hdf5Header(file, self.where).table(SHARD_ATTRIBUTES)
        if {"bytes": self.header.table["bytes"], **declared} != self.header.table:
            raise StoreCorruptError(
                f"{self.where} declares other arrays in HDF5 than in the header that it begins"
                " with; delete it and run `savs extract` again"
            )


def _fits(shape: list[int], wanted: Sequence[int | None]) -> bool:
    return shape == wanted or (
        len(shape) == len(wanted)
        and all(b is None or a == b for a, b in zip(shape, wanted, strict=True))
    )


def fill(raw: BinaryIO, values: Array, offset: int, where: str) -> None:
    """Fill a C-contiguous array with the bytes of a file from `offset` on.

    Raises
    ------
    StoreReadError
        The disk or the network refuses.
    StoreCorruptError
        The file ends before.
    """
    try:
        raw.seek(offset)
        done = raw.readinto(values)  # type: ignore[attr-defined]
        while done < values.nbytes:  # the kernel gives two gigabytes at once at most
            rest = values.reshape(-1).view(np.uint8)[done:]
            count = raw.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise StoreCorruptError(
                    f"{where} ends {len(rest):,} bytes early; delete it and run `savs extract`"
                    " again"
                )
            done += count
    except OSError as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: OSError) -> StoreError:
    if isinstance(error, IsADirectoryError):
        return StoreCorruptError(f"{where} is a folder, not a shard; move it away")
    what = error.strerror or error
    return StoreReadError(f"{where} cannot be read: {what}; check its permissions and the disk")


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
    try:
        raw = open_bytes(path)
    except OSError as error:
        raise _unreadable(str(path), error) from error
    with raw:
        header = _written_header(raw, str(path))
        if header is not None:
            yield ShardFile(raw, header, path)
            return
        with _open_hdf5(path, raw) as file:
            yield ShardFile(raw, Hdf5Header(file, str(path)), path)


def _written_header(raw: BinaryIO, where: str) -> WrittenHeader | None:
    """Return the header that a file begins with; None where it begins otherwise."""
    size = raw.seek(0, 2)
    start = np.empty(min(LIKELY_BYTES, size), np.uint8)
    fill(raw, start, 0, where)
    text = start.tobytes()
    if not text.startswith(MARK):
        return None
    stop, checksum = parse_first_line(text, where)
    if stop > len(text):
        rest = np.empty(min(stop, size) - len(text), np.uint8)
        fill(raw, rest, len(text), where)
        text += rest.tobytes()
    with damage(f"{where} header"):
        header = parse_header(text[FIRST_LINE_BYTES:stop], checksum, where)
        whole = header.table["bytes"]
        if whole != size:
            raise StoreCorruptError(
                f"{where} is {'truncated' if size < whole else 'too long'}: it has {size:,} bytes,"
                f" its header says {whole:,}; delete it and run `savs extract` again"
            )
    return header


@contextmanager
def _open_hdf5(path: Any, raw: BinaryIO) -> Iterator[h5py.File]:
    """Open the HDF5 part of a shard; `raw` is how a remote one is read."""
    try:
        file = h5py.File(raw, "r") if is_remote(path) else h5py.File(path, "r", locking=False)
    except OSError as error:
        raise StoreCorruptError(
            f"{path} cannot be opened as HDF5 ({error}); delete it and run `savs extract` again"
        ) from error
    with file:
        yield file
