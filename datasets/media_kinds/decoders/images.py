"""Image files, decoded to RGB as an image viewer shows them."""

import io
import math
import re
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from savs.datasets.errors import MediaError
from savs.datasets.media_kinds.decoders.containers import is_heic
from savs.datasets.media_kinds.decoding import MAX_IMAGE_PIXELS
from savs.foundation.imports import install_command

KEPT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes of PIL that a PNG holds without loss."""
BAND_PIXELS = 2**20
"""Pixels that are converted to RGB together: the intermediate forms take no more."""
MAX_SIDE_PX = 2**16 - 1
"""Longest side, the limit of JPEG. Rows take memory, however short they are."""
COSTLY = {"WEBP": 2, "JPEG2000": 4}
"""Format -> by how much its limit is lower: decoding takes several times as much per pixel."""
MAX_SCANS = 32
"""Times that a JPEG of `max_image_pixels` may draw all its pixels, a smaller one more often.
Encoders write 12 at most, and each takes time."""
HEADER_BYTES = 2**16
"""Longest header of a PPM and its relatives: Pillow reads comments byte by byte."""
_COMMENTS = rb"(?:\s|#[^\r\n]*+[\r\n])++"
_BITMAP_HEADER = re.compile(
    rb"(?:P[14](?:%s[^\s#]++){2}|P(?![14])\w++(?:%s[^\s#]++){3})[\s#]" % (_COMMENTS, _COMMENTS)
)
"""Width, height and, unless a pixel is a bit, the greatest value."""
RAISE = "scale it down, or raise `max_image_pixels`"


def decode_image(
    data: bytes,
    name: str,
    draft_pixels: int | None = None,
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> Image.Image:
    """Decode an image file to 8-bit RGB.

    The EXIF orientation is applied, transparency becomes white, 16-bit greys keep their upper byte,
    and an animation gives its first frame. PostScript is refused, because decoding would run it.
    MediaError, with the image's `name`, if it is no image, damaged, truncated, or too large: more
    than `max_pixels`, for a WebP more than half of that, for a JPEG 2000 more than a quarter.

    With `draft_pixels` a JPEG is decoded at a half, a quarter or an eighth of its width and height,
    as long as it keeps this many pixels or more: several times as fast, and slightly other values.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow's own limit
    try:
        with open_image(data) as image:
            limit = max_pixels // COSTLY.get(image.format or "", 1)
            require_size(image.width, image.height, name, limit)
            if image.format in ("JPEG", "MPO"):
                _require_scans(data, image.width * image.height, name, limit)
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
        raise MediaError(f"{name} has too many pixels: {RAISE}") from error
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        if is_heic(data) and not _pillow_opens_heic():
            raise MediaError(
                f"{name} is a HEIC photograph, which needs the package pillow-heif:"
                f" {install_command('heic')}; or save it as JPEG"
            ) from error
        raise MediaError(f"{name} is not an image of a known format") from error
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"{name} cannot be decoded: {error}") from error


def open_image(data: bytes) -> Image.Image:
    """Return an image file as Pillow opens it: its header is read, and no pixel."""
    if is_heic(data):
        _pillow_opens_heic()
    is_bitmap = re.match(rb"P\w{1,6}[\s#]", data)
    if is_bitmap and not _BITMAP_HEADER.match(data[:HEADER_BYTES]):
        raise ValueError(f"its header has no size within the first {HEADER_BYTES:,} bytes")
    return Image.open(io.BytesIO(data))


@cache
def _pillow_opens_heic() -> bool:
    """Return whether pillow-heif is installed, and let Pillow use it."""
    try:
        plugin = import_module("pillow_heif")
    except ImportError:
        return False
    plugin.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True


def _require_scans(data: bytes, pixels: int, name: str, limit: int) -> None:
    """Raise MediaError if a JPEG draws its pixels so often that decoding would take minutes.

    In compressed data the two bytes of this marker never follow each other.
    """
    scans = data.count(b"\xff\xda")
    if scans * pixels > MAX_SCANS * limit:
        raise MediaError(
            f"{name} draws its {pixels:,} pixels {scans:,} times, more than"
            f" {MAX_SCANS * limit // pixels:,}: save it again"
        )


def _to_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and kind != "PPM"):
        raise ValueError("32-bit pixels have no fixed white; save it with 8 or 16 bits")
    if not (image.mode.startswith("I") or image.has_transparency_data):
        return image.convert("RGB")
    result = Image.new("RGB", image.size)
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        result.paste(_band_to_rgb(image.crop(box)), box)
    return result


def _band_to_rgb(band: Image.Image) -> Image.Image:
    if band.mode.startswith("I"):  # 0 .. 65535
        values = np.asarray(band)
        grey = (values >> 8).astype(np.uint8)
        clear = band.info.get("transparency")
        if isinstance(clear, int):
            grey[values == clear] = 255
        return Image.fromarray(grey).convert("RGB")
    pixels = band.convert("RGBA")
    white = Image.new("RGBA", pixels.size, "white")
    return Image.alpha_composite(white, pixels).convert("RGB")


def thumbnail(image: Image.Image, side_px: int) -> bytes:
    """Return a small JPEG of an image, at most `side_px` wide and high."""
    small = image.copy()
    small.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def require_size(width: int, height: int, name: str, limit: int, images: int = 1) -> None:
    """Raise MediaError if one or several images of a size have more pixels than `limit`."""
    if max(width, height) > MAX_SIDE_PX:
        raise MediaError(
            f"{name} has {width} x {height} pixels, more than {MAX_SIDE_PX:,} on one side: cut it"
        )
    if images * width * height > limit:
        count = f"{images} frames of " if images > 1 else ""
        raise MediaError(
            f"{name} has {count}{width} x {height} pixels, more than {limit:,}: {RAISE}"
        )


ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""EXIF tag, and its values for an image that lies on its side."""


def _from_array(values: np.ndarray[Any, Any], name: str) -> Image.Image:
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))
    if values.dtype != np.uint8 or not is_image or not values.size:
        raise MediaError(
            f"{name} is an array of {values.dtype} {values.shape}, expected uint8 from 0 to 255 of"
            " (height, width), (height, width, 3) or (height, width, 4)"
        )
    return Image.fromarray(values)


def png(image: Image.Image, name: str) -> bytes:
    """Return the bytes of a PNG of an image; MediaError, which calls it `name`, for 32 bits."""
    if image.mode in ("F", "I"):
        raise MediaError(f"{name} has 32-bit pixels, which have no fixed white; scale it to 8 bits")
    if image.mode not in KEPT_MODES:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    buffer = io.BytesIO()
    try:
        image.save(buffer, "PNG", compress_level=1)
    except (OSError, ValueError) as error:
        raise MediaError(f"{name} cannot be decoded: {error}") from error
    return buffer.getvalue()


def upright_size(data: bytes) -> tuple[int, int]:
    """Return width and height of an upright image; `(0, 0)` if its header cannot be read."""
    try:
        with open_image(data) as image:
            width, height = image.size
            known = image.format != "PNG" or "exif" in image.info  # Pillow decodes a PNG to look
            turned = known and image.getexif().get(ORIENTATION) in TURNED
            return (height, width) if turned else (width, height)
    except Exception:  # what is wrong is said when it is decoded
        return 0, 0


def file_of_pixels(value: Any, name: str) -> bytes | None:
    """Return the bytes of a PNG, which keeps every pixel; None of what is no image or array."""
    if isinstance(value, Image.Image):
        return png(ImageOps.exif_transpose(value), name)
    return png(_from_array(value, name), name) if isinstance(value, np.ndarray) else None
