"""`ucf-crime`: anomalies in surveillance videos, and when they happen.

Source: Sultani et al., Real-world Anomaly Detection in Surveillance Videos, arXiv 1801.04264. As in
the authors' code, videos have 30 frames a second, and the frames of an event are counted from 1,
both ends included. The question is not theirs: their model takes none.
"""

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
from savs.datasets.errors import RowError
from savs.datasets.metrics.frames import EVENTS, FRAME_METRICS
from savs.datasets.row import Row

RATE = 30
QUESTION = yes_no_prompt(
    "Does this surveillance video show a crime, an accident or another anomaly?"
)
NORMAL = "Normal"
TESTED = "Testing_Normal_Videos_Anomaly"
"""Folder of the normal test videos, whose names come without one in the file of annotations."""
ANNOTATIONS = "Temporal_Anomaly_Annotation_for_Testing_Videos.txt"


def read_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a list of videos, or of the file of annotations.

    RowError of a line with neither one value nor six, or frames that are no pair of numbers.
    """
    for number, line in enumerate(text.splitlines(), 1):
        where, values = f"{path} line {number}", line.split()
        if len(values) == 1:
            yield where, {"video": values[0]}
        elif len(values) == 6:
            yield (
                where,
                {"video": values[0], "class": values[1], EVENTS: _frames(where, values[2:])},
            )
        elif values:
            raise RowError(
                f"{where} has {len(values)} values, expected a path, or a name, a class and the"
                f" first and last frame of two events, as {ANNOTATIONS} has; correct it"
            )


def _frames(where: str, texts: list[str]) -> list[int]:
    """Return the frames of two events from 0 on, the ends excluded; -1 stands for no event."""
    try:
        events = [(int(a), int(b)) for a, b in zip(texts[::2], texts[1::2], strict=True)]
    except ValueError:
        events = [(0, 0)]
    known = [event for event in events if event != (-1, -1)]
    if any(not 0 < first <= last for first, last in known):
        raise RowError(
            f"{where} has the frames {' '.join(texts)}, expected the first and the last one of each"
            " event, or -1 -1; correct it"
        )
    return merge_events((first - 1, last) for first, last in known)


def parse_row(row: Row) -> Iterator[Fields]:
    """Read a video; its class is that of its line, or the folder in its path."""
    video, kind = row.required_medium("video"), row.optional("class")
    folder, _, _ = video.rpartition("/")
    if kind is None:
        kind = folder.rpartition("/")[2]
        if not kind:
            raise row.error(f"the video {video!r} has no class", "expected CLASS/NAME.mp4")
    is_normal = NORMAL in kind
    named = video if folder else f"{TESTED if is_normal else kind}/{video}"
    yield Fields(
        id=video.rpartition("/")[2],
        label=NO if is_normal else YES,
        prompt=QUESTION,
        media=(named,),
        category=NORMAL if is_normal else kind,
    )


UCF_CRIME = Benchmark(
    name="ucf-crime",
    summary="does the surveillance video show an anomaly? measured by frames",
    columns={
        "video": "lists: CLASS/NAME.mp4; annotations: NAME.mp4; the id",
        "class": "annotations: one of 13 anomalies, or Normal; the category",
    },
    parse_row=parse_row,
    measure=partial(measure, rate=RATE, headline=FRAME_METRICS[0]),
    check_rows=partial(check_rows, remedy=f"pass `test` {ANNOTATIONS}"),
    label_window=partial(label_window, rate=RATE),
    read_table=read_lines,
    reads=READ,
    about=About(
        task="anomalies in surveillance videos; only the videos of training are labelled",
        metrics=METRICS,
        sizes="train 1,610 videos (810 with an anomaly), test 290 (140)",
        source="Sultani et al., arXiv 1801.04264; www.crcv.ucf.edu/projects/real-world",
        licence="not stated",
        files=f"--train Anomaly_Train.txt --test {ANNOTATIONS} --window 4s --media-root VIDEOS:"
        f" folders of the classes, Training_Normal_Videos_Anomaly and {TESTED}",
        sample={"video": "Abuse028_x264.mp4", "class": "Abuse", EVENTS: [164, 240]},
    ),
)
