"""What a medium's name says: image, video or sound, a file, a URL, or a place in a file's row."""

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

IMAGES = frozenset(
    (
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
"""Suffixes of images, in lower case; content decides what a medium is, and what cannot be decoded
is skipped with its reason later."""
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aif", ".aiff", ".aifc")
_PACKED = re.compile(
    r"(?P<file>.+\.(?i:parquet|jsonl|ndjson|json|csv|tar))#(?P<row>\d+)/(?P<column>.+)"
)


def is_address(name: str) -> bool:
    """Return whether a medium's name is an http or https URL.

    Examples
    --------
    >>> is_address("https://host/1.png"), is_address("photos/1.png")
    (True, False)
    """
    return name.lower().startswith(("http://", "https://"))


def is_video_name(name: str) -> bool:
    """Return whether a medium is a video, by its name.

    Examples
    --------
    >>> is_video_name("clips/1.MP4"), is_video_name("clips/1.gif")
    (True, False)
    >>> is_video_name("https://host/1.mp4?size=small")
    True
    """
    return suffix_of(name) in VIDEOS


def is_sound_name(name: str) -> bool:
    """Return whether a medium is a sound, by its name.

    Examples
    --------
    >>> is_sound_name("calls/1.WAV"), is_sound_name("clips/1.mp4")
    (True, False)
    """
    return suffix_of(name) in SOUNDS


def suffix_of(name: str) -> str:
    """Return the suffix of a medium's name in lower case, without the query of a URL."""
    path = urlsplit(name).path if name.startswith("http") else name
    return PurePosixPath(path).suffix.lower()


def is_packed(name: str) -> bool:
    """Return whether a name belongs to a medium stored in the row of a file.

    Examples
    --------
    >>> is_packed("val.parquet#12/image_1"), is_packed("photos/1.jpg")
    (True, False)
    """
    return _PACKED.fullmatch(name) is not None


def packed_parts(name: str) -> tuple[str, str, str]:
    """Return the file, the row from 0, and the column of a packed medium; ValueError of others.

    Examples
    --------
    >>> packed_parts("val.parquet#12/image_1")
    ('val.parquet', '12', 'image_1')
    """
    match = _PACKED.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of a medium in a file's row")
    return match["file"], match["row"], match["column"]


def packed_column(name: str) -> str:
    """Return the file and the column in a packed medium's name, without the row.

    Examples
    --------
    >>> packed_column("val.parquet#12/image_1")
    'val.parquet#image_1'
    """
    file, _, column = packed_parts(name)
    return f"{file}#{column}"
