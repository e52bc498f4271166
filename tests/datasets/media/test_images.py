"""Image files as people have them, drawn here: decoded as a person would see them, or refused."""

import gzip
import io
import struct
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
from PIL import Image, ImageDraw

from savs.datasets import MediaError
from savs.datasets.media.images import decode_image, thumbnail
from savs.datasets.media.media import decode_medium

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


@pytest.mark.thorough
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
    drawing = halves(RED, TEAL)
    ImageDraw.Draw(drawing).point((0, 0), GREEN)
    (image,) = decode_medium(saved(drawing, "BMP"), f"x.{suffix}")
    assert [image.getpixel((x, 0)) for x in (0, 1, 31)] == [GREEN, RED, TEAL]


def row(mode: str, *pixels: Any) -> Image.Image:
    """An image of one row."""
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    return image


def indexed(*colors: tuple[int, int, int]) -> Image.Image:
    """A palette image of one row: each colour once, in order."""
    image = row("P", *range(len(colors)))
    image.putpalette([value for color in colors for value in color])
    return image


def greys(dtype: str, *values: float) -> Image.Image:
    return Image.fromarray(np.array([values], dtype=dtype))


def decoded(data: bytes) -> list[tuple[int, ...]]:
    image = decode_image(data, "x")
    assert image.mode == "RGB"
    return [image.getpixel((x, 0)) for x in range(image.width)]


HALF = 127  # 0 at half cover on white: 255 * (1 - 128 / 255)


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (saved(indexed(RED, BLUE), "PNG", transparency=0), [WHITE, BLUE]),
        (saved(indexed(RED, BLACK), "PNG", transparency=b"\xff\x80"), [RED, (HALF,) * 3]),
        (saved(row("L", 0, 77), "PNG", transparency=0), [WHITE, (77, 77, 77)]),
        (saved(row("RGB", RED, BLUE), "PNG", transparency=RED), [WHITE, BLUE]),
        (
            saved(row("RGBA", (255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 255, 128)), "PNG"),
            [RED, WHITE, (HALF, HALF, 255)],
        ),
        (
            saved(row("LA", (0, 255), (0, 0), (0, 128), (200, 255)), "PNG"),
            [BLACK, WHITE, (HALF,) * 3, (200,) * 3],
        ),
    ],
    ids=["P one", "P alpha", "L one", "RGB one", "RGBA", "LA"],
)
def test_transparency_is_white(data: bytes, pixels: list[tuple[int, int, int]]) -> None:
    assert np.abs(np.subtract(decoded(data), pixels)).max() <= 1


def test_an_8_bit_image_is_decoded_without_loss() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = decode_image(saved(Image.fromarray(pixels), "PNG"), "x")
    assert np.array_equal(np.asarray(image), pixels)


def test_a_16_bit_image_that_is_dark_throughout_stays_dark() -> None:
    assert decoded(saved(greys("uint16", 10, 200), "PNG")) == [BLACK, BLACK]


QUARTERS = {"r": RED, "g": GREEN, "b": BLUE, "w": WHITE}
TILE = 16


def quarters(letters: str) -> Image.Image:
    """An image of four colours: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", (2 * TILE, 2 * TILE))
    for place, letter in enumerate(letters):
        image.paste(QUARTERS[letter], (TILE * (place % 2), TILE * (place // 2)) + (2 * TILE,) * 2)
    return image


@pytest.mark.parametrize(
    ("orientation", "seen"),
    # EXIF says which side of the picture the stored first row and first column are:
    # 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6 right top,
    # 7 right bottom, 8 left bottom. For 6 the first row, r g, runs down the right side.
    [*enumerate(["rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb"], start=1)],
)
def test_exif_orientation_is_applied(orientation: int, seen: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(quarters("rgbw"), "JPEG", exif=exif, quality=95, subsampling=0)
    image = decode_image(data, "x.jpg")
    for place, letter in enumerate(seen):
        x, y = TILE * (place % 2) + TILE // 2, TILE * (place // 2) + TILE // 2
        assert image.getpixel((x, y)) == pytest.approx(QUARTERS[letter], abs=6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_metadata_is_no_matter() -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"  # five entries, none of them whole
    data = saved(Image.new("RGB", (8, 8), RED), "JPEG", exif=broken, quality=95)
    assert broken in data
    assert decode_image(data, "x.jpg").getpixel((4, 4)) == pytest.approx(RED, abs=3)


def test_a_draft_is_a_reduced_jpeg_of_enough_pixels():
    photo = Image.effect_noise((1600, 1200), 60).convert("RGB")
    file = io.BytesIO()
    photo.save(file, "JPEG")
    whole = decode_image(file.getvalue(), "x.jpg")
    for pixels, size in ((10**9, (1600, 1200)), (400 * 300, (400, 300)), (9, (200, 150))):
        draft = decode_image(file.getvalue(), "x.jpg", draft_pixels=pixels)
        assert draft.size == size
    assert decode_image(file.getvalue(), "x.jpg", draft_pixels=500 * 400).size == (800, 600)
    small = whole.resize((400, 300), Image.Resampling.BOX)
    draft = decode_image(file.getvalue(), "x.jpg", draft_pixels=400 * 300)
    assert np.abs(np.asarray(small, int) - np.asarray(draft, int)).mean() < 8


def test_other_formats_have_no_draft():
    file = io.BytesIO()
    Image.new("RGB", (900, 600)).save(file, "PNG")
    assert decode_image(file.getvalue(), "x.png", draft_pixels=100).size == (900, 600)


def noise(side: int) -> Image.Image:
    """Noise, which does not compress, so that a file goes on for long after its header."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def busy(kind: str) -> bytes:
    return saved(noise(64), kind)


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


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_seen_is_named_with_its_reason(name: str) -> None:
    data, reason = WRONG[name]
    with pytest.raises(MediaError, match=rf"^x\.png .*({reason})"):
        decode_image(data, "x.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [11, 15], ids=["Pillow would warn", "Pillow would refuse"])
def test_too_many_pixels_look_like_a_bomb(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns above, refuses above 200
    with pytest.raises(MediaError, match=r"^x\.png has .*pixels"):
        decode_image(saved(noise(side), "PNG"), "x.png", max_pixels=100)


def test_as_many_pixels_as_allowed_are_decoded() -> None:
    assert decode_image(saved(noise(10), "PNG"), "x.png", max_pixels=100).size == (10, 10)


@pytest.mark.parametrize(
    ("size", "small"), [((100, 50), (32, 16)), ((50, 100), (16, 32)), ((20, 10), (20, 10))]
)
def test_a_thumbnail_is_a_jpeg_that_keeps_the_proportions(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    image = Image.new("RGB", size, (200, 30, 30))
    with Image.open(io.BytesIO(thumbnail(image, 32))) as shrunk:
        assert (shrunk.format, shrunk.size) == ("JPEG", small)
        assert shrunk.getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=4)
    assert image.size == size  # the image itself stays as it is
