"""Benchmarks of events in videos, in the forms in which they are published."""

import json
from dataclasses import replace

import polars as pl
import pytest

from savs.datasets import DatasetError, find_benchmark, read_examples
from savs.datasets.benchmarks.events import UNDIVIDED
from savs.datasets.metrics.frames import EVENTS, FRAME_METRICS
from savs.datasets.parts import Window
from savs.datasets.rows.plugin_guard import compute_metrics, label_window

ANNOTATIONS = "Temporal_Anomaly_Annotation_for_Testing_Videos.txt"
UCF = """Abuse028_x264.mp4  Abuse  165  240  -1  -1
Arson011_x264.mp4  Arson  150  420  680  1267

Arson099_x264.mp4  Arson  680  700  150  680
Arson100_x264.mp4  Arson  150  700  300  420
Arson101_x264.mp4  Arson  150  160  161  170
Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1
"""
LIST = "Abuse/Abuse001_x264.mp4\nTraining_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4\n"
XD = """
Salt.2010__#00-02-10_00-03-57_label_G-B2-0 120 480 600 720
v=QiLNvC7CIuY__#1_label_B1-0-0.mp4 0 48
"""
NAMES = """Salt.2010__#00-02-10_00-03-57_label_G-B2-0
test/v=QiLNvC7CIuY__#1_label_B1-0-0.mp4
v=abc d__#1_label_A.mp4
"""


def read(folder, benchmark, name, text, split="test"):
    (folder / name).write_text(text)
    return read_examples(find_benchmark(benchmark), folder / name, split)


def facts(examples):
    return [(e.id, e.label, e.media[0], e.category, e.extra.get(EVENTS)) for e in examples]


def test_annotations_of_ucf_crime(tmp_path):
    examples = read(tmp_path, "ucf-crime", ANNOTATIONS, UCF)
    normal = "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4"
    assert facts(examples) == [
        # counted from 1 with both ends, so that 165 .. 240 are the frames 164 .. 239
        ("Abuse028_x264.mp4", "Yes", "Abuse/Abuse028_x264.mp4", "Abuse", [164, 240]),
        ("Arson011_x264.mp4", "Yes", "Arson/Arson011_x264.mp4", "Arson", [149, 420, 679, 1267]),
        ("Arson099_x264.mp4", "Yes", "Arson/Arson099_x264.mp4", "Arson", [149, 700]),
        ("Arson100_x264.mp4", "Yes", "Arson/Arson100_x264.mp4", "Arson", [149, 700]),
        # the second event begins with the frame after the first
        ("Arson101_x264.mp4", "Yes", "Arson/Arson101_x264.mp4", "Arson", [149, 170]),
        ("Normal_Videos_003_x264.mp4", "No", normal, "Normal", []),
    ]


def test_the_training_list_of_ucf_crime(tmp_path):
    examples = read(tmp_path, "ucf-crime", "Anomaly_Train.txt", LIST, "train")
    abuse, normal = LIST.split()
    assert facts(examples) == [
        ("Abuse001_x264.mp4", "Yes", abuse, "Abuse", None),
        ("Normal_Videos001_x264.mp4", "No", normal, "Normal", None),
    ]


def test_lists_and_annotations_of_xd_violence(tmp_path):
    train = read(tmp_path, "xd-violence", "train.txt", NAMES, "train")
    assert [(e.label, e.extra.get(EVENTS)) for e in train] == [
        ("Yes", None),
        ("Yes", None),
        ("No", []),
    ]
    (tmp_path / "annotations.txt").write_text(XD)
    first, second, third = NAMES.splitlines()
    assert facts(read(tmp_path, "xd-violence", "test.txt", NAMES)) == [
        (first, "Yes", f"{first}.mp4", "explosion", [120, 480, 600, 720]),
        ("v=QiLNvC7CIuY__#1_label_B1-0-0", "Yes", second, "fighting", [0, 48]),
        ("v=abc d__#1_label_A", "No", third, "normal", []),
    ]
    alone = read(tmp_path, "xd-violence", "annotations.txt", XD)
    assert [e.extra[EVENTS] for e in alone] == [[120, 480, 600, 720], [0, 48]]


