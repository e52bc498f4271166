"""Shards as others would write, damage or craft them."""

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

TRAILER = re.compile(rb"savs-index (\d{8}) ([0-9a-f]{8})\n")
TRAILER_BYTES = 29


def index_start(data: bytes) -> int:
    """Return where the index of a shard begins."""
    found = TRAILER.fullmatch(data[-TRAILER_BYTES:])
    assert found is not None
    return len(data) - TRAILER_BYTES - int(found[1])


def index(path: Path) -> dict[str, Any]:
    """Return the index of a shard, its checksum compared."""
    data = path.read_bytes()
    text = data[index_start(data) : -TRAILER_BYTES]
    assert zlib.crc32(text) == int(data[-9:-1], 16)
    return json.loads(text)


def index_bytes(text: bytes, length: int = 0) -> bytes:
    """Return an index of any text with the checksum that it needs, of a length at least."""
    padded = text.ljust(length - TRAILER_BYTES)
    return padded + b"savs-index %08d %08x\n" % (len(padded), zlib.crc32(padded))


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change an index, and give it the checksum that it needs: an attacker can."""
    data, table = path.read_bytes(), index(path)
    change(table)
    start = index_start(data)
    text = json.dumps(table, separators=(",", ":")).encode()
    new = index_bytes(text, len(data) - start)
    assert len(new) == len(data) - start
    path.write_bytes(data[:start] + new)


def craft(path: Path, change: Callable[[h5py.File], object]) -> None:
    """Let HDF5 change a shard, and put its index at the end again."""
    data = path.read_bytes()
    end = data[index_start(data) :]
    with h5py.File(path, "r+", alignment_threshold=4096, alignment_interval=4096) as file:
        del file["index"]
        change(file)
    with h5py.File(path, "r+", alignment_threshold=4096, alignment_interval=4096) as file:
        file.create_dataset("index", data=np.frombuffer(end, np.uint8))
    assert path.read_bytes().endswith(end)
