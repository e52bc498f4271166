"""Windows of videos: names such as `clip.mp4@12.0..16.0`, and rows that become a row each.

A name says all: whatever reads `clip.mp4@12.0..16.0` reads the file `clip.mp4`, and shows what is
visible from 12 s to 16 s after its first frame.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.datasets.parts import SECONDS, split_part

_WINDOW = re.compile(rf"@(?P<start>{SECONDS})\.\.(?P<end>{SECONDS})")


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A part of a video; both ends count from its first frame."""

    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        """Return it as names have it: seconds with a decimal, or as many as it needs."""
        return f"{_text(self.start_ms)}..{_text(self.end_ms)}"


@dataclass(frozen=True, slots=True)
class Windows:
    """How a video is divided."""

    window_ms: int
    stride_ms: int
    """From one start to the next."""

    def of(self, duration_ms: int) -> list[Window]:
        """Return the windows of a video in order of time.

        They begin at 0, one stride, two strides ...; if the last of those that fit does not reach
        the end, one more ends there. A video that is no longer than a window is one.

        Examples
        --------
        >>> [str(window) for window in Windows(4000, 2000).of(9500)]
        ['0.0..4.0', '2.0..6.0', '4.0..8.0', '5.5..9.5']
        >>> [str(window) for window in Windows(4000, 2000).of(2345)]
        ['0.0..2.345']
        """
        last = duration_ms - self.window_ms
        if last <= 0:
            return [Window(0, duration_ms)]
        starts = [*range(0, last, self.stride_ms), last]
        return [Window(start, start + self.window_ms) for start in starts]


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


def window_group(media: Sequence[str]) -> str | None:
    """Return the clip of the first window among media: windows of a clip are one group."""
    return next((clip for clip, window in map(split_window, media) if window is not None), None)


def label_of_row(example: Example, window: Window) -> str | None:
    """Return the label of a window of an example, where that is the example's."""
    del window
    return example.label


def in_windows(
    examples: Sequence[Example],
    windows: Windows,
    duration_ms: Callable[[str], int | None],
    label: Callable[[Example, Window], str | None] = label_of_row,
) -> list[Example]:
    """Return examples of which each with a video is there once for each of its windows.

    Ids get the window, as the name of the video does, and examples without a group get the video as
    group. Examples of the same media stay next to each other, window by window, so that each video
    is decoded once, in order.

    Parameters
    ----------
    examples
        With whole media; those with windows, or without a video, stay as they are.
    windows
        How videos are divided.
    duration_ms
        Name of a medium -> its duration; None if it is no video, or cannot be read.
    label
        Label of each window.

    Raises
    ------
    RowError
        An example has several videos.
    """
    rows: list[Example] = []
    for media, run in groupby(examples, key=lambda example: example.media):
        same = list(run)
        durations = {
            name: ms
            for name in media
            if not is_window(name) and (ms := duration_ms(name)) is not None
        }
        if len(durations) > 1:
            raise RowError(
                f"{same[0].split} example {same[0].id!r} has {len(durations)} videos, and windows"
                " are parts of one; give each row one video, or omit `window`"
            )
        if not durations:
            rows += same
        for clip, ms in durations.items():
            for window in windows.of(ms):
                rows += [
                    replace(
                        e,
                        id=f"{e.id}@{window}",
                        media=tuple(f"{n}@{window}" if n == clip else n for n in media),
                        group=e.group or clip,
                        label=label(e, window),
                    )
                    for e in same
                ]
    first = examples[0].index if examples else 0
    return [
        e if e.index == index else replace(e, index=index) for index, e in enumerate(rows, first)
    ]
