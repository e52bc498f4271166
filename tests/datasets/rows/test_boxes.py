"""Boxes in the names of media: which values are pixels, shares or neither, and what is cropped."""

import math
from datetime import date

import pytest
from PIL import Image

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.media import MediaRules, part_sizes
from savs.datasets.parts import whole_name
from savs.datasets.rows.boxes import box_and_crop, box_of, boxed_name
from savs.datasets.rows.media_names import is_packed, packed_column, packed_parts, suffix_of


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([2, 3, 8, 9], "[2,3,8,9]"),
        ([2.0, 3.0, 8.0, 9.0], "[2,3,8,9]"),  # a column of decimals holds pixels, too
        ("[2, 3, 8, 9]", "[2,3,8,9]"),  # a cell of CSV
        ([0.5, 0, 1, 1], "[0.5,0.0,1.0,1.0]"),
        ([0.0, 0.0, 1.0, 1.0], "[0.0,0.0,1.0,1.0]"),
        ([0, 0, 1, 1], "[0,0,1,1]"),
    ],
)
def test_equal_boxes_have_equal_names(value, name) -> None:
    assert boxed_name("a.jpg", value) == f"a.jpg#box={name}"
    assert box_of(f"a.jpg#box={name}") == f"#box={name}"


@pytest.mark.parametrize(
    ("value", "box", "crop"),
    [
        # 20 x 40 px with 2 and 4 around it
        ([10, 10, 30, 50], (10, 10, 30, 50), (8, 6, 32, 54)),
        # 0.1 of 100 is 10, 0.2 of 60 is 12
        ([0.1, 0.2, 0.3, 0.5], (10, 12, 30, 30), (8, 10, 32, 32)),
        # the margin ends where the image does, and a pixel outside is cut off
        ([-1, 0, 40, 61], (0, 0, 40, 60), (0, 0, 44, 60)),
        # shares that rounding put outside
        ([0.5, 0.5, 1.0000002, 1], (50, 30, 100, 60), (45, 27, 100, 60)),
        # a tenth of 4 px is no pixel, of 5 px one: halves are rounded up
        ([10, 10, 14, 15], (10, 10, 14, 15), (10, 9, 14, 16)),
    ],
)
def test_a_box_and_what_is_cropped_of_100_by_60_pixels(value, box, crop) -> None:
    assert box_and_crop(boxed_name("a.jpg", value), (100, 60), margin=10) == (box, crop)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0, 0, 1, 1], r"the box \[0,0,1,1\] may be pixels or shares; write shares with a decimal"),
        ([0, 0, 0, 0], "may be pixels or shares"),
        ([10, 10, 10, 50], r"\[10,10,10,50\] is empty; x1 and y1 must be larger"),
        ([10, 50, 30, 20], "is empty"),
        ([0.1, 0.1, 0.101, 0.5], "is empty"),  # less than half a pixel
        ([0, 0, 102, 60], r"\[0,0,102,60\] is outside the image, 100 x 60 px as shown"),
        ([0, 0, 100, 62], "is outside the image"),
        ([-2, 0, 50, 60], "is outside the image"),
        ([100, 0, 101, 50], "is outside the image"),  # no pixel of it is inside
        ([0, 60, 50, 61], "is outside the image"),
        ([-0.1, 0, 0.5, 0.5], "is outside the image: shares are from 0 to 1"),
        ([0.5, 0.5, 1.5, 0.9], "has decimals above 1; give whole pixels, or shares"),
        ([12.5, 3.0, 40.0, 50.0], "has decimals above 1"),
        ([math.nan, 0.1, 0.5, 0.5], r"\[NaN,0.1,0.5,0.5\] has a value that is no finite number"),
        ([1, 2, math.inf, 4], "no finite number"),
        ([1, 2, 3], r"the box is \[1,2,3\], expected four numbers \[x0, y0, x1, y1\]"),
        ([True, 0, 5, 5], "expected four numbers"),
        ([10**400, 0, 5, 5], "expected four numbers"),
        (["a", 1, 2, 3], "expected four numbers"),
        (["a", 0.5, 2, 3], "expected four numbers"),
        ({"x": 1}, "expected four numbers"),
        (date(2024, 5, 1), r'the box is \["2024-05-01"\], expected four numbers'),
        ("12,3,40,50", r'the box is \["12,3,40,50"\], expected four numbers'),
        ("[" * 9999, "expected four numbers"),
        (None, r"the box is \[null\], expected four numbers"),
        ("", "expected four numbers"),
    ],
)
def test_a_wrong_box_is_named_with_its_reason(value, message) -> None:
    name = boxed_name("a.jpg", value)
    assert whole_name(name) == "a.jpg"
    with pytest.raises(ValueError, match=message):
        box_and_crop(name, (100, 60), margin=10)
    assert part_sizes([(100, 60)], name, 10) == [(0, 0)]


