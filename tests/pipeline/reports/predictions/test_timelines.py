"""Timelines: which rows are a video, what its lines are, which frames its strip shows."""

import polars as pl
import pytest
from clips import PALETTE, encode, nearest, plain
from PIL import Image

from savs.datasets import MediaFolder
from savs.pipeline.reports.pages.charts import BOTTOM, LEFT, RIGHT, TOP
from savs.pipeline.reports.predictions import timelines
from savs.pipeline.reports.predictions.timelines import draw_timeline, find_clips, strip_images


def window(start, prediction="a", votes=(3.0, 1.0), *, end=None, **columns):
    name = f"v.mp4@{start}.0..{start + 2 if end is None else end}.0"
    scores = [
        {"class": one, "score": score, "soft": 0.5} for one, score in zip("ab", votes, strict=True)
    ]
    row = {"id": name, "media": [name], "prediction": prediction, "probability": 0.9}
    return row | {"votes": scores} | columns


def drawn(rows, classes=("a", "b"), folders=None):
    strip = strip_images(folders or {}, {})
    return draw_timeline("v.mp4", rows, strip, temperature=None, classes=classes)


def test_windows_of_a_video_and_a_subtask_are_in_order_of_time():
    rows = pl.DataFrame(
        {
            "row": range(9),
            "subtask": [None, None, None, None, "s", "s", "t", None, None],
            "medium": [
                *("v.mp4@10.0..14.0", "v.mp4@2.0..6.0", "i.png", "one.mp4@0.0..4.0"),
                *("w.mp4@0.0..4.0", "w.mp4@1.0..2.0", "w.mp4@0.0..4.0", "v.mp4@2.0..5.0", None),
            ],
        },
        schema_overrides={"subtask": pl.String},
    )
    assert find_clips(rows) == {("v.mp4", None): [7, 1, 0], ("w.mp4", "s"): [4, 5]}


def test_a_line_has_the_share_of_its_class_at_the_middle_of_each_window():
    timeline = drawn([window(0), window(2, "b", (0.0, 4.0)), window(8, "b", (1.0, 3.0), end=10)])
    lines = {series.name: series.points for series in timeline.chart.series}
    # the axis is 0 s to 10 s, 20 units from both ends; shares are 3/4, 0 and 1/4 of a, at 1, 3, 9 s
    unit = (RIGHT - LEFT - 40) / 10
    assert [point.x for point in lines["a"]] == pytest.approx([64 + unit * t for t in (1, 3, 9)])
    heights = [BOTTOM - (BOTTOM - TOP) * share for share in (0.75, 0, 0.25)]
    assert [point.y for point in lines["a"]] == pytest.approx(heights)
    assert [p.title for p in lines["b"]] == [
        "0.0..2.0 s: b 1 of 4",
        "2.0..4.0 s: b 4 of 4",
        "8.0..10.0 s: b 3 of 4",
    ]
    assert [text for _, text in timeline.chart.x_ticks] == ["0", "2", "4", "6", "8", "10"]


def test_numbers_have_one_line_and_a_long_video_fewer_points(monkeypatch):
    monkeypatch.setattr(timelines, "MOST_POINTS", 2)
    rows = [window(start, str(start / 2)) for start in range(5)]
    timeline = drawn(rows, classes=None)
    (series,) = timeline.chart.series
    assert [point.title for point in series.points] == ["0.0..2.0 s: 0.0", "3.0..5.0 s: 1.5"]
    assert (timeline.windows, timeline.every) == (5, 3)


def test_a_strip_has_the_middle_frames_of_windows_evenly_spaced_in_time(tmp_path):
    data = encode("mp4", [plain(PALETTE[n // 10]) for n in range(240)])  # a colour a second
    (tmp_path / "v.mp4").write_bytes(data)
    rows = [window(start) for start in range(23)]
    folders = dict.fromkeys([row["id"] for row in rows], MediaFolder(tmp_path))
    frames = drawn(rows, folders=folders).frames
    # of 24 s the middles of 6 parts are 2, 6 ... 22 s; each is the middle of a window
    assert [frame.time_s for frame in frames] == [2, 6, 10, 14, 18, 22]
    shown = []
    for number, frame in enumerate(frames):
        (tmp_path / f"{number}.jpg").write_bytes(frame.picture.jpeg)
        shown.append(nearest(Image.open(tmp_path / f"{number}.jpg")))
    assert shown == [2, 6, 10, 14, 18, 22]
    assert [frame.picture.jpeg for frame in drawn(rows[:2]).frames] == [b"", b""]  # no file
