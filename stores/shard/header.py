"""Where each array of a shard lies: the header that a shard begins with, outside of its HDF5 part.

HDF5 finds a dataset by many small reads. A writer therefore puts what they would find into the
file's user block, which HDF5 leaves alone::

    savs-header <bytes of the JSON, 8 digits> <its crc32, 8 hexadecimal digits>
    {"bytes": ...,                             of the whole file
     "attributes": {...},                      those of the HDF5 file's root
     "arrays": {"layers/00012": [offset in the file, "<u2", [heads, rows, head_dim]], ...},
     "crc32": {"layers/00012": "<8 hexadecimal digits a head>", "examples/label": ..., ...}}
    zeros up to the HDF5 part, which begins at a power of two

A file without one is read through HDF5 itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from savs.stores.errors import REPAIR, StoreCorruptError
from savs.stores.shard.checksums import crc32

MARK = b"savs-header "
_FIRST_LINE = re.compile(rb"savs-header (\d{8}) ([0-9a-f]{8})\n")
FIRST_LINE_BYTES = len(MARK) + 8 + 1 + 8 + 1
MAX_BYTES = 2**21
"""Longer headers are refused: that of a shard with 100,000 heads has less than a megabyte."""
SMALLEST_BLOCK = 512
"""Bytes of the smallest user block that HDF5 knows; each other is twice as long as the one before.
"""


class Extent(NamedTuple):
    """Where an array lies, as the file declares it; nothing of it was checked yet."""

    offset: int
    """In bytes from the beginning of the file."""
    dtype: str
    """As numpy writes it: `<u2`."""
    shape: list[int]


class Header(Protocol):
    """What a shard declares of itself. Names are those of format 1, as in `layers/00012`.

    A method raises `StoreCorruptError` where the file has no such thing, or any other error where
    it is damaged: call it where `damage` catches that.
    """

    def attribute(self, name: str) -> int | str:
        """Return an attribute of the file."""
        ...

    def members(self, group: str) -> set[str]:
        """Return the names of what lies in a group."""
        ...

    def extent(self, name: str) -> Extent:
        """Return where an array lies."""
        ...

    def checksum(self, name: str, place: int = 0) -> int:
        """Return the crc32 of an output, a column, or the head at a place of a layer."""
        ...


@dataclass(frozen=True, slots=True)
class WrittenHeader:
    """A header that was read from a user block."""

    where: str
    """The file, for messages."""
    table: Mapping[str, Any]

    def attribute(self, name: str) -> int | str:
        """Return an attribute of the file."""
        return self.table["attributes"][name]

    def members(self, group: str) -> set[str]:
        """Return the names of what lies in a group."""
        start = f"{group}/"
        names = self.table["arrays"]
        return {name[len(start) :].split("/")[0] for name in names if name.startswith(start)}

    def extent(self, name: str) -> Extent:
        """Return where an array lies."""
        try:
            return Extent(*self.table["arrays"][name])
        except KeyError:
            raise StoreCorruptError(f"{self.where}:/{name} is missing; {REPAIR}") from None

    def checksum(self, name: str, place: int = 0) -> int:
        """Return the crc32 of an output, a column, or the head at a place of a layer."""
        return int(self.table["crc32"][name][8 * place : 8 * place + 8], 16)


def parse_first_line(text: bytes, where: str) -> tuple[int, int]:
    """Return where the JSON that follows a header's first line ends in the file, and its crc32.

    Raises
    ------
    StoreCorruptError
        The text does not begin with the first line of a header.
    """
    found = _FIRST_LINE.match(text)
    if found is None or int(found[1]) > MAX_BYTES:
        raise StoreCorruptError(f"{where} has a damaged header; {REPAIR}")
    return FIRST_LINE_BYTES + int(found[1]), int(found[2], 16)


def parse_header(text: bytes, checksum: int, where: str) -> WrittenHeader:
    """Return the header whose JSON is `text`; call it where `damage` catches what is no JSON.

    Raises
    ------
    StoreCorruptError
        The text is not the one that was written.
    """
    if crc32(np.frombuffer(text, np.uint8)) != checksum:
        raise StoreCorruptError(f"{where} fails the crc32 of its header; {REPAIR}")
    return WrittenHeader(where, json.loads(text))


def write_header(table: Mapping[str, Any]) -> bytes:
    """Return the first line and the JSON of a header."""
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    checksum = crc32(np.frombuffer(text, np.uint8))
    return MARK + b"%08d %08x\n" % (len(text), checksum) + text


def block_bytes(needed: int) -> int:
    """Return the bytes of the smallest user block that holds so many.

    >>> block_bytes(13_000)
    16384
    """
    size = SMALLEST_BLOCK
    while size < needed:
        size *= 2
    return size
