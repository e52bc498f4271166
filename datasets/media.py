"""Image files: found below one folder, decoded to RGB the way a person would see them."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from savs.datasets.errors import MediaError
from savs.datasets.packed import is_packed, packed_file, read_packed


@dataclass(frozen=True, slots=True)
class MediaFolder:
    """The folder below which all media of a run lie."""

    root: Path
    packed: Path | None = None
    """Folder of the Parquet files that hold media; `root` by default."""

    def path(self, name: str) -> Path:
        """Return the path of a medium; a link in the folder may lead anywhere.

        An absolute path of another machine is looked for below the root: its longest end that is
        there counts.

        Raises
        ------
        MediaError
            The name leads out of the folder.
        """
        root = _absolute(self.root)
        path = _absolute(root / name)
        if path.is_relative_to(root):
            return path
        if Path(name).is_absolute():
            parts = path.parts[1:]
            ends = (root.joinpath(*parts[start:]) for start in range(len(parts)))
            found = next((end for end in ends if _there(end)), None)
            if found is not None:
                return found
        raise MediaError(
            f"{name} lies outside the media root {self.root}; give --media-root a folder that"
            " holds all images"
        )

    def has(self, name: str) -> bool:
        """Return whether a medium is there; what it holds is not looked at."""
        try:
            if is_packed(name):
                return self._packed_path(name).is_file()
            return self.path(name).is_file()
        except (MediaError, OSError, ValueError):
            return False

    def size(self, name: str) -> int | None:
        """Return a medium's size in bytes, or None where it is not there."""
        try:
            return len(self.read(name)) if is_packed(name) else self.path(name).stat().st_size
        except (MediaError, OSError, ValueError):
            return None

    def _packed_path(self, name: str) -> Path:
        return MediaFolder(self.packed or self.root).path(packed_file(name))

    def read(self, name: str) -> bytes:
        """Return a medium's bytes.

        Raises
        ------
        MediaError
            Missing, unreadable, empty, or outside the folder.
        """
        if is_packed(name):
            return read_packed(self._packed_path(name), name)
        path = self.path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise MediaError(
                f"{name} is not in the media root {self.root.absolute()} (--media-root)"
            ) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            shown = name if name.isprintable() else ascii(name)
            raise MediaError(f"{shown} cannot be read: {reason}") from error
        if not data:
            raise MediaError(f"{name} is empty (0 bytes)")
        return data


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long
        return False


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are


def sha256(data: bytes) -> str:
    """Return the digest by which equal media are recognised, whatever their names."""
    return hashlib.sha256(data).hexdigest()


def decode_image(data: bytes, name: str) -> Image.Image:
    """Decode an image file to 8-bit RGB.

    The EXIF orientation is applied, transparency is laid on white, 16-bit greys keep their upper
    byte, and an animation gives its first frame. PostScript is refused: decoding would run it.

    Raises
    ------
    MediaError
        Not an image, damaged, truncated, or so large that it looks like a decompression bomb.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise MediaError(
                    f"{name} has {image.width} x {image.height} pixels, more than {limit:,}:"
                    " scale it down"
                )
            if image.format == "EPS":
                raise MediaError(f"{name} is a PostScript program, not an image; convert it")
            image.load()
            upright = ImageOps.exif_transpose(image)
            return _to_rgb(image if upright is None else upright)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(f"{name} has too many pixels: {error}") from error
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(f"{name} is no image of a known format") from error
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"{name} cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
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
