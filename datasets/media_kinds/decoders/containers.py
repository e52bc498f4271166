"""Containers of videos and sounds by their bytes: which one, whether it is whole, what it declares.

FFmpeg opens a file only once this is known: a few bytes can declare millions of samples, and FFmpeg
makes an entry of an index for each.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), Microsoft's AVI RIFF reference, RFC 3533 (Ogg).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from savs.datasets.errors import MediaError
from savs.foundation.arrays import Array

MP4, MATROSKA, AVI = "mp4", "matroska", "avi"
WAV, AIFF, FLAC, OGG, MP3 = "wav", "aiff", "flac", "ogg", "mp3"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of phone photographs, which use the MP4 container."""
_STILL_BRANDS = (b"avif", b"avis", *HEIC_BRANDS)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
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
MAX_SAMPLES = 2**22
"""Most samples that all tracks of an MP4 may declare, those of sound included, and as often as its
edit list may show them."""
MOST_TIMES, LEAST_BYTES = 16, 4
"""How often packets may name the bytes of a file, and what a packet counts as at least."""
WHOLE = 0.9
"""A video or a sound with less than this share of its declared frames or duration is damaged."""


def container_of(data: bytes) -> str | None:
    """Return the container by a file's first bytes: `mp4`, `matroska`, `avi` or None."""
    # Boxes of MP4 begin with their size, so the kind is at byte 4. AVIF and HEIC are images in such
    # boxes: the brand after `ftyp` tells them apart. RIFF holds WebP and WAV, too.
    if data[4:8] in _BOXES and not (data[4:8] == b"ftyp" and data[8:12] in _STILL_BRANDS):
        return MP4
    if data.startswith(_EBML):
        return MATROSKA
    return AVI if data[:4] == b"RIFF" and data[8:12] == b"AVI " else None


def sound_of(data: bytes) -> str | None:
    """Return the format of a sound by its first bytes: `wav`, `aiff`, `flac`, `ogg`, `mp3` or None.

    None of a video, too, whatever sound it has.
    """
    if data[:4] in (b"RIFF", b"RF64", b"BW64") and data[8:12] == b"WAVE":
        return WAV
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if data.startswith((b"fLaC", b"OggS")):
        return FLAC if data.startswith(b"fLaC") else OGG
    # A frame of MP3 begins with 11 bits, two for the version (1 is none) and two for layer 3 or 2.
    first = int.from_bytes(data[:2])
    is_frame = first >> 5 == 0x7FF and first >> 3 & 3 != 1 and first >> 1 & 3 in (1, 2)
    return MP3 if data.startswith(b"ID3") or is_frame else None


def declares_frames(data: bytes) -> bool:
    """Return whether an MP3 says how many frames it has: else its duration is a guess by size."""
    start = 0
    if data.startswith(b"ID3"):  # four bytes of seven bits
        start = 10 + sum((byte & 127) << 7 * (3 - n) for n, byte in enumerate(data[6:10]))
    return any(mark in data[start : start + 256] for mark in (b"Xing", b"Info"))


def is_heic(data: bytes) -> bool:
    """Return whether a file is a HEIC photograph by its first bytes."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS


def require_whole(data: bytes, name: str, slack_bytes: int = 0) -> None:
    """Check a file before FFmpeg opens it.

    MediaError if more than `slack_bytes` are missing at its end, or an MP4 declares more than
    `MAX_SAMPLES`.
    """
    if (missing := missing_bytes(data)) > slack_bytes:
        raise MediaError(f"{name} is truncated: {missing:,} bytes are missing at its end")
    if container_of(data) == MP4 and declared_samples(data) > MAX_SAMPLES:
        raise MediaError(f"{name} declares more than {MAX_SAMPLES:,} samples: cut it")


class NamedBytes:
    """How many bytes the packets of a file name: tables and edit lists can repeat a few for hours.

    MediaError as soon as they are `MOST_TIMES` those of the file.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._left, self._name = MOST_TIMES * len(data), name

    def count(self, packet: Any) -> None:
        """Count the bytes of the next packet, also of an empty one."""
        self._left -= max(packet.size, LEAST_BYTES)
        if self._left < 0:
            raise MediaError(
                f"{self._name} repeats its bytes more than {MOST_TIMES} times: save it again"
            )


