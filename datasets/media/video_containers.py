"""The containers of videos: which one a file is, and whether it is all there.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), Microsoft's AVI RIFF reference.
"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

MP4, MATROSKA, AVI = "mp4", "matroska", "avi"
SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
"""Names of videos end in one of these."""
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of the photographs of phones, in the container of MP4."""
_STILL_BRANDS = (b"avif", b"avis", *HEIC_BRANDS)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_video_name(name: str) -> bool:
    """Return whether a medium's name says that it is a video.

    Examples
    --------
    >>> is_video_name("clips/1.MP4"), is_video_name("clips/1.gif")
    (True, False)
    >>> is_video_name("https://host/1.mp4?size=small")
    True
    """
    path = urlsplit(name).path if name.startswith("http") else name
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def container_of(data: bytes) -> str | None:
    """Return the container that a file's first bytes say: `mp4`, `matroska`, `avi` or None."""
    if data[4:8] in _BOXES and not (data[4:8] == b"ftyp" and data[8:12] in _STILL_BRANDS):
        return MP4
    if data.startswith(_EBML):
        return MATROSKA
    return AVI if data[:4] == b"RIFF" and data[8:12] == b"AVI " else None


def missing_bytes(data: bytes) -> int:
    """Return how many bytes a video's container declares beyond the end of the file.

    0 where it is whole, or does not say.
    """
    end = {MP4: _mp4_end, MATROSKA: _matroska_end, AVI: _avi_end}[container_of(data) or MP4](data)
    return max(0, end - len(data))


def _mp4_end(data: bytes) -> int:
    """Follow the outermost boxes: a size of 32 bits; of 64 where it is 1; 0 is the file's end."""
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4])
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16])
        if size < 8:
            return len(data)
        place += size
    return place


def _avi_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


def _matroska_end(data: bytes) -> int:
    """Return where the segment behind the EBML header ends."""
    header = _variable(data, 4)
    segment = sum(header)
    if data[segment : segment + 4] != _SEGMENT:
        return len(data)
    start, size = _variable(data, segment + 4)
    return start + size


def _variable(data: bytes, place: int) -> tuple[int, int]:
    """Return the place behind an EBML size, and the size; 0 where all its bits say "unknown"."""
    first = data[place] if place < len(data) else 0
    width = 9 - first.bit_length()
    value = int.from_bytes(data[place : place + width]) & ((1 << 7 * width) - 1)
    return place + width, 0 if value == (1 << 7 * width) - 1 else value
