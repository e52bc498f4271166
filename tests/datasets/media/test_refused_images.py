"""Files that are no images, or damaged ones: each is named with its reason."""

import gzip
import struct
from typing import Any

import numpy as np
import pytest
from input_folder import png, saved
from PIL import Image

from savs.datasets import MediaError
from savs.datasets.media.images import decode_image

pytestmark = pytest.mark.thorough


def busy(kind: str, **options: Any) -> bytes:
    """A file of noise, which does not compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), kind, **options)


def pdf() -> bytes:
    return b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def broken_check() -> bytes:
    """A PNG of which one byte of the pixels changed: its checksum says so."""
    data = bytearray(busy("PNG"))
    data[len(data) // 2] ^= 1
    return bytes(data)


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not an image of a known format"),
    "zeros": (b"\0" * 4096, "is not an image of a known format"),
    "a page of the web": (
        b"<!DOCTYPE html><title>404</title>",
        "is not an image of a known format",
    ),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is not an image of a known format"),
    "PDF": (pdf(), "is not an image of a known format"),
    "a packed PNG": (gzip.compress(busy("PNG")), "is not an image of a known format"),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "is not an image of a known format",
    ),
    "HEIC": (b"\0\0\0\x18ftypheic" + b"\0" * 12, "is a HEIC photograph: save it as JPEG or PNG"),
    "a PNG signature": (
        b"\x89PNG\r\n\x1a\n",
        "is not an image of a known format|cannot be decoded",
    ),
    "half a PNG": (busy("PNG")[:5000], "cannot be decoded"),
    "a PNG with a changed byte": (broken_check(), "cannot be decoded"),
    "half a JPEG": (busy("JPEG")[:1500], "cannot be decoded"),
    "half a GIF": (busy("GIF")[:1500], "cannot be decoded"),
    "half a WebP": (busy("WEBP")[:1000], "cannot be decoded|is not an image"),
    "half an AVIF": (busy("AVIF")[:400], "cannot be decoded|is not an image"),
    "half a BMP": (busy("BMP")[:5000], "cannot be decoded"),
    "half a TIFF": (busy("TIFF")[:5000], "cannot be decoded|is not an image"),
    "half a JPEG 2000": (busy("JPEG2000")[:1500], "cannot be decoded"),
    "half a PPM": (busy("PPM")[:5000], "cannot be decoded"),
    "a PNG without width": (png(0, 1, 2, 8, b"\0"), "cannot be decoded|is not an image"),
    "a PNG of 2,500 million pixels": (
        png(50_000, 50_000, 0, 8, b"\0"),
        "has too many pixels: scale it down, or raise --max-image-pixels",
    ),
    "a PNG of 100 million pixels": (
        png(10_000, 10_000, 0, 8, b"\0"),
        "has 10000 x 10000 pixels, more than 67,108,864: scale it down",
    ),
    "a GIF canvas of 4,000 million": (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b",
        "pixels|is not an image|cannot be decoded",
    ),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", "is a PostScript"),
    "32 bits a grey": (
        saved(Image.fromarray(np.zeros((2, 2), np.int32)), "TIFF"),
        "save it with 8 or 16 bits",
    ),
    "fractions": (
        saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"),
        "save it with 8 or 16 bits",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_seen_is_named_with_its_reason(name: str) -> None:
    data, reason = WRONG[name]
    with pytest.raises(MediaError, match=rf"^x\.png .*({reason})"):
        decode_image(data, "x.png")
