"""Image files as people have them, drawn here: decoded as a person would see them, or refused."""

import gzip
import io
import sys
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
from savs.datasets.media.media import decode_medium
from savs.datasets.media_kinds.decoders import images
from savs.datasets.media_kinds.decoders.images import decode_image, thumbnail
from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.images import IMAGES

EXACT = 0
LOSSY = 12
CYMK_RED, CMYK_WHITE = (0, 255, 255, 0), (0, 0, 0, 0)
TEAL = (10, 120, 130)

TWO = halves(RED, TEAL)
CLEAR = halves((*RED, 255), (*BLUE, 0), "RGBA")
INDEXED = palette(RED, BLUE)
CMYK = halves(CYMK_RED, CMYK_WHITE, "CMYK")
DARK, LIGHT = (0x20,) * 3, (0xE0,) * 3
Color = tuple[int, ...]

SEEN: dict[tuple[Color, Color, int], dict[str, bytes]] = {
    # (colour on the left, on the right, tolerance): files
    (RED, TEAL, EXACT): {
        "BMP": saved(TWO, "BMP"),
        "PNG": saved(TWO, "PNG"),
        "PNG optimised": saved(TWO, "PNG", optimize=True),
        "PNG with 16 bits a channel": png(2, 1, 2, 16, bytes.fromhex("00ffff000000000a0178028203")),
        "PNG animated": frames("PNG", TWO),
        "WebP": saved(TWO, "WEBP", lossless=True),
        "WebP animated": frames("WEBP", TWO, lossless=True),
        "TIFF": saved(TWO, "TIFF"),
        "TIFF packed": saved(TWO, "TIFF", compression="tiff_lzw"),
        "TIFF of two pages": frames("TIFF", TWO),
        "JPEG 2000": saved(TWO, "JPEG2000", irreversible=False),
        "PPM": saved(TWO, "PPM"),
        "ICO": saved(TWO, "ICO", sizes=[(32, 16)]),
        "PCX": saved(TWO, "PCX"),
        "QOI": saved(TWO, "QOI"),
    },
    (RED, TEAL, LOSSY): {
        "WebP lossy": saved(TWO, "WEBP", quality=95),
        "AVIF": saved(TWO, "AVIF", quality=95),
        # Pillow before 13 cannot read uncompressed ones
        "TIFF in YCbCr": saved(TWO.convert("YCbCr"), "TIFF", compression="tiff_lzw"),
        "JPEG": saved(TWO, "JPEG", quality=95),
        "JPEG progressive": saved(TWO, "JPEG", quality=95, progressive=True),
        "MPO of a camera with two lenses": frames("MPO", TWO, quality=95),
    },
    (TEAL, RED, EXACT): {
        "PNG turned by EXIF": saved(TWO, "PNG", exif=exif(3)),
        "WebP turned by EXIF": saved(TWO, "WEBP", lossless=True, exif=exif(2)),
        "TIFF turned by EXIF": saved(TWO, "TIFF", tiffinfo={274: 3}),
    },
    (RED, BLUE, EXACT): {
        "GIF": saved(INDEXED, "GIF"),
        "GIF animated": frames("GIF", INDEXED, duration=50),
        "PPM with 16 bits": ppm16(),
    },
    (TEAL, BLUE, EXACT): {"BMP with a palette": saved(palette(TEAL, BLUE), "BMP")},
    (RED, WHITE, EXACT): {
        "PNG, 16 bits with alpha": png(
            2, 1, 6, 16, bytes.fromhex("00ffff00000000ffff0a01780282030000")
        ),
        "PNG, clear palette": saved(INDEXED, "PNG", transparency=1),
        "GIF, clear": clear_gif(),
        "GIF whose first frame is small": small_first_frame(),
        "WebP with alpha": saved(CLEAR, "WEBP", lossless=True),
        "TIFF in CMYK": saved(CMYK, "TIFF"),
        "TIFF with alpha": saved(CLEAR, "TIFF"),
        "TGA with alpha": saved(CLEAR, "TGA"),
    },
    (RED, WHITE, LOSSY): {"JPEG in CMYK": saved(CMYK, "JPEG", quality=95)},
    (WHITE, BLUE, EXACT): {
        "PNG, wide palette": saved(INDEXED, "PNG", transparency=b"\x00\xff"),
    },
    (BLACK, WHITE, EXACT): {
        "BMP of 1 bit": saved(halves(0, 255, "1"), "BMP"),
        "PNG of 1 bit": saved(halves(0, 255, "1"), "PNG"),
        "PNG with 2 bits a grey": png(4, 1, 0, 2, b"\0\x1b"),  # 0, 1, 2, 3
    },
    (DARK, LIGHT, EXACT): {
        "PNG with 16 bits a grey": saved(grey16(), "PNG"),
        "TIFF with 16 bits": saved(grey16(), "TIFF"),
        "TIFF with 16 bits, big-endian": saved(grey16(big_endian=True), "TIFF"),
        "PGM with 16 bits": pgm16(),
    },
    (WHITE, LIGHT, EXACT): {
        "PNG, 16 bits, clear grey": png(
            2, 1, 0, 16, bytes.fromhex("002000e0ff"), b"tRNS" + bytes.fromhex("2000")
        ),
    },
    (DARK, WHITE, EXACT): {
        "PNG, 16 bits, grey with alpha": png(2, 1, 4, 16, bytes.fromhex("002000ffff20000000")),
    },
    (BLACK, (200,) * 3, LOSSY): {
        "JPEG of greys": saved(halves(0, 200, "L"), "JPEG", quality=95),
    },
}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("data", "seen"),
    [
        pytest.param(data, seen, id=name)
        for seen, files in SEEN.items()
        for name, data in files.items()
    ],
)
def test_a_file_is_decoded_as_a_person_would_see_it(
    data: bytes, seen: tuple[Color, Color, int]
) -> None:
    *colors, tolerance = seen
    image = decode_image(data, "x")
    assert image.mode == "RGB"
    middle = image.height // 2
    pixels = [image.getpixel((x, middle)) for x in (0, image.width - 1)]
    assert np.abs(np.subtract(pixels, colors)).max() <= tolerance, pixels


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "mp4"])
def test_the_name_of_a_file_does_not_matter(suffix: str) -> None:
    drawing = halves(RED, TEAL)
    ImageDraw.Draw(drawing).point((0, 0), GREEN)
    (image,) = decode_medium(saved(drawing, "BMP"), f"x.{suffix}")
    assert [image.getpixel((x, 0)) for x in (0, 1, 31)] == [GREEN, RED, TEAL]


