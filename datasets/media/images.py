"""Image files, decoded to RGB as an image viewer shows them."""

import io
import math

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from savs.datasets.errors import MediaError
from savs.datasets.media.video_containers import HEIC_BRANDS


def decode_image(data: bytes, name: str, draft_pixels: int | None = None) -> Image.Image:
    """Decode an image file to 8-bit RGB.

    The EXIF orientation is applied, transparency becomes white, 16-bit greys keep their upper byte,
    and an animation gives its first frame. PostScript is refused, because decoding would run it.

    Parameters
    ----------
    data
        The file.
    name
        Name for error messages.
    draft_pixels
        Decode a JPEG at a half, a quarter or an eighth of its width and height, as long as it keeps
        this many pixels or more: several times as fast, and slightly other values.

    Raises
    ------
    MediaError
        Not an image, damaged, truncated, or so large that it looks like a decompression bomb.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            require_size(image.width, image.height, name)
            if image.format == "EPS":
                raise MediaError(f"{name} is a PostScript program, not an image; convert it")
            if draft_pixels is not None:
                scale = math.sqrt(draft_pixels / (image.width * image.height))
                least = [math.ceil(round(scale * side, 3)) for side in image.size]
                image.draft("RGB", (least[0], least[1]))
            image.load()
            kind = image.format
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image, kind)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(f"{name} has too many pixels: {error}") from error
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
            raise MediaError(f"{name} is a HEIC photograph: save it as JPEG or PNG") from error
        raise MediaError(f"{name} is not an image of a known format") from error
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"{name} cannot be decoded: {error}") from error


def require_size(width: int, height: int, name: str) -> None:
    """Raise MediaError for more pixels than Pillow considers safe."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise MediaError(
            f"{name} has {width} x {height} pixels, more than {limit:,}: scale it down"
        )


def _to_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):  # read as 0 .. 65535
        values = np.asarray(image)
        grey = (values >> 8).astype(np.uint8)
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            grey[values == clear] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no fixed white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        white = Image.new("RGBA", pixels.size, "white")
        return Image.alpha_composite(white, pixels).convert("RGB")
    return image.convert("RGB")


def thumbnail(image: Image.Image, side_px: int) -> bytes:
    """Return a small JPEG of an image, at most `side_px` wide and high."""
    small = image.copy()
    small.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
