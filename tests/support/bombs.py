"""Small files that stand for very much: pixels, frames, text."""

import struct
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from clips import encode, plain
from drawn_files import png


def tall_png(rows: int) -> bytes:
    """Return a PNG that is one pixel wide."""
    return png(1, rows, 0, 8, b"\0\0" * rows)


def plain_webp(width: int, height: int) -> bytes:
    """Return a lossless WebP of one colour, written bit by bit: encoding one takes gigabytes."""
    bits = _Bits()
    for value, count in (
        *((width - 1, 14), (height - 1, 14), (0, 1), (0, 3)),  # size, no alpha, version
        *((0, 1), (0, 1), (0, 1)),  # no transform, no colour cache, no meta codes
        *(pair for _ in range(5) for pair in ((1, 1), (0, 1), (0, 1), (0, 1))),  # codes of symbol 0
    ):
        bits.write(value, count)
    content = b"\x2f" + bits.to_bytes()
    content += b"\0" * (len(content) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


class _Bits:
    """Bits in the order of WebP: the lowest first."""

    def __init__(self) -> None:
        self._value, self._count = 0, 0

    def write(self, value: int, count: int) -> None:
        self._value |= value << self._count
        self._count += count

    def to_bytes(self) -> bytes:
        return self._value.to_bytes((self._count + 7) // 8, "little")


def repeated_mp4(samples: int, chunks: int) -> bytes:
    """Return a clip whose tables name the same bytes again and again, as samples of one byte."""
    each = samples // chunks
    data = encode("mp4", [plain((216, 40, 40))])
    start = data.index(b"mdat") + 4
    tables = {
        b"stts": struct.pack(">IIII", 0, 1, each * chunks, 512),
        b"stsz": struct.pack(">III", 0, 1, each * chunks),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, each, 1),
        b"stco": struct.pack(f">II{chunks}I", 0, chunks, *[start] * chunks),
    }
    return _with_tables(data, tables)


_OUTER = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_DROPPED = (b"ctts", b"stss", b"sgpd", b"sbgp", b"edts")


def _with_tables(data: bytes, tables: Mapping[bytes, bytes]) -> bytes:
    """Return an MP4 with other tables; they stand behind the samples, so no offset changes."""
    offset, made = 0, b""
    while offset < len(data):
        size, kind = struct.unpack(">I4s", data[offset : offset + 8])
        content = data[offset + 8 : offset + size]
        if kind in _OUTER:
            content = _with_tables(content, tables)
        content = tables.get(kind, content)
        if kind not in _DROPPED:
            made += struct.pack(">I", 8 + len(content)) + kind + content
        offset += size
    return made


def repeated_prompts(path: Path, length: int, rows: int) -> Path:
    """Write a Parquet file whose rows have one long prompt, which is stored once."""
    one = pl.DataFrame({"image": "1.png", "question": "x" * length, "label": "a"})
    frame = one[[0] * rows]  # rows share their text
    frame.write_parquet(path, compression="zstd", row_group_size=20)
    return path
