"""How much a medium may take: small files can declare sizes that fill a machine's memory."""

from savs.datasets.errors import MediaError

MAX_IMAGE_PIXELS = 2**26
"""Most pixels of an image by default: 67 megapixels, 268 MB once decoded."""
MAX_SIDE_PX = 2**16 - 1
"""Longest side: that of a JPEG. Rows take memory, however short they are."""
COSTLY = {"WEBP": 2}
"""Format -> by how much its limit is lower: decoding takes several times as much per pixel."""
VIDEO_IMAGES = 4
"""The frames of a video together may have as many pixels as this number of images."""
MAX_FRAMES = 2**21
"""Most frames of a video, used or not: 19 hours at 30 a second."""
MAX_SAMPLES = 2**22
"""Most samples that all tracks of an MP4 may declare, those of sound included."""
MAX_FILE_BYTES = 2**31
"""Largest file that is read as a medium."""
RAISE = "scale it down, or raise --max-image-pixels"


def require_size(width: int, height: int, name: str, limit: int, images: int = 1) -> None:
    """Raise MediaError where one or several images of a size have more pixels than `limit`."""
    if max(width, height) > MAX_SIDE_PX:
        raise MediaError(
            f"{name} has {width} x {height} pixels, more than {MAX_SIDE_PX:,} on one side: cut it"
        )
    if images * width * height > limit:
        count = f"{images} frames of " if images > 1 else ""
        raise MediaError(
            f"{name} has {count}{width} x {height} pixels, more than {limit:,}: {RAISE}"
        )


def require_frames(count: int, name: str) -> None:
    """Raise MediaError for more frames than `MAX_FRAMES`."""
    if count > MAX_FRAMES:
        raise MediaError(f"{name} has more than {MAX_FRAMES:,} frames: cut it")
