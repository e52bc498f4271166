"""A decoded video: some of its frames, and when each is shown."""

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """Frames of a video; made by `decode_video`."""

    frames: tuple[Image.Image, ...]
    """8-bit RGB, upright, in the order of time; at least one."""
    times_s: tuple[float, ...]
    """When each is shown, in seconds from the first frame of the file."""
    duration_s: float
    """From the first frame of the file to the end of the last one, in seconds."""


Visual = Image.Image | Video
"""What stands in a prompt for a medium, or for a part of one."""


def images_of(pieces: Iterable[str | Visual]) -> list[Image.Image]:
    """Return all images of a prompt's pieces in reading order, the frames of videos included."""
    found: list[Image.Image] = []
    for piece in pieces:
        if isinstance(piece, Video):
            found += piece.frames
        elif isinstance(piece, Image.Image):
            found.append(piece)
    return found


def videos_of(pieces: Iterable[str | Visual]) -> list[Video]:
    """Return the videos of a prompt's pieces in reading order."""
    return [piece for piece in pieces if isinstance(piece, Video)]
