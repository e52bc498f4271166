"""Media that a program has: paths, PIL images, arrays and bytes become the bytes of files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from savs.datasets.errors import MediaError
from savs.datasets.media.media import MediaFolder, MediaRules
from savs.datasets.media_kinds.catalogue import KINDS, pictures_in
from savs.datasets.media_kinds.decoders.images import png
from savs.datasets.parts import is_window
from savs.datasets.rows.boxes import box_of
from savs.datasets.rows.media_names import is_address

Pictured = str | Path | bytes | Image.Image | np.ndarray[Any, Any] | Mapping[str, Any]
"""An image: the path of a file, the bytes of one, a PIL image, or `(height, width)`,
`(height, width, 3)` or `(height, width, 4)` uint8. Or a sound: a path, bytes, or a dictionary with
its `array` and `sampling_rate`."""
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
            return png(pictures_in(media.decode(str(value)))[0], name)
        return media.read(str(value))
    if (data := file_of(value, name)) is not None:
        return data
    *forms, last = (kind.in_memory for kind in KINDS if kind.in_memory)
    raise MediaError(
        f"{name} is a {type(value).__name__}, expected a path, bytes, {', '.join(forms)}, or {last}"
    )


def file_of(value: Any, name: str) -> bytes | None:
    """Return the bytes of a file of a decoded medium; None if `value` is none. Errors as above."""
    files = (kind.file_of(value, name) for kind in KINDS)
    return next((data for data in files if data is not None), None)
