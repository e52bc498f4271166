"""Parts of media: a box of an image, or a window of a video, as the end of a name.

`a.jpg#box=[12,30,200,180]` is a part of `a.jpg`, and `clip.mp4@12.0..16.0` of `clip.mp4`. What is
before the end is the file that is read. Digests of media end in the same text, so that two parts of
a file differ wherever media are compared, and what is before it is what they share.
"""

import re

SECONDS = r"[0-9]{1,7}(?:\.[0-9]{1,3})?"
PATTERN = rf"(?s)(?:#box=\[.*\]|@{SECONDS}\.\.{SECONDS})$"
"""The end of a name or digest of a part."""
_PART = re.compile(PATTERN)


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
