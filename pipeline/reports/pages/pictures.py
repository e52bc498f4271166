"""Pictures of a page: small JPEGs inside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from savs.datasets.media.images import thumbnail

LEAST_PX = 120
"""Smallest width of a caption."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One scaled image, or a placeholder for one that cannot be shown."""

    name: str
    width: int
    """Size of the original image in pixels."""
    height: int
    jpeg: bytes
    """Empty where it cannot be read."""
    side: int
    """Largest width and height on the page, in pixels."""
    frame: str = ""
    """`frame 2 of 8` where it is of a video."""

    @property
    def shown_width(self) -> int:
        """Width on the page, in pixels."""
        return round(self.width * min(1.0, self.side / max(self.width, self.height, 1)))

    @property
    def shown_height(self) -> int:
        """Height on the page, in pixels."""
        return round(self.height * min(1.0, self.side / max(self.width, self.height, 1)))

    @property
    def caption_width(self) -> int:
        """Width of the picture with its caption, in pixels."""
        return max(self.shown_width, LEAST_PX)


def no_picture(name: str, side: int) -> Picture:
    """Return a placeholder."""
    return Picture(name, 0, 0, b"", side)


def pictures_of(name: str, images: Sequence[Image.Image], side: int) -> list[Picture]:
    """Return the pictures of a medium: of its image, or of each frame of a video."""
    return [
        Picture(
            name,
            image.width,
            image.height,
            thumbnail(image, side),
            side,
            f"frame {number} of {len(images)}" if len(images) > 1 else "",
        )
        for number, image in enumerate(images, start=1)
    ]
