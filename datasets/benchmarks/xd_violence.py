"""`xd-violence`: violence in films and web videos, and when it happens.

Source: Wu et al., Not only Look, but also Listen, arXiv 2007.04687. Videos have 24 frames a second,
and the end of an event is excluded, as in the authors' code. The question is not theirs: their
model takes none.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.events import (
    METRICS,
    NO,
    READ,
    YES,
    check_rows,
    label_window,
    measure,
    merge_events,
    yes_no_prompt,
)
from savs.datasets.errors import RowError, SourceError
from savs.datasets.metrics.frames import EVENTS, FRAME_METRICS
from savs.datasets.row import Row

RATE = 24
QUESTION = yes_no_prompt("Does this video show violence?")
ANNOTATIONS = "annotations.txt"
_LINE = re.compile(r"(?P<video>.*?\S)(?P<frames>(?:\s+\d+)*)\s*", re.ASCII)
_CODE = re.compile(r".*_label_(?P<code>A|(?:B[12456]|G)(?:-(?:B[12456]|G|0)){0,2})", re.ASCII)
NORMAL = "A"
KINDS = {
    "B1": "fighting",
    "B2": "shooting",
    "B4": "riot",
    "B5": "abuse",
    "B6": "car accident",
    "G": "explosion",
}
"""Code in a video's name -> what it shows."""


def read_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a list of videos, or of the file of annotations.

    Frames of a list come from the annotations next to it, if they are there. Normal videos, which
    are not annotated, have no event. RowError of a line with an odd number of frames.
    """
    annotated, events = path.with_name(ANNOTATIONS), dict[str, list[int]]()
    if path.name != ANNOTATIONS and annotated.is_file():
        try:
            lines = _lines(annotated, annotated.read_text("utf-8-sig"))
            events = {_stem(video): frames for _, video, frames in lines}
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{annotated} cannot be read: {error}; correct it") from error
    for where, video, frames in _lines(path, text):
        known = frames or events.get(_stem(video)) or ([] if _code(video) == NORMAL else None)
        yield where, {"video": video} | ({} if known is None else {EVENTS: known})


def _lines(path: Path, text: str) -> Iterator[tuple[str, str, list[int]]]:
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        frames, where = [*map(int, match["frames"].split())], f"{path} line {number}"
        pairs = [*zip(frames[::2], frames[1::2], strict=False)]
        if len(frames) % 2 or any(start >= end for start, end in pairs):
            raise RowError(
                f"{where} has the frames{match['frames']}, expected a start and a later end for"
                " each event; correct it"
            )
        yield where, match["video"], merge_events(pairs)


def _stem(video: str) -> str:
    return video.replace("\\", "/").rpartition("/")[2].removesuffix(".mp4")


def _code(video: str) -> str | None:
    match = _CODE.fullmatch(_stem(video))
    return None if match is None else match["code"]


def parse_row(row: Row) -> Iterator[Fields]:
    """Read a video; its name says what it shows."""
    video = row.text("video")
    code = _code(video)
    if code is None:
        raise row.error(f"the video is called {video!r}", "expected NAME_label_A or _label_B1-0-0")
    first = code.partition("-")[0]
    yield Fields(
        id=_stem(video),
        label=NO if code == NORMAL else YES,
        prompt=QUESTION,
        media=(f"{video.removesuffix('.mp4')}.mp4",),
        category=KINDS.get(first, "normal"),
    )


XD_VIOLENCE = Benchmark(
    name="xd-violence",
    summary="does the video show violence? measured by frames",
    columns={
        "video": "NAME_label_CODE, with or without .mp4; CODE is A of normal videos; the id",
    },
    parse_row=parse_row,
    measure=partial(measure, rate=RATE, headline=FRAME_METRICS[1]),
    check_rows=partial(check_rows, remedy=f"put {ANNOTATIONS} next to the list, or correct it"),
    label_window=partial(label_window, rate=RATE),
    read_table=read_lines,
    reads=READ,
    about=About(
        task="violence in films and web videos; only the videos of training are labelled",
        metrics=(METRICS[1], METRICS[0], *METRICS[2:]),
        sizes="train 3,954 videos, test 800 (500 with violence)",
        source="Wu et al., arXiv 2007.04687; roc-ng.github.io/XD-Violence",
        licence="not stated",
        files="--train train.txt --test test.txt --window 4s --media-root VIDEOS: lists of the"
        f" videos' names, a line each, with {ANNOTATIONS} next to test.txt",
        sample={
            "video": "Salt.2010__#00-02-10_00-03-57_label_G-0-0",
            EVENTS: [120, 480],
        },
    ),
)
