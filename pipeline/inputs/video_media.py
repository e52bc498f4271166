"""Which of a benchmark's media are videos: by name, or by content where names do not tell."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.containers import container_of
from savs.datasets.rows.media_names import IMAGES, is_packed, is_video_name, packed_column

ENDS = 8
"""Media that are looked at from each end of a column, or of a folder."""


def find_video(names: Iterable[str], media: MediaFolder) -> str | None:
    """Return the name of a medium that is a video; None if there is none.

    Media in the rows of files, and files without a suffix of images, are known by their first
    bytes. Of each column and each folder, the first and the last `ENDS` are looked at. What cannot
    be read is no video.
    """
    unclear: dict[str, list[str]] = {}
    for name in names:
        if is_video_name(name):
            return name
        if is_packed(name):
            unclear.setdefault(packed_column(name), []).append(name)
        elif (path := PurePosixPath(name)).suffix.lower() not in IMAGES:
            unclear.setdefault(str(path.parent), []).append(name)
    looked_at = (
        name
        for own in unclear.values()
        for name in (own if len(own) <= 2 * ENDS else [*own[:ENDS], *own[-ENDS:]])
    )
    return next((name for name in looked_at if _is_video(name, media)), None)


def _is_video(name: str, media: MediaFolder) -> bool:
    try:
        return container_of(media.read(name)) is not None
    except MediaError:
        return False
