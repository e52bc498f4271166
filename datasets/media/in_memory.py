"""Media that a program has: paths, PIL images, arrays and bytes become the bytes of files."""

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from savs.datasets.errors import MediaError
from savs.datasets.media.media import MediaFolder, MediaRules
from savs.datasets.media_kinds.catalogue import pictures_in
from savs.datasets.parts import is_window
from savs.datasets.rows.boxes import box_of
from savs.datasets.rows.media_names import is_address

Pictured = str | Path | bytes | Image.Image | np.ndarray[Any, Any] | Mapping[str, Any]
"""An image: the path of a file, the bytes of one, a PIL image, or `(height, width)`,
`(height, width, 3)` or `(height, width, 4)` uint8. Or a sound: a path, bytes, or a dictionary with
its `array` and `sampling_rate`."""
SOUND = {"array", "sampling_rate"}
"""Keys of a sound, as data sets decode it; a `path` may be there, too."""
KEPT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes of PIL that a PNG holds without loss."""
ANYWHERE = MediaRules(allow_outside=True)


def is_pictured(value: Any) -> bool:
    """Return whether a value has one of the types of `Pictured`."""
    return isinstance(value, str | Path | bytes | Image.Image | np.ndarray | Mapping)


def file_bytes(value: Any, name: str) -> bytes:
    """Return the bytes of a file that shows what `value` shows, or sounds as it does.

    PIL images and arrays become PNG, which keeps every pixel; a file is read as it is. MediaError,
    which calls the image `name`, for a file that cannot be read and a value that is not `Pictured`.
    """
    if isinstance(value, bytes):
        if not value:
            raise MediaError(f"{name} is empty (0 bytes)")
        return value
    if isinstance(value, str | Path):
        if is_address(str(value)):
            raise MediaError(f"{name} is the URL {value}; download it, and pass its bytes")
        if is_window(str(value)):
            raise MediaError(f"{name} is {value}, a window of a video, which `savs.classify` takes")
        media = MediaFolder(Path.cwd(), rules=ANYWHERE)
        if box_of(str(value)):
            return _png(pictures_in(media.decode(str(value)))[0], name)
        return media.read(str(value))
    if isinstance(value, Image.Image):
        return _png(ImageOps.exif_transpose(value), name)
    if isinstance(value, np.ndarray):
        return _png(_from_array(value, name), name)
    if isinstance(value, Mapping) and value.keys() >= SOUND:
        return sound_file(value["array"], value["sampling_rate"], name)
    raise MediaError(
        f"{name} is a {type(value).__name__}, expected a path, bytes, a PIL image, a uint8 array,"
        " or a dictionary with the array and the sampling_rate of a sound"
    )


def sound_file(samples: Any, rate: Any, name: str) -> bytes:
    """Return the bytes of a WAV of 32-bit samples; a decoder takes them as they are.

    `samples` are `(samples,)`, floating from -1 to 1 or int16; MediaError, which calls the sound
    `name`, for others, and for a rate that is no whole number.
    """
    values = np.asarray(samples)
    is_float = values.dtype.kind == "f"
    if values.ndim != 1 or not (is_float or values.dtype == np.int16):
        raise MediaError(
            f"{name} is an array of {values.dtype} {values.shape}, expected (samples,) of floats"
            " from -1 to 1, or of int16"
        )
    if not isinstance(rate, int | np.integer) or not 0 < rate < 2**31:
        raise MediaError(f"{name} has the sampling rate {rate!r}, expected samples a second")
    data = (values if is_float else values / 2**15).astype("<f4").tobytes()
    is_of_floats, channels, width = 3, 1, 4
    shape = struct.pack("<HHIIHH", is_of_floats, channels, rate, width * rate, width, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", len(shape)) + shape
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _from_array(values: np.ndarray[Any, Any], name: str) -> Image.Image:
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))
    if values.dtype != np.uint8 or not is_image or not values.size:
        raise MediaError(
            f"{name} is an array of {values.dtype} {values.shape}, expected uint8 from 0 to 255 of"
            " (height, width), (height, width, 3) or (height, width, 4)"
        )
    return Image.fromarray(values)


def _png(image: Image.Image, name: str) -> bytes:
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
