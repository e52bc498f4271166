r"""The index of a shard: where each array lies in the file, its type, shape and checksums.

HDF5 finds a dataset by many small reads. A shard therefore ends in a dataset `/index`, whose bytes
are the last of the file, so that a reader needs one look at the end::

    {"attributes": {...},                      those of the HDF5 file's root
     "arrays": {"layers/00012": [offset in the file, "<u2", [heads, rows, head_dim], crc32], ...}}
    spaces, up to one page
    savs-index <bytes of what stands before, 8 digits> <their crc32, 8 hexadecimal digits>\n

A crc32 is a string of 8 hexadecimal digits; that of a layer has as many for each of its heads.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import SavsError
from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.files.raw_file import RawFile
from savs.stores.shard.arrays import PAGE_BYTES, Entry, crc32

LEAST_BYTES = PAGE_BYTES
"""An index is no shorter, so that HDF5 puts it at the end of the file and nowhere before."""
_TRAILER = re.compile(rb"savs-index (\d{8}) ([0-9a-f]{8})\n")
_TRAILER_BYTES = 29
_LIKELY_BYTES = 2**14
"""Read at once of a file's end; a longer index is read in two pieces."""
_MAX_BYTES = 2**22
"""Longer indexes are refused: that of a shard with 100,000 heads has less than a megabyte."""


@dataclass(frozen=True, slots=True)
class Table:
    """The text of an index. Names are those of format 1, as in `layers/00012`."""

    attributes: Mapping[str, int | str]
    arrays: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Index:
    """What a shard declares of itself."""

    where: str
    """The file, for messages."""
    size_bytes: int
    table: Table
    fingerprint: int
    """Changes when anything in the file does, because it covers all checksums."""

    def members(self, group: str) -> set[str]:
        """Return the names of the arrays in a group."""
        start = f"{group}/"
        return {name[len(start) :] for name in self.table.arrays if name.startswith(start)}

    def entry(self, name: str, dtypes: Collection[str], shape: Sequence[int | None]) -> Entry:
        """Return an array's entry; None in `shape` is any length. StoreCorruptError for another."""
        where = f"{self.where}:/{name}"
        entry = self.table.arrays.get(name)
        if entry is None:
            raise StoreCorruptError(f"{where} is missing; {REPAIR}")
        fits = len(entry.shape) == len(shape) and all(
            wanted in (None, length) for length, wanted in zip(entry.shape, shape, strict=True)
        )
        if not fits or entry.dtype not in dtypes:
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise StoreCorruptError(
                f"{where} holds {entry.shape!s:.60} {entry.dtype:.20}, expected [{wanted}]"
                f" {' or '.join(dtypes)}; {REPAIR}"
            )
        if not entry.is_within(self.size_bytes):
            raise StoreCorruptError(f"{where} is not within the file; {REPAIR}")
        return entry


def write_index(attributes: Mapping[str, int | str], arrays: Mapping[str, Entry]) -> Array:
    """Return the bytes of `/index`, `(bytes,)` uint8."""
    text = msgspec.json.encode(Table(attributes, arrays)).ljust(LEAST_BYTES - _TRAILER_BYTES)
    check = crc32(np.frombuffer(text, np.uint8))
    return np.frombuffer(text + b"savs-index %08d %08x\n" % (len(text), check), np.uint8)


def read_index(file: RawFile) -> Index:
    """Return the index at a file's end; StoreCorruptError if damaged, StoreReadError."""
    end = _tail(file, _LIKELY_BYTES)
    trailer = _TRAILER.fullmatch(end[-_TRAILER_BYTES:])
    if trailer is None or not 0 < int(trailer[1]) <= _MAX_BYTES:
        raise StoreCorruptError(
            f"{file.where} does not end with the index of a shard: it is truncated, too long, or"
            f" not a shard of format 1; {REPAIR}"
        )
    length = int(trailer[1])
    if length + _TRAILER_BYTES > len(end):
        end = _tail(file, length + _TRAILER_BYTES)
    text = end[-length - _TRAILER_BYTES : -_TRAILER_BYTES]
    if crc32(np.frombuffer(text, np.uint8)) != int(trailer[2], 16):
        raise StoreCorruptError(f"{file.where}:/index fails its crc32; {REPAIR}")
    with damage(f"{file.where}:/index"):
        table = msgspec.json.decode(text, type=Table)
    return Index(file.where, file.size_bytes, table, int(trailer[2], 16))


def _tail(file: RawFile, count: int) -> bytes:
    """Return the last bytes of a file, all of a shorter one."""
    values = np.empty(min(count, file.size_bytes), np.uint8)
    file.fill(values, file.size_bytes - len(values))
    return values.tobytes()


class damage:  # noqa: N801, used as a function is; contextlib's way takes twice as long
    """Turn whatever reading damaged bytes raises into a StoreCorruptError that says where."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, SavsError | MemoryError):
            return
        if isinstance(error, Exception):  # HDF5, numpy, polars and JSON each have their own
            raise StoreCorruptError(
                f"{self._where} is damaged: {type(error).__name__}: {error}; {REPAIR}"
            ) from error