def missing_bytes(data: bytes) -> int:
    """Return how many bytes a container declares beyond the end of the file.

    FFmpeg ends such a file as if it were complete. Fewer packets or less duration than declared
    do not prove a cut: a trimmed MP4, an AVI with a variable rate and a Matroska copy of some
    packets have both and are complete. 0 if the file is complete or declares no size.
    """
    find_end = _ENDS.get(container_of(data) or sound_of(data) or "")
    return 0 if find_end is None else max(0, find_end(data) - len(data))


def _mp4_end(data: bytes) -> int:
    return max((end for _, _, end in boxes(memoryview(data))), default=0)


def _riff_end(data: bytes) -> int:
    size = int.from_bytes(data[4:8], "little")
    return 0 if size == 2**32 - 1 else 8 + size  # written to a pipe, or the size is elsewhere


def _form_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8])


def _ogg_end(data: bytes) -> int:
    """Return the end of the last page: its header names the sizes of its segments."""
    page = data.rfind(b"OggS")
    count = data[page + 26] if page + 26 < len(data) else 255
    return page + 27 + count + sum(data[page + 27 : page + 27 + count])


def _matroska_end(data: bytes) -> int:
    """Return the end of the segment after the EBML header."""
    header = _variable(data, 4)
    segment = sum(header)
    if data[segment : segment + 4] != _SEGMENT:
        return len(data)
    start, size = _variable(data, segment + 4)
    return start + size


_ENDS = {
    MP4: _mp4_end,
    MATROSKA: _matroska_end,
    AVI: _riff_end,
    WAV: _riff_end,
    AIFF: _form_end,
    OGG: _ogg_end,
}


def _variable(data: bytes, offset: int) -> tuple[int, int]:
    """Return the offset after an EBML size, and the size; 0 for an unknown one (all bits set)."""
    first = data[offset] if offset < len(data) else 0
    width = 9 - first.bit_length()
    value = int.from_bytes(data[offset : offset + width]) & ((1 << 7 * width) - 1)
    return offset + width, 0 if value == (1 << 7 * width) - 1 else value


def declared_samples(data: bytes) -> int:
    """Return how many samples all tracks of an MP4 file declare.

    Samples are the frames of a video track, or short pieces of sound. Those of uncompressed sound
    do not count: FFmpeg indexes these by the thousand.
    """
    return _count(memoryview(data), _DEEPEST)


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


def _count(data: memoryview, depth: int) -> int:
    # A track gives its number of samples several times: in the table of their sizes and, summed, in
    # those of their times. Any of these may lie, so the largest counts. Fragments add to it.
    total = largest = 0
    for kind, content, _ in boxes(data):
        if kind == b"trak" and depth and not _is_plain_sound(content):
            total += _count(content, depth - 1) * max(1, _edits(content))
        elif kind in _OUTER and kind != b"trak" and depth:
            total += _count(content, depth - 1)
        elif kind in _RUNS:
            largest = max(largest, int(_runs(content)[:, 0].sum()))
        elif kind in _SIZES:
            largest = max(largest, _number(content, 8))
        elif kind == b"trun":
            total += _number(content, 4)
    return total + largest


def _edits(track: memoryview) -> int:
    """Return how many parts of a track its edit list may show: an entry has 12 bytes or more."""
    return sum(min(_number(table, 4), len(table) // 12) for table in _all(track, b"elst"))


def _is_plain_sound(track: memoryview) -> bool:
    """Return whether a track's samples are single values of sound: each lasts one unit of time."""
    handlers, times = _all(track, b"hdlr"), _all(track, b"stts")
    return (
        [bytes(handler[8:12]) for handler in handlers[:1]] == [b"soun"]
        and len(times) == 1
        and _runs(times[0])[:, 1].tolist() == [1]
    )


def _all(data: memoryview, wanted: bytes, depth: int = _DEEPEST) -> list[memoryview]:
    contents = []
    for kind, content, _ in boxes(data):
        if kind == wanted:
            contents.append(content)
        elif kind in _OUTER and depth:
            contents += _all(content, wanted, depth - 1)
    return contents


def _runs(table: memoryview) -> Array:
    """Return the pairs of a table: `(runs, 2)` int64."""
    count = min(_number(table, 4), len(table[8:]) // 8)
    return np.frombuffer(table[8 : 8 + 8 * count], ">u4").astype(np.int64).reshape(-1, 2)


def _number(data: memoryview, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4])
