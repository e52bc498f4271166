"""Files as people have them, drawn here: each is decoded as a person would see it."""

from typing import Any

import numpy as np
import pytest
from input_folder import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    clear_gif,
    exif,
    frames,
    grey16,
    halves,
    palette,
    pgm16,
    png,
    ppm16,
    saved,
    small_first_frame,
)
from PIL import ImageDraw

from savs.datasets.media.images import decode_image

pytestmark = pytest.mark.thorough

EXACT = 0
LOSSY = 12
CYMK_RED, CMYK_WHITE = (0, 255, 255, 0), (0, 0, 0, 0)
TEAL = (10, 120, 130)

RIGHT: dict[str, tuple[bytes, Any, Any, int]] = {
    # name: (file, colour on the left, on the right, tolerance)
    "BMP": (saved(halves(RED, TEAL), "BMP"), RED, TEAL, EXACT),
    "BMP of 1 bit": (saved(halves(0, 255, "1"), "BMP"), BLACK, WHITE, EXACT),
    "BMP with a palette": (saved(palette(TEAL, BLUE), "BMP"), TEAL, BLUE, EXACT),
    "PNG": (saved(halves(RED, TEAL), "PNG"), RED, TEAL, EXACT),
    "PNG optimised": (saved(halves(RED, TEAL), "PNG", optimize=True), RED, TEAL, EXACT),
    "PNG of 1 bit": (saved(halves(0, 255, "1"), "PNG"), BLACK, WHITE, EXACT),
    "PNG with 2 bits a grey": (png(4, 1, 0, 2, b"\0\x1b"), BLACK, WHITE, EXACT),  # 0, 1, 2, 3
    "PNG with 16 bits a grey": (saved(grey16(), "PNG"), (0x20,) * 3, (0xE0,) * 3, EXACT),
    "PNG, 16 bits, clear grey": (
        png(2, 1, 0, 16, bytes.fromhex("002000e0ff"), b"tRNS" + bytes.fromhex("2000")),
        WHITE,
        (0xE0,) * 3,
        EXACT,
    ),
    "PNG with 16 bits a channel": (
        png(2, 1, 2, 16, bytes.fromhex("00ffff000000000a0178028203")),
        RED,
        TEAL,
        EXACT,
    ),
    "PNG, 16 bits with alpha": (
        png(2, 1, 6, 16, bytes.fromhex("00ffff00000000ffff0a01780282030000")),
        RED,
        WHITE,
        EXACT,
    ),
    "PNG, 16 bits, grey with alpha": (
        png(2, 1, 4, 16, bytes.fromhex("002000ffff20000000")),
        (0x20,) * 3,
        WHITE,
        EXACT,
    ),
    "PNG turned by EXIF": (saved(halves(RED, TEAL), "PNG", exif=exif(3)), TEAL, RED, EXACT),
    "PNG, clear palette": (saved(palette(RED, BLUE), "PNG", transparency=1), RED, WHITE, EXACT),
    "PNG, wide palette": (
        saved(palette(RED, BLUE), "PNG", transparency=b"\x00\xff"),
        WHITE,
        BLUE,
        EXACT,
    ),
    "PNG animated": (frames("PNG", halves(RED, TEAL)), RED, TEAL, EXACT),
    "GIF": (saved(palette(RED, BLUE), "GIF"), RED, BLUE, EXACT),
    "GIF, clear": (clear_gif(), RED, WHITE, EXACT),
    "GIF whose first frame is small": (small_first_frame(), RED, WHITE, EXACT),
    "GIF animated": (frames("GIF", palette(RED, BLUE), duration=50), RED, BLUE, EXACT),
    "WebP": (saved(halves(RED, TEAL), "WEBP", lossless=True), RED, TEAL, EXACT),
    "WebP lossy": (saved(halves(RED, TEAL), "WEBP", quality=95), RED, TEAL, LOSSY),
    "WebP with alpha": (
        saved(halves((*RED, 255), (*BLUE, 0), "RGBA"), "WEBP", lossless=True),
        RED,
        WHITE,
        EXACT,
    ),
    "WebP animated": (frames("WEBP", halves(RED, TEAL), lossless=True), RED, TEAL, EXACT),
    "WebP turned by EXIF": (
        saved(halves(RED, TEAL), "WEBP", lossless=True, exif=exif(2)),
        TEAL,
        RED,
        EXACT,
    ),
    "AVIF": (saved(halves(RED, TEAL), "AVIF", quality=95), RED, TEAL, LOSSY),
    "TIFF": (saved(halves(RED, TEAL), "TIFF"), RED, TEAL, EXACT),
    "TIFF packed": (saved(halves(RED, TEAL), "TIFF", compression="tiff_lzw"), RED, TEAL, EXACT),
    "TIFF of two pages": (frames("TIFF", halves(RED, TEAL)), RED, TEAL, EXACT),
    "TIFF with 16 bits": (saved(grey16(), "TIFF"), (0x20,) * 3, (0xE0,) * 3, EXACT),
    "TIFF with 16 bits, big-endian": (
        saved(grey16(big_endian=True), "TIFF"),
        (0x20,) * 3,
        (0xE0,) * 3,
        EXACT,
    ),
    "TIFF in CMYK": (saved(halves(CYMK_RED, CMYK_WHITE, "CMYK"), "TIFF"), RED, WHITE, EXACT),
    "TIFF in YCbCr": (saved(halves(RED, TEAL).convert("YCbCr"), "TIFF"), RED, TEAL, 3),
    "TIFF with alpha": (
        saved(halves((*RED, 255), (*BLUE, 0), "RGBA"), "TIFF"),
        RED,
        WHITE,
        EXACT,
    ),
    "TIFF turned by EXIF": (saved(halves(RED, TEAL), "TIFF", tiffinfo={274: 3}), TEAL, RED, EXACT),
    "JPEG": (saved(halves(RED, TEAL), "JPEG", quality=95), RED, TEAL, LOSSY),
    "JPEG progressive": (
        saved(halves(RED, TEAL), "JPEG", quality=95, progressive=True),
        RED,
        TEAL,
        LOSSY,
    ),
    "JPEG of greys": (saved(halves(0, 200, "L"), "JPEG", quality=95), BLACK, (200,) * 3, LOSSY),
    "JPEG in CMYK": (
        saved(halves(CYMK_RED, CMYK_WHITE, "CMYK"), "JPEG", quality=95),
        RED,
        WHITE,
        LOSSY,
    ),
    "JPEG 2000": (saved(halves(RED, TEAL), "JPEG2000", irreversible=False), RED, TEAL, EXACT),
    "MPO of a camera with two lenses": (
        frames("MPO", halves(RED, TEAL), quality=95),
        RED,
        TEAL,
        LOSSY,
    ),
    "PPM": (saved(halves(RED, TEAL), "PPM"), RED, TEAL, EXACT),
    "PPM with 16 bits": (ppm16(), RED, BLUE, EXACT),
    "PGM with 16 bits": (pgm16(), (0x20,) * 3, (0xE0,) * 3, EXACT),
    "TGA with alpha": (saved(halves((*RED, 255), (*BLUE, 0), "RGBA"), "TGA"), RED, WHITE, EXACT),
    "ICO": (saved(halves(RED, TEAL), "ICO", sizes=[(32, 16)]), RED, TEAL, EXACT),
    "PCX": (saved(halves(RED, TEAL), "PCX"), RED, TEAL, EXACT),
    "QOI": (saved(halves(RED, TEAL), "QOI"), RED, TEAL, EXACT),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_file_is_decoded_as_a_person_would_see_it(name: str) -> None:
    data, left, right, tolerance = RIGHT[name]
    image = decode_image(data, name)
    assert image.mode == "RGB"
    middle = image.height // 2
    for x, color in ((0, left), (image.width - 1, right)):
        difference = np.subtract(image.getpixel((x, middle)), color)
        assert np.abs(difference).max() <= tolerance, (x, image.getpixel((x, middle)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "mp4"])
def test_the_name_of_a_file_does_not_matter(suffix: str) -> None:
    from savs.datasets.media.media import decode_medium

    drawing = halves(RED, TEAL)
    ImageDraw.Draw(drawing).point((0, 0), GREEN)
    (image,) = decode_medium(saved(drawing, "BMP"), f"x.{suffix}")
    assert [image.getpixel((x, 0)) for x in (0, 1, 31)] == [GREEN, RED, TEAL]