FAULTS = {
    "a list to test": (
        "ucf-crime",
        LIST,
        f"line 1: the video has no .*; pass `test` {ANNOTATIONS}",
    ),
    "five values": ("ucf-crime", "\nA_x264.mp4 Abuse 1 2 -1\n", "line 2 has 5 values, expected a"),
    "words": ("ucf-crime", "A_x264.mp4 Abuse 1 b -1 -1", "line 1 has the frames 1 b -1 -1, "),
    "backwards": ("ucf-crime", "A_x264.mp4 Abuse 9 2 -1 -1", "line 1 has the frames 9 2 -1 -1, "),
    "from 0": ("ucf-crime", "A_x264.mp4 Abuse 0 2 -1 -1", "line 1 has the frames 0 2 -1 -1, "),
    "no annotations": ("xd-violence", NAMES, "line 1: the video has no frames of its events; put"),
    "an odd end": ("xd-violence", "x_label_G-0-0 1 2 3\n", "line 1 has the frames 1 2 3, expected"),
    "an early end": ("xd-violence", "x_label_G-0-0 5 5\n", "line 1 has the frames 5 5, expected"),
    "no code": ("xd-violence", "x.mp4 1 2\n", "line 1: the video is called 'x.mp4'; expected NAME"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_malformed_line_is_named(tmp_path, case):
    benchmark, text, message = FAULTS[case]
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, benchmark, "rows.txt", text)


@pytest.mark.parametrize(
    "frames", [[0.5, 2], [True, 2], "0 2", 5, [0], [4, 2], [1, 1], [-1, 2], [0, 2, 2, 4]], ids=str
)
def test_frames_that_are_no_events_in_order_are_refused(tmp_path, frames):
    row = {"video": "Abuse/Abuse001_x264.mp4", EVENTS: frames}
    with pytest.raises(DatasetError, match=r"rows.jsonl line 1: field 'frames' is "):
        read(tmp_path, "ucf-crime", "rows.jsonl", json.dumps(row))


@pytest.mark.parametrize(
    ("frames", "label"),
    [
        ([0, 89], "No"),  # 29 of the 60 frames from 2 s to 4 s, which are 60 to 119
        ([0, 90], "Yes"),
        ([0, 75, 105, 300], "Yes"),  # 15 at either end
        ([0, 74, 105, 300], "No"),
        ([], "No"),
        (None, "Yes"),  # a video of training
    ],
)
def test_a_window_is_one_of_an_event_if_half_of_it_is(tmp_path, frames, label):
    (example, *_) = read(tmp_path, "ucf-crime", ANNOTATIONS, UCF)
    example = replace(example, extra={} if frames is None else {EVENTS: frames})
    assert label_window(find_benchmark("ucf-crime"), example, Window(2000, 4000)) == label
    waiting = replace(example, label=None)
    assert label_window(find_benchmark("ucf-crime"), waiting, Window(2000, 4000)) is None


def rows_of(media):
    return pl.DataFrame(
        {
            "media": [[name] for name in media],
            "label": ["Yes", "No"],
            "correct": [True, False],
            "subtask": [None, None],
            "cluster": ["a", "a"],
            "votes": [
                [{"class": c, "score": s, "soft": s} for c, s in (("Yes", score), ("No", 0.5))]
                for score in (0.9, 0.1)
            ],
            "extra": ['{"frames": [0, 20]}', '{"frames": [0, 20]}'],
        },
        schema_overrides={"subtask": pl.String},
    )


@pytest.mark.parametrize(
    ("benchmark", "headline", "value"),
    [
        # the event lasts 20 of the 30 frames of the first window, which tie: (30 + 10 / 2) of 40
        ("ucf-crime", 0, 35 / 40),
        ("xd-violence", 1, 20 / 24),
    ],
)
def test_the_headline_is_that_of_the_paper(benchmark, headline, value):
    classes = {None: ("Yes", "No")}
    found = find_benchmark(benchmark)
    units = compute_metrics(found, rows_of(["a.mp4@0.0..1.0", "a.mp4@1.0..2.0"]), classes)
    names = [FRAME_METRICS[headline], FRAME_METRICS[1 - headline], "balanced accuracy", "accuracy"]
    assert [one.name for one in units] == names
    assert found.about is not None
    assert list(found.about.metrics) == names
    assert units[0].scores["score"].mean() == pytest.approx(value)
    whole = compute_metrics(found, rows_of(["a.mp4", "b.mp4"]), classes)
    assert [one.name for one in whole] == names[2:]
    assert whole[1].notes == (UNDIVIDED,)
