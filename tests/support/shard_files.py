"""Shards as others would write or damage them."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from savs.stores.shard.header import FIRST_LINE_BYTES
from savs.stores.shard.shard_file import SIGNATURE


def cut_header(path: Path) -> None:
    """Leave the HDF5 part of a shard alone, as a writer without headers makes it."""
    data = path.read_bytes()
    path.write_bytes(data[data.index(SIGNATURE) :])


def header(path: Path) -> dict[str, Any]:
    """Return the header of a shard, its checksum compared."""
    data = path.read_bytes()
    length = int(data[12:20])
    text = data[FIRST_LINE_BYTES : FIRST_LINE_BYTES + length]
    assert zlib.crc32(text) == int(data[21:29], 16)
    return json.loads(text)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a header, and give it the checksum that it needs: an attacker can."""
    data, table = path.read_bytes(), header(path)
    change(table)
    text = json.dumps(table, separators=(",", ":")).encode()
    line = b"savs-header %08d %08x\n" % (len(text), zlib.crc32(text))
    start = data.index(SIGNATURE)
    assert len(line + text) <= start
    path.write_bytes((line + text).ljust(start, b"\0") + data[start:])
