"""Video containers: which one a file is, and whether the file is complete.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), Microsoft's AVI RIFF reference.
"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from savs.datasets.media.mp4_boxes import boxes
from savs.datasets.rows.media_suffixes import VIDEOS

MP4, MATROSKA, AVI = "mp4", "matroska", "avi"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of phone photographs, which use the MP4 container."""
_STILL_BRANDS = (b"avif", b"avis", *HEIC_BRANDS)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_video_name(name: str) -> bool:
    """Return whether a medium's name is that of a video.

    Examples
    --------
    >>> is_video_name("clips/1.MP4"), is_video_name("clips/1.gif")
    (True, False)
    >>> is_video_name("https://host/1.mp4?size=small")
    True
    """
    path = urlsplit(name).path if name.startswith("http") else name
    return PurePosixPath(path).suffix.lower() in VIDEOS


def container_of(data: bytes) -> str | None:
    """Return the container by a file's first bytes: `mp4`, `matroska`, `avi` or None."""
    if data[4:8] in _BOXES and not (data[4:8] == b"ftyp" and data[8:12] in _STILL_BRANDS):
        return MP4
    if data.startswith(_EBML):
        return MATROSKA
    return AVI if data[:4] == b"RIFF" and data[8:12] == b"AVI " else None


def missing_bytes(data: bytes) -> int:
    """Return how many bytes a video's container declares beyond the end of the file.

    FFmpeg ends such a file as if it were complete. Fewer packets or less duration than declared
    do not prove a cut: a trimmed MP4, an AVI with a variable rate and a Matroska copy of some
    packets have both and are complete. 0 if the file is complete or declares no size.
    """
    end = {MP4: _mp4_end, MATROSKA: _matroska_end, AVI: _avi_end}[container_of(data) or MP4](data)
    return max(0, end - len(data))


def _mp4_end(data: bytes) -> int:
    return max((end for _, _, end in boxes(memoryview(data))), default=0)


def _avi_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


def _matroska_end(data: bytes) -> int:
    """Return the end of the segment behind the EBML header."""
    header = _variable(data, 4)
    segment = sum(header)
    if data[segment : segment + 4] != _SEGMENT:
        return len(data)
    start, size = _variable(data, segment + 4)
    return start + size


def _variable(data: bytes, offset: int) -> tuple[int, int]:
    """Return the offset behind an EBML size, and the size; 0 for an unknown one (all bits set)."""
    first = data[offset] if offset < len(data) else 0
    width = 9 - first.bit_length()
    value = int.from_bytes(data[offset : offset + width]) & ((1 << 7 * width) - 1)
    return offset + width, 0 if value == (1 << 7 * width) - 1 else value
