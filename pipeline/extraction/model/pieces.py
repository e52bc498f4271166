"""A prompt as the pieces that stand in it: text, images and videos, in reading order."""

from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from savs.datasets.media.videos import Video, Visual, images_of

Pieces = tuple[str | Visual, ...]
"""A prompt as text, images and videos in reading order."""


def images_in(pieces: Pieces) -> int:
    """Return how many images a prompt has, the frames of its videos included."""
    return len(images_of(pieces))


def shape_of(pieces: Pieces) -> tuple[int, ...]:
    """Return 0 for each image, and for each video the number of its frames.

    Prompts of one shape may be a batch: some models are wrong, and some processors fail, where the
    numbers of images or of frames differ within one.
    """
    return tuple(
        len(piece.frames) if isinstance(piece, Video) else 0
        for piece in pieces
        if not isinstance(piece, str)
    )


def map_images(pieces: Pieces, change: Callable[[Image.Image], Image.Image]) -> Pieces:
    """Return a prompt whose images, and frames of videos, are changed, in reading order."""

    def changed(piece: str | Visual) -> str | Visual:
        if isinstance(piece, Video):
            return replace(piece, frames=tuple(map(change, piece.frames)))
        return piece if isinstance(piece, str) else change(piece)

    return tuple(map(changed, pieces))
