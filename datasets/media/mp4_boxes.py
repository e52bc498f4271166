"""Boxes of an MP4 file, and how many samples they declare: FFmpeg makes an index of all of them.

A few bytes can declare millions. Source: ISO/IEC 14496-12.
"""

from collections.abc import Iterator

import numpy as np

from savs.foundation.arrays import Array

_OUTER = frozenset(
    (
        *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"dinf"),
        *(b"udta", b"mvex", b"tref", b"meta", b"sinf", b"schi", b"clip", b"matt", b"wave"),
    )
)
"""Boxes that hold boxes."""
_RUNS = (b"stts", b"ctts")
"""Tables of runs: pairs of a count and a duration."""
_SIZES = (b"stsz", b"stz2")
_DEEPEST = 16


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield kind, content and end of each box: a size of 32 bits, of 64 if that is 1; 0 is all."""
    offset = 0
    while offset + 8 <= len(data):
        size, head = int.from_bytes(data[offset : offset + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[offset + 8 : offset + 16]), 16
        end = offset + size if size >= 8 else len(data)
        yield bytes(data[offset + 4 : offset + 8]), data[offset + head : end], end
        offset = end


def declared_samples(data: bytes) -> int:
    """Return how many samples all tracks of an MP4 file declare.

    Samples are the frames of a video track, or short pieces of sound. Those of uncompressed sound
    do not count: FFmpeg indexes these by the thousand.
    """
    return _count(memoryview(data), _DEEPEST)


def _count(data: memoryview, depth: int) -> int:
    total = largest = 0
    for kind, content, _ in boxes(data):
        if kind in _OUTER and depth and not (kind == b"trak" and _is_plain_sound(content)):
            total += _count(content, depth - 1)
        elif kind in _RUNS:
            largest = max(largest, int(_runs(content)[:, 0].sum()))
        elif kind in _SIZES:
            largest = max(largest, _number(content, 8))
        elif kind == b"trun":
            total += _number(content, 4)
    return total + largest  # tables that lie side by side are of the same samples


def _is_plain_sound(track: memoryview) -> bool:
    """Return whether a track's samples are single values of sound: each lasts one unit of time."""
    handlers, times = _all(track, b"hdlr"), _all(track, b"stts")
    return (
        [bytes(handler[8:12]) for handler in handlers[:1]] == [b"soun"]
        and len(times) == 1
        and _runs(times[0])[:, 1].tolist() == [1]
    )


def _all(data: memoryview, wanted: bytes, depth: int = _DEEPEST) -> list[memoryview]:
    found = []
    for kind, content, _ in boxes(data):
        if kind == wanted:
            found.append(content)
        elif kind in _OUTER and depth:
            found += _all(content, wanted, depth - 1)
    return found


def _runs(table: memoryview) -> Array:
    """Return the pairs of a table: `(runs, 2)` int64."""
    count = min(_number(table, 4), len(table[8:]) // 8)
    return np.frombuffer(table[8 : 8 + 8 * count], ">u4").astype(np.int64).reshape(-1, 2)


def _number(data: memoryview, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4])
