"""Windows of videos: names such as `clip.mp4@12.0..16.0`, and rows that become a row each.

A name says all: whatever reads `clip.mp4@12.0..16.0` reads the file `clip.mp4`, and shows what is
visible from 12 s to 16 s after its first frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.datasets.parts import Window, is_window, split_window


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