def row(mode: str, *pixels: Any) -> Image.Image:
    """An image of one row; in mode P the pixels are its colours, in order."""
    image = Image.new(mode, (len(pixels), 1))
    if mode == "P":
        image.putpalette([value for color in pixels for value in color])
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), x if mode == "P" else pixel)
    return image


HALF = 127  # 0 at half cover on white: 255 * (1 - 128 / 255)


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (saved(row("P", RED, BLUE), "PNG", transparency=0), [WHITE, BLUE]),
        (saved(row("P", RED, BLACK), "PNG", transparency=b"\xff\x80"), [RED, (HALF,) * 3]),
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
    image = decode_image(data, "x")
    assert image.mode == "RGB"
    assert np.abs(np.subtract(np.asarray(image)[0].astype(int), pixels)).max() <= 1


def test_pixels_keep_their_values() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = decode_image(saved(Image.fromarray(pixels), "PNG"), "x")
    assert np.array_equal(np.asarray(image), pixels)
    dark = Image.fromarray(np.array([[10, 200]], np.uint16))  # of 65,535: it is not stretched
    assert not np.asarray(decode_image(saved(dark, "PNG"), "x")).any()


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
    data = saved(quarters("rgbw"), "JPEG", exif=exif(orientation), quality=95, subsampling=0)
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
    photo = saved(Image.effect_noise((1600, 1200), 60).convert("RGB"), "JPEG")

    def draft(pixels: int | None) -> Image.Image:
        return decode_image(photo, "x.jpg", draft_pixels=pixels)

    sizes = {10**9: (1600, 1200), 500 * 400: (800, 600), 400 * 300: (400, 300), 9: (200, 150)}
    assert {pixels: draft(pixels).size for pixels in sizes} == sizes
    small = draft(None).resize((400, 300), Image.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - np.asarray(draft(400 * 300), int)).mean() < 8
    other = saved(Image.new("RGB", (900, 600)), "PNG")  # no other format has drafts
    assert decode_image(other, "x.png", draft_pixels=100).size == (900, 600)


