"""Files as people have them, drawn here: each is decoded as a person would see it, or named."""

import gzip
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from savs.datasets import MediaError
from savs.datasets.images import decode_image

pytestmark = pytest.mark.thorough

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)
SIDE = 16


def halves(left: Any, right: Any, mode: str = "RGB") -> Image.Image:
    """An image whose left half has one colour, its right half another."""
    image = Image.new(mode, (2 * SIDE, SIDE), left)
    image.paste(right, (SIDE, 0, 2 * SIDE, SIDE))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def palette(*colors: tuple[int, int, int]) -> Image.Image:
    image = halves(0, 1, "P")
    image.putpalette([value for color in colors for value in color])
    return image


def grey16(big_endian: bool = False) -> Image.Image:
    values = np.array([[0x2000] * SIDE + [0xE0FF] * SIDE] * SIDE, ">u2" if big_endian else "<u2")
    return Image.fromarray(values)


def pgm16() -> bytes:
    """A portable greymap of two pixels with 16 bits, 0x2000 and 0xE0FF, highest byte first."""
    return b"P5 2 1 65535\n" + bytes.fromhex("2000e0ff")


def ppm16() -> bytes:
    """A portable pixmap of two pixels with 16 bits a channel: red and blue."""
    return b"P6 2 1 65535\n" + bytes.fromhex("ffff00000000" + "00000000ffff")


def png(width: int, height: int, color_type: int, depth: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG, chunk by chunk (PNG specification, 11.2)."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [b"IHDR" + header, *more, b"IDAT" + zlib.compress(rows), b"IEND"]
    body = b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def frames(kind: str, first: Image.Image, **options: Any) -> bytes:
    later = [Image.new(first.mode, first.size) for _ in range(3)]
    return saved(first, kind, save_all=True, append_images=later, **options)


def clear_gif() -> bytes:
    return saved(palette(RED, BLUE), "GIF", transparency=1)


def small_first_frame() -> bytes:
    """A GIF whose canvas is 2 x 1, and whose first frame covers the left pixel alone."""
    colors = bytes((*RED, *BLUE))
    # canvas 2 x 1, table of 2 colours; graphic control: colour 1 is clear; frame at 0, 0 of 1 x 1
    # LZW with codes of 3 bits, lowest bit first: clear (4), 0, end (5): 100, 000, 101 -> 0x44 0x01
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 2, 1, 0x80, 1, 0)
        + colors
        + b"\x21\xf9\x04\x01\x0a\x00\x01\x00"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x44\x01\x00\x3b"
    )


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
    "nothing": (b"", "is no image of a known format"),
    "zeros": (b"\0" * 4096, "is no image of a known format"),
    "a page of the web": (b"<!DOCTYPE html><title>404</title>", "is no image of a known format"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is no image of a known format"),
    "PDF": (pdf(), "is no image of a known format"),
    "a packed PNG": (gzip.compress(busy("PNG")), "is no image of a known format"),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "is no image of a known format",
    ),
    "HEIC": (b"\0\0\0\x18ftypheic" + b"\0" * 12, "is a HEIC photograph: save it as JPEG or PNG"),
    "a PNG signature": (b"\x89PNG\r\n\x1a\n", "is no image of a known format|cannot be decoded"),
    "half a PNG": (busy("PNG")[:5000], "cannot be decoded"),
    "a PNG with a changed byte": (broken_check(), "cannot be decoded"),
    "half a JPEG": (busy("JPEG")[:1500], "cannot be decoded"),
    "half a GIF": (busy("GIF")[:1500], "cannot be decoded"),
    "half a WebP": (busy("WEBP")[:1000], "cannot be decoded|is no image"),
    "half an AVIF": (busy("AVIF")[:400], "cannot be decoded|is no image"),
    "half a BMP": (busy("BMP")[:5000], "cannot be decoded"),
    "half a TIFF": (busy("TIFF")[:5000], "cannot be decoded|is no image"),
    "half a JPEG 2000": (busy("JPEG2000")[:1500], "cannot be decoded"),
    "half a PPM": (busy("PPM")[:5000], "cannot be decoded"),
    "a PNG without width": (png(0, 1, 2, 8, b"\0"), "cannot be decoded|is no image"),
    "a PNG of 2,500 million pixels": (
        png(50_000, 50_000, 0, 8, b"\0"),
        "has too many pixels|has 50000 x 50000 pixels",
    ),
    "a PNG of 100 million pixels": (
        png(10_000, 10_000, 0, 8, b"\0"),
        "has 10000 x 10000 pixels, more than 89,478,485: scale it down",
    ),
    "a GIF canvas of 4,000 million": (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b",
        "pixels|is no image|cannot be decoded",
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


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "mp4"])
def test_the_name_of_a_file_does_not_matter(suffix: str) -> None:
    from savs.datasets.media import decode_medium

    drawing = halves(RED, TEAL)
    ImageDraw.Draw(drawing).point((0, 0), GREEN)
    (image,) = decode_medium(saved(drawing, "BMP"), f"x.{suffix}")
    assert [image.getpixel((x, 0)) for x in (0, 1, 31)] == [GREEN, RED, TEAL]
