"""Boxes: the part of an image that a row is about, written into the name of its medium.

`a.jpg#box=[12,30,200,180]` is the part of `a.jpg` from pixel 12 to 200 of its width, and from 30 to
180 of its height, as a viewer shows it.
"""

import json
import math
from contextlib import suppress
from typing import Any

from savs.datasets.parts import split_part

MARGIN = 10
"""Per cent of a box's width and height that are cropped around it on each side, by default."""
MARK = "#box="
"""What stands between the name of an image and a box."""
SHARE_SLACK = 1e-3
"""How far shares may lie outside 0 .. 1 by rounding."""
LONGEST = 200
"""Characters of a value in a name; a box has fewer."""
Region = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are the first ones outside."""


def boxed_name(image: str, value: Any) -> str:
    """Return the name of the part of an image in the box of a row, also if that is wrong.

    The value is a list, or its text. Equal boxes have equal names: pixels lose a decimal point, and
    shares get one.

    Examples
    --------
    >>> boxed_name("a.jpg", [12.0, 30.0, 200.0, 180.0])
    'a.jpg#box=[12,30,200,180]'
    >>> boxed_name("a.jpg", "[0, 0.5, 1, 1]")
    'a.jpg#box=[0.0,0.5,1.0,1.0]'
    """
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    items: list[Any] = value if isinstance(value, list) else [value]
    if any(isinstance(item, float) for item in items) and all(map(_is_number, items)):
        is_whole = all(math.isfinite(item) and item == int(item) for item in items)
        items = [(int if is_whole and max(items) > 1 else float)(item) for item in items]
    text = json.dumps(items, separators=(",", ":"), default=str)
    return f"{image}{MARK}{text if len(text) <= LONGEST else f'{text[:LONGEST]}...]'}"


def box_of(name: str) -> str:
    """Return the `#box=...` that a name ends with; an empty text of another one."""
    part = split_part(name)[1]
    return part if part.startswith(MARK) else ""


def box_and_crop(name: str, size: tuple[int, int], margin: int) -> tuple[Region, Region]:
    """Return the box in a name, of an image of a size, and the box with its margin.

    The margin is some per cent of the box's size on each side, as far as the image goes. Shares are
    rounded to pixels, and a pixel outside the image is cut off.

    Raises
    ------
    ValueError
        The box has not four finite numbers, may be pixels or shares, is empty or outside.

    Examples
    --------
    >>> box_and_crop("a.jpg#box=[10,10,30,50]", (100, 52), margin=10)
    ((10, 10, 30, 50), (8, 6, 32, 52))
    >>> box_and_crop("a.jpg#box=[0.25,0.5,1.0,1.0]", (8, 4), margin=0)
    ((2, 2, 8, 4), (2, 2, 8, 4))
    """
    width, height = size
    text = box_of(name).removeprefix(MARK)
    left, top, right, bottom = _pixels(text, width, height)
    if right <= left or bottom <= top:
        raise ValueError(f"the box {text} is empty; x1 and y1 must be larger than x0 and y0")
    is_near = min(left, top) >= -1 and right <= width + 1 and bottom <= height + 1
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if not is_near or right <= left or bottom <= top:
        raise ValueError(f"the box {text} is outside the image, {width} x {height} px as shown")
    x, y = ((side * margin + 50) // 100 for side in (right - left, bottom - top))
    crop = max(left - x, 0), max(top - y, 0), min(right + x, width), min(bottom + y, height)
    return (left, top, right, bottom), crop


def _pixels(text: str, width: int, height: int) -> Region:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != 4 or not all(map(_is_number, values)):
        raise ValueError(f"the box is {text}, expected four numbers [x0, y0, x1, y1]")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"the box {text} has a value that is no finite number")
    if all(isinstance(value, int) for value in values):
        if min(values) >= 0 and max(values) <= 1:
            raise ValueError(
                f"the box {text} may be pixels or shares; write shares with a decimal point: 1.0"
            )
        left, top, right, bottom = values
        return left, top, right, bottom
    if max(values) > 1 + SHARE_SLACK:
        raise ValueError(
            f"the box {text} has decimals above 1; give whole pixels, or shares from 0 to 1"
        )
    if min(values) < -SHARE_SLACK:
        raise ValueError(f"the box {text} is outside the image: shares are from 0 to 1")
    shares = (min(max(value, 0), 1) for value in values)
    sides = (width, height, width, height)
    left, top, right, bottom = (
        math.floor(share * side + 0.5) for share, side in zip(shares, sides, strict=True)
    )
    return left, top, right, bottom


def _is_number(value: Any) -> bool:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, float) or (is_int and abs(value) < 2**31)
