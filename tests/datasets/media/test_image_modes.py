from typing import Any

import numpy as np
import pytest
from input_folder import BLACK, BLUE, GREEN, RED, WHITE, saved
from PIL import Image

from savs.datasets import MediaError
from savs.datasets.media.images import decode_image


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
        (saved(row("RGB", RED, (1, 2, 3)), "PNG"), [RED, (1, 2, 3)]),
        (saved(row("L", 0, 77, 255), "PNG"), [BLACK, (77, 77, 77), WHITE]),
        (saved(row("1", 0, 255), "PNG"), [BLACK, WHITE]),
        (saved(indexed(RED, BLUE), "PNG"), [RED, BLUE]),
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
        (
            saved(row("CMYK", (0, 255, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)), "TIFF"),
            [RED, BLACK, WHITE],
        ),
    ],
    ids=["RGB", "L", "1", "P", "P one", "P alpha", "L one", "RGB one", "RGBA", "LA", "CMYK"],
)
def test_colours_are_those_that_a_person_would_see(
    data: bytes, pixels: list[tuple[int, int, int]]
) -> None:
    assert np.abs(np.subtract(decoded(data), pixels)).max() <= 1


def test_an_8_bit_image_is_decoded_without_loss() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = decode_image(saved(Image.fromarray(pixels), "PNG"), "x")
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    "kind",
    ["PNG", "TIFF"],
)
def test_16_bit_greys_keep_their_lightness(kind: str) -> None:
    # 0x8080 is mid grey; clipped it would be white, and its lower byte alone is 0x80 by chance
    data = saved(greys("uint16", 0, 0x4000, 0x8080, 0xC000, 0xFFFF), kind)
    assert [g for g, _, _ in decoded(data)] == pytest.approx([0, 0x40, 0x80, 0xC0, 0xFF], abs=1)


def test_a_16_bit_image_that_is_dark_throughout_stays_dark() -> None:
    assert decoded(saved(greys("uint16", 10, 200), "PNG")) == [BLACK, BLACK]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_32_bit_pixels_have_no_fixed_white(dtype: str) -> None:
    with pytest.raises(MediaError, match="save it with 8 or 16 bits"):
        decoded(saved(greys(dtype, 0, 64), "TIFF"))


def test_postscript_is_not_run() -> None:
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(MediaError, match="is a PostScript program"):
        decode_image(program, "x.png")


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


def test_a_turned_image_swaps_width_and_height() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert decode_image(data, "x.jpg").size == (20, 40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_metadata_is_no_matter() -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"  # five entries, none of them whole
    data = saved(Image.new("RGB", (8, 8), RED), "JPEG", exif=broken, quality=95)
    assert broken in data
    assert decode_image(data, "x.jpg").getpixel((4, 4)) == pytest.approx(RED, abs=3)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE, GREEN)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert decode_image(data, "x.gif").getpixel((4, 4)) == RED