def noise(side: int) -> Image.Image:
    """Noise, which does not compress, so that a file goes on for long after its header."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def busy(kind: str) -> bytes:
    return saved(noise(64), kind)


def broken_check() -> bytes:
    """A PNG of which one byte of the pixels changed: its checksum says so."""
    data = bytearray(busy("PNG"))
    data[len(data) // 2] ^= 1
    return bytes(data)


UNKNOWN = "is not an image of a known format"
DAMAGED = "cannot be decoded"
WRONG: dict[str, dict[str, bytes]] = {
    # reason: files
    UNKNOWN: {
        "nothing": b"",
        "zeros": b"\0" * 4096,
        "a page of the web": b"<!DOCTYPE html><title>404</title>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "PDF": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
        "a packed PNG": gzip.compress(busy("PNG")),
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    },
    DAMAGED: {
        "half a PNG": busy("PNG")[:5000],
        "a PNG with a changed byte": broken_check(),
        "half a JPEG": busy("JPEG")[:1500],
        "half a GIF": busy("GIF")[:1500],
        "half a BMP": busy("BMP")[:5000],
        "half a JPEG 2000": busy("JPEG2000")[:1500],
        "half a PPM": busy("PPM")[:5000],
    },
    f"{UNKNOWN}|{DAMAGED}": {
        "a PNG signature": b"\x89PNG\r\n\x1a\n",
        "half a WebP": busy("WEBP")[:1000],
        "half an AVIF": busy("AVIF")[:400],
        "half a TIFF": busy("TIFF")[:5000],
        "a PNG without width": png(0, 1, 2, 8, b"\0"),
    },
    "has too many pixels: scale it down, or raise `max_image_pixels`": {
        "a PNG of 2,500 million pixels": png(50_000, 50_000, 0, 8, b"\0"),
    },
    "has 10000 x 10000 pixels, more than 67,108,864: scale it down": {
        "a PNG of 100 million pixels": png(10_000, 10_000, 0, 8, b"\0"),
    },
    "has 65536 x 1 pixels, more than 65,535 on one side: cut it": {
        "a PNG of one long row": png(65_536, 1, 0, 8, b"\0"),
    },
    f"pixels|{UNKNOWN}|{DAMAGED}": {
        "a GIF canvas of 4,000 million": b"GIF89a\xff\xff\xff\xff\0\0\0\x3b",
    },
    "is a PostScript": {"EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n"},
    "save it with 8 or 16 bits": {
        "32 bits a grey": saved(Image.fromarray(np.zeros((2, 2), np.int32)), "TIFF"),
        "fractions": saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"),
    },
}


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(data, reason, id=name)
        for reason, files in WRONG.items()
        for name, data in files.items()
    ],
)
def test_what_cannot_be_seen_is_named_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=rf"^x\.png .*({reason})"):
        decode_image(data, "x.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [11, 15], ids=["Pillow would warn", "Pillow would refuse"])
def test_too_many_pixels_look_like_a_bomb(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns above, refuses above 200
    with pytest.raises(MediaError, match=r"^x\.png has .*pixels"):
        decode_image(saved(noise(side), "PNG"), "x.png", max_pixels=100)


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


def heic(width: int = 40, height: int = 30) -> bytes:
    """A photograph of a phone, on its side as its EXIF says."""
    plugin = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    image = plugin.from_pillow(Image.new("RGB", (width, height), (200, 10, 20)))
    file = io.BytesIO()
    image.save(file, exif=exif.tobytes())
    return file.getvalue()


def test_heic_is_read_where_its_package_is_installed() -> None:
    data = heic()
    image = decode_image(data, "photo.heic")
    assert IMAGES.outline(data, Decoding()).sizes == [image.size] == [(30, 40)]
    assert np.abs(np.asarray(image).astype(int) - (200, 10, 20)).max() < 8
    with pytest.raises(MediaError, match="30 x 40 pixels, more than 1,199: scale it down"):
        decode_image(data, "photo.heic", max_pixels=1199)
    with pytest.raises(MediaError, match=r"photo\.heic (cannot be decoded|is not an image)"):
        decode_image(data[: len(data) // 2], "photo.heic")


def test_heic_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    images._pillow_opens_heic.cache_clear()
    with pytest.raises(MediaError, match=r"needs the package pillow-heif: pip install .*\[heic\]"):
        decode_image(b"\0\0\0\x18ftypheic" + b"\0" * 12, "photo.heic")
    images._pillow_opens_heic.cache_clear()


def test_the_limit_of_pixels_is_that_of_the_rules():
    data = saved(TWO.resize((10, 10)), "PNG")
    with pytest.raises(MediaError, match="x has 10 x 10 pixels, more than 99: scale it down"):
        IMAGES.decode(data, "x", Decoding(max_pixels=99))
    (whole,) = IMAGES.decode(data, "x", Decoding(max_pixels=100))
    assert whole.size == (10, 10)
