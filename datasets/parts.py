"""Parts of media: a box of an image, or a window of a video, as the end of a name.

`a.jpg#box=[12,30,200,180]` is a part of `a.jpg`, and `clip.mp4@12.0..16.0` of `clip.mp4`. What is
before the end is the file that is read. Digests of media end in the same text, so that two parts of
a file differ wherever media are compared, and what is before it is what they share.
"""

import re
from dataclasses import dataclass

SECONDS = r"[0-9]{1,7}(?:\.[0-9]{1,3})?"
PATTERN = rf"(?s)(?:#box=\[.*\]|@{SECONDS}\.\.{SECONDS})$"
"""The end of a name or digest of a part."""
_PART = re.compile(PATTERN)
_WINDOW = re.compile(rf"@(?P<start>{SECONDS})\.\.(?P<end>{SECONDS})")


def split_part(name: str) -> tuple[str, str]:
    """Return the name of a whole medium, and the end that a part has; empty of a whole one.

    Examples
    --------
    >>> split_part("a.jpg#box=[12,30,200,180]")
    ('a.jpg', '#box=[12,30,200,180]')
    >>> split_part("clip.mp4@12.0..16.0"), split_part("me@home.jpg")
    (('clip.mp4', '@12.0..16.0'), ('me@home.jpg', ''))
    """
    match = _PART.search(name) if name[-1:] == "]" or name[-1:].isdigit() else None
    if match is None or not match.start():
        return name, ""
    return name[: match.start()], match.group()


def whole_name(name: str) -> str:
    """Return the name of the whole medium that a name is of, or is a part of."""
    return split_part(name)[0]


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A part of a video; both ends count from its first frame."""

    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        """Return it as names have it: seconds with a decimal, or as many as it needs."""
        return f"{_text(self.start_ms)}..{_text(self.end_ms)}"


def _text(ms: int) -> str:
    decimals = f"{ms % 1000:03}".rstrip("0") or "0"
    return f"{ms // 1000}.{decimals}"


def split_window(name: str) -> tuple[str, Window | None]:
    """Return the clip and the window that a medium's name has; None for a whole medium.

    Examples
    --------
    >>> split_window("clip.mp4@12.0..16.5")
    ('clip.mp4', Window(start_ms=12000, end_ms=16500))
    >>> split_window("me@home.jpg")
    ('me@home.jpg', None)
    """
    clip, part = split_part(name)
    match = _WINDOW.fullmatch(part)
    if match is None:
        return name, None
    start, end = (round(1000 * float(match[side])) for side in ("start", "end"))
    return clip, Window(start, end)


def is_window(name: str) -> bool:
    """Return whether a medium's name has a window."""
    return split_window(name)[1] is not None
