"""Images that a program has show what their files show."""

import io

import numpy as np
import pytest
from input_folder import exif, saved
from PIL import Image

from savs.datasets import MediaError
from savs.datasets.media.in_memory import file_bytes
from savs.datasets.media_kinds.decoders.images import decode_image

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 255, (6, 9, 3), dtype=np.uint8)


def decoded(value) -> np.ndarray:
    return np.asarray(decode_image(file_bytes(value, "one"), "one"))


FILES = {
    "colour": saved(Image.fromarray(COLOUR), "PNG"),
    "jpeg": saved(Image.fromarray(COLOUR), "JPEG"),
    "turned": saved(Image.fromarray(COLOUR), "JPEG", exif=exif(6)),
    "clear": saved(Image.fromarray(np.dstack([COLOUR, COLOUR[..., 0]])), "PNG"),
    "palette": saved(Image.fromarray(COLOUR).quantize(8), "GIF", transparency=0),
    "grey": saved(Image.fromarray(COLOUR[..., 0]), "PNG"),
    "deep": saved(Image.fromarray(COLOUR[..., 0].astype(np.uint16) << 8), "PNG"),
    "print": saved(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_pil_image_shows_what_its_file_shows(data, tmp_path) -> None:
    expected = np.asarray(decode_image(data, "one"))
    (tmp_path / "one.bin").write_bytes(data)
    opened = Image.open(io.BytesIO(data))
    for value in (data, tmp_path / "one.bin", str(tmp_path / "one.bin"), opened):
        np.testing.assert_array_equal(decoded(value), expected)


def test_a_box_is_that_part_of_the_file(tmp_path) -> None:
    (tmp_path / "one.png").write_bytes(FILES["colour"])
    part = decoded(f"{tmp_path / 'one.png'}#box=[2,1,8,5]")
    np.testing.assert_array_equal(part, COLOUR[1:5, 1:9])  # a tenth of 6 px is one, of 4 px none


def test_an_array_is_its_pixels() -> None:
    np.testing.assert_array_equal(decoded(COLOUR), COLOUR)
    grey = COLOUR[..., 0]
    np.testing.assert_array_equal(decoded(grey), np.dstack([grey] * 3))
    opaque = np.dstack([COLOUR, np.full((6, 9), 255, np.uint8)])
    np.testing.assert_array_equal(decoded(opaque), COLOUR)
    clear = np.dstack([COLOUR, COLOUR[..., 0] // 128 * 255])
    multiplied = Image.fromarray(clear).convert("RGBa")  # a mode that no PNG has
    np.testing.assert_array_equal(decoded(multiplied), decoded(clear))
    assert (decoded(clear)[clear[..., 3] == 0] == 255).all()


WRONG = {
    "floats": (COLOUR / 255, r"array of float64 \(6, 9, 3\), expected uint8 from 0 to 255"),
    "channels first": (COLOUR.transpose(2, 0, 1), r"\(3, 6, 9\), expected uint8"),
    "one channel": (COLOUR[..., :1], r"\(6, 9, 1\), expected uint8"),
    "two channels": (COLOUR[..., :2], r"\(6, 9, 2\), expected uint8"),
    "empty": (COLOUR[:0], "expected uint8"),
    "no bytes": (b"", "is empty"),
    "no file": ("none.jpg", "none.jpg is not in"),
    "address": ("https://host/a.jpg", "is the URL https://host/a.jpg; download it"),
    "window": ("v.mp4@1.0..2.0", r"is v.mp4@1.0..2.0, a window of a video, which `savs.classify`"),
    "vector": (COLOUR[0, 0], r"\(3,\), expected uint8"),
    "other": (3, "one is a int, expected a path, bytes, a PIL image, a uint8 array"),
    "32 bits": (Image.fromarray(COLOUR[..., 0].astype(np.float32)), "32-bit pixels"),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_image_is_named(value, message, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match=message):
        file_bytes(value, "one")