def test_names_are_known_as_without_a_box() -> None:
    assert suffix_of("a.JPG#box=[0.5,0.5,1.0,1.0]") == ".jpg"
    for address in ("http://x/a.JPG", "http://x/a.jpg?w=5", "http://x/a.jpg#top", "x/a#b.jpg"):
        assert suffix_of(address) == ".jpg"
    packed = "v.parquet#3/image#box=[1,2,3,4]"
    assert is_packed(packed)
    assert packed_parts(packed) == ("v.parquet", "3", "image")
    assert packed_column(packed) == "v.parquet#image"


@pytest.fixture
def photo(tmp_path) -> MediaFolder:
    """Return a folder with `a.png`, 6 x 4 px as it is seen, and lying on its side in the file.

    The red of a pixel is ten times its column, the green ten times its row.
    """
    seen = Image.new("RGB", (6, 4))
    for x in range(6):
        for y in range(4):
            seen.putpixel((x, y), (10 * x, 10 * y, 0))
    turned = Image.Exif()
    turned[0x0112] = 6  # a viewer turns it by 90 degrees clockwise
    seen.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=turned)
    return MediaFolder(tmp_path, rules=MediaRules(box_margin=50))


def pixels(image: Image.Image) -> list[list[tuple[int, int]]]:
    return [
        [image.getpixel((x, y))[:2] for x in range(image.width)]  # type: ignore[index]
        for y in range(image.height)
    ]


def test_a_box_is_of_the_picture_as_it_is_seen(photo) -> None:
    (whole,) = photo.decode("a.png")
    assert whole.size == (6, 4)
    # columns 3 and 4 of rows 1 and 2, and half of 2 px around them: 2 .. 5, and 0 .. 3
    (part,) = photo.decode("a.png#box=[3,1,5,3]")
    assert pixels(part) == [[(10 * x, 10 * y) for x in range(2, 6)] for y in range(4)]
    # the left half in shares, 3 x 4 px, with 2 px on the right (1.5 rounded up)
    (half,) = photo.decode("a.png#box=[0.0,0.0,0.5,1.0]")
    assert pixels(half) == [[(10 * x, 10 * y) for x in range(5)] for y in range(4)]
    assert photo.read("a.png#box=[3,1,5,3]") == photo.read("a.png")
    assert photo.has("a.png#box=[9]")
    assert not photo.has("b.png#box=[3,1,5,3]")


def test_its_outline_is_drawn_for_a_person_on_the_first_and_last_pixels_of_the_box(photo) -> None:
    folder = MediaFolder(photo.root, rules=MediaRules(box_margin=50, outlines=True))
    (part,) = folder.decode("a.png#box=[3,1,5,3]")
    inside = {(x, y) for x in (1, 2) for y in (1, 2)}  # all of its 2 x 2 px are at its border
    drawn = {(x, y) for x in range(4) for y in range(4) if part.getpixel((x, y)) == (255, 0, 144)}
    assert drawn == inside


def test_what_is_no_image_has_no_box(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    folder = MediaFolder(tmp_path)
    with pytest.raises(MediaError, match=r"a.png is not an image of a known format"):
        folder.decode("a.png#box=[3,1,5,3]")


def test_a_box_of_an_image_with_too_many_pixels_is_refused_and_of_an_allowed_one_shown(
    photo,
) -> None:
    strict = MediaFolder(photo.root, rules=MediaRules(max_pixels=23))
    with pytest.raises(MediaError, match=r"a.png has 4 x 6 pixels, more than 23"):
        strict.decode("a.png#box=[3,1,5,3]")
    (part,) = MediaFolder(photo.root, rules=MediaRules(max_pixels=24)).decode("a.png#box=[3,1,5,3]")
    assert part.size == (2, 2)


def test_the_outline_of_a_large_part_is_as_wide_as_it_can_be_seen(tmp_path) -> None:
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")
    folder = MediaFolder(tmp_path, rules=MediaRules(box_margin=0, outlines=True))
    (part,) = folder.decode("a.png#box=[20,20,380,280]")
    row = [part.getpixel((x, 130)) == (255, 0, 144) for x in range(part.width)]
    assert (part.size, sum(row), sum(row[:20])) == ((360, 260), 8, 4)  # 360 / 90 on either side
