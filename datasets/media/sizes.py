"""Sizes of images and videos from their headers; nothing is decoded."""

import io

from PIL import Image

from savs.datasets.media.video_containers import container_of
from savs.datasets.media.videos import DEFAULT_FRAMES, video_size

ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""EXIF tag, and its values for an image that lies on its side."""


def image_sizes(data: bytes, frames: int = DEFAULT_FRAMES) -> list[tuple[int, int]]:
    """Return width and height of each image that `decode_medium` will give, as far as is known.

    Parameters
    ----------
    data
        An image or a video.
    frames
        Frames per video; a short one has fewer.

    Returns
    -------
    list
        Pixels, upright; one item for an image, `(0, 0)` where the header cannot be read.
    """
    try:
        if container_of(data) is not None:
            return [video_size(data)] * frames
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            known = image.format != "PNG" or "exif" in image.info  # Pillow decodes a PNG to look
            turned = known and image.getexif().get(ORIENTATION) in TURNED
            return [(height, width) if turned else (width, height)]
    except Exception:  # what is wrong is said when it is decoded
        return [(0, 0)]
