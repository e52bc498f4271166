"""What benchmarks of events in videos share: labels of windows, and frame-level metrics.

A row has the frames of its events in `extra`, see `EVENTS`; a training row has none, and its label
is that of all its windows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import polars as pl

from savs.datasets.example import Example
from savs.datasets.metrics.frames import EVENTS, FRAME_METRICS, frame_metrics
from savs.datasets.metrics.metrics import SCORED, Classes, Units, accuracy, balanced_accuracy
from savs.datasets.parts import Window
from savs.datasets.row import Row

YES, NO = "Yes", "No"
READ = (*SCORED, "votes", "media", "extra")
"""Columns of predictions that `measure` gets."""
METRICS = (*FRAME_METRICS, "balanced accuracy", "accuracy")
UNDIVIDED = "frame-level metrics need windows: extract with `window`, such as 4 s"


def yes_no_prompt(question: str) -> str:
    """Return the prompt of a question."""
    return f"{question} Please answer with Yes or No."


def merge_events(events: Iterable[tuple[int, int]]) -> list[int]:
    """Return the frames of `EVENTS`: starts and ends of events in order, those that touch as one.

    >>> merge_events([(9, 12), (2, 5), (4, 9)])
    [2, 12]
    """
    merged: list[int] = []
    for start, end in sorted(events):
        if merged and start <= merged[-1]:
            merged[-1] = max(merged[-1], end)
        else:
            merged += [start, end]
    return merged


def label_window(example: Example, window: Window, *, rate: float) -> str | None:
    """Return whether events last for half of a window or longer; without frames the row's label."""
    frames = example.extra.get(EVENTS)
    if frames is None or example.label is None:
        return example.label
    start, end = (ms * rate / 1000 for ms in (window.start_ms, window.end_ms))
    shared = sum(
        max(0.0, min(last, end) - max(first, start))
        for first, last in zip(frames[::2], frames[1::2], strict=True)
    )
    return YES if 2 * shared >= end - start else NO


def measure(
    predictions: pl.DataFrame, classes: Classes, *, rate: float, headline: str
) -> list[Units]:
    """Frame-level metrics, the headline first; balanced accuracy and accuracy of windows."""
    of_frames = frame_metrics(predictions, YES, rate)
    notes = () if of_frames else (UNDIVIDED,)
    return [
        *sorted(of_frames, key=lambda units: units.name != headline),
        balanced_accuracy(predictions, classes),
        replace(accuracy(predictions, classes), notes=notes),
    ]


def check_rows(rows: Sequence[Row], split: str, *, remedy: str) -> None:
    """Check the frames of events, which each test video has; RowError that says what to do."""
    for row in rows:
        frames = row.values.get(EVENTS)
        if frames is None:
            if split == "test":
                raise row.error("the video has no frames of its events", remedy)
            continue
        is_list = isinstance(frames, list) and all(type(frame) is int for frame in frames)
        if (
            not is_list
            or len(frames) % 2
            or frames != sorted({*frames})
            or min(frames, default=0) < 0
        ):
            raise row.error(
                f"field {EVENTS!r} is {frames!r}",
                "expected the first frame, and one after the last, of each event in order",
            )
