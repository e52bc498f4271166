"""`Timeline`: the predictions of a video's windows over its time, with a strip of its frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from savs.datasets import MediaFolder
from savs.datasets.parts import PATTERN, Window, split_window
from savs.pipeline.reports.pages.charts import TONES, Chart, Value, draw_lines, nice_ticks
from savs.pipeline.reports.pages.pictures import Images, KnownImages, Picture
from savs.pipeline.targets.target import best_votes

MOST_CLIPS = 24
"""Most videos that have a timeline, the first ones."""
MOST_POINTS = 400
"""Most windows of a line: of more, every n-th."""
FRAMES = 6
"""Frames of a strip."""
FRAME_PX = 120
"""Largest width and height of one."""
STRIP_BYTES = 3_000_000
"""Bytes of all frames of a page; in base64 a third more."""
NEAREST = 0.08
"""Share of the time axis that its last two numbers are apart, at least."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The middle of a window."""

    time_s: float
    prediction: str
    picture: Picture


@dataclass(frozen=True, slots=True)
class Timeline:
    """What was predicted of a video, or of one subtask of it."""

    chart: Chart
    """A line a class, with a point at the middle of each window; of numbers one line."""
    frames: tuple[Frame, ...]
    """Evenly spaced in time."""
    windows: int
    every: int
    """Every n-th window is a point of the lines."""


Rows = Sequence[Mapping[str, Any]]


def find_clips(rows: pl.DataFrame) -> dict[tuple[str, str | None], list[int]]:
    """Return video and subtask -> the numbers of its predicted windows, in order of time.

    `rows` are predictions with `row`, `subtask` and `medium`, the first one of each. A video with
    one window alone is left out. Videos are in the order of their first rows.
    """
    clips: dict[tuple[str, str | None], list[tuple[Window, int]]] = {}
    named = rows.filter(pl.col("medium").str.contains(PATTERN))
    for row, subtask, medium in named.select("row", "subtask", "medium").iter_rows():
        clip, window = split_window(medium)
        if window is not None:
            clips.setdefault((clip, subtask), []).append((window, row))
    return {
        clip: [row for _, row in sorted(windows)]
        for clip, windows in clips.items()
        if len(windows) > 1
    }


def draw_timeline(
    name: str,
    rows: Rows,
    images: Images,
    *,
    temperature: float | None,
    classes: Sequence[str] | None,
) -> Timeline:
    """Return the timeline of a video from its predictions in order of time.

    Of `classes` the votes are drawn, or probabilities, see `best_votes`; None stands for numbers.
    """
    every = -(-len(rows) // MOST_POINTS)
    windows = [_window(row) for row in rows]
    end_s = max(window.end_ms for window in windows) / 1000
    drawn = list(zip(windows, rows, strict=True))[::every]
    if classes is None:
        texts = [(window, row["prediction"]) for window, row in drawn]
        lines = {"": [_value(window, float(text), text) for window, text in texts]}
    else:
        lines = _class_lines(drawn, classes, temperature)
    ticks = [tick for tick in nice_ticks([0, end_s]) if tick < (1 - NEAREST) * end_s]
    chart = draw_lines(
        name,
        "seconds",
        [(tick, f"{tick:g}") for tick in (*ticks, end_s)],
        lines,
        scale=() if classes is None else (0, 1),
        are_shares=classes is not None,
    )
    middles = [*map(_middle_s, windows)]
    wanted = [(2 * part + 1) * end_s / (2 * FRAMES) for part in range(FRAMES)]
    picked = [min(range(len(rows)), key=lambda n: abs(middles[n] - time)) for time in wanted]
    return Timeline(
        chart=chart,
        frames=tuple(_frame(rows[n], images) for n in dict.fromkeys(picked)),
        windows=len(rows),
        every=every,
    )


def strip_images(folders: Mapping[str, MediaFolder], known: KnownImages) -> Images:
    """Return the finder of strips' frames: of each window the middle one."""
    of_middles: dict[int, MediaFolder] = {}
    for folder in folders.values():
        if id(folder) not in of_middles:
            of_middles[id(folder)] = replace(folder, rules=replace(folder.rules, video_frames=1))
    media = {name: of_middles[id(folder)] for name, folder in folders.items()}
    return Images(media, known, FRAME_PX, left=STRIP_BYTES)


def _window(row: Mapping[str, Any]) -> Window:
    window = split_window(row["media"][0])[1]
    assert window is not None
    return window


def _middle_s(window: Window) -> float:
    return (window.start_ms + window.end_ms) / 2000


def _value(window: Window, share: float, text: str) -> Value:
    return Value(_middle_s(window), share, None, None, f"{window} s: {text}")


def _class_lines(
    drawn: Sequence[tuple[Window, Mapping[str, Any]]],
    classes: Sequence[str],
    temperature: float | None,
) -> dict[str, list[Value]]:
    """Return a line for each of the first classes, as many as can be told apart."""
    lines: dict[str, list[Value]] = {name: [] for name in classes[: len(TONES)]}
    for window, row in drawn:
        votes = best_votes(row["votes"] or [], row["probability"], temperature)
        shares = {vote.name: vote for vote in votes}
        for name, values in lines.items():
            vote = shares.get(name)
            text = f"{name} {vote.text if vote else 0}"
            values.append(_value(window, vote.share if vote else 0.0, text))
    return lines


def _frame(row: Mapping[str, Any], images: Images) -> Frame:
    picture = images.find(row["id"], row["media"][:1])[0]
    return Frame(_middle_s(_window(row)), row["prediction"], picture)
