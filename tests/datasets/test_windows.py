"""Windows of videos: which ones, how they are called, and rows that are there once for each."""

import json

import pytest

from savs.datasets import Example, RowError, find_benchmark, read_examples
from savs.datasets.parts import Window, split_window, whole_name
from savs.datasets.windows import Windows, in_windows


@pytest.mark.parametrize(
    ("duration", "names"),
    [
        (8000, ["0.0..4.0", "2.0..6.0", "4.0..8.0"]),
        (8001, ["0.0..4.0", "2.0..6.0", "4.0..8.0", "4.001..8.001"]),
        (7999, ["0.0..4.0", "2.0..6.0", "3.999..7.999"]),
        (4001, ["0.0..4.0", "0.001..4.001"]),
        (4000, ["0.0..4.0"]),
        (1250, ["0.0..1.25"]),
    ],
)
def test_windows_begin_at_strides_and_the_last_one_ends_with_the_video(duration, names):
    assert [str(window) for window in Windows(4000, 2000).of(duration)] == names


@pytest.mark.parametrize(
    ("name", "clip", "window"),
    [
        ("a/b.mp4@12.0..16.0", "a/b.mp4", Window(12_000, 16_000)),
        ("b.mp4@12..16.125", "b.mp4", Window(12_000, 16_125)),
        ("a@1.0..2.0.mp4@3.0..4.0", "a@1.0..2.0.mp4", Window(3_000, 4_000)),
        ("rows.parquet#3/video@0.0..4.0", "rows.parquet#3/video", Window(0, 4_000)),
        ("a@1.0..2.0.mp4", "a@1.0..2.0.mp4", None),
        ("me@home", "me@home", None),
        ("b.mp4@1.0..2.0001", "b.mp4@1.0..2.0001", None),
        ("b.mp4@-1.0..2.0", "b.mp4@-1.0..2.0", None),
        ("@1.0..2.0", "@1.0..2.0", None),
        ("b.mp4@1.0..\u0662.0", "b.mp4@1.0..\u0662.0", None),  # a digit of another script
    ],
)
def test_a_name_says_the_file_and_the_window(name, clip, window):
    assert split_window(name) == (clip, window)
    assert whole_name(name) == clip
    if window is not None:
        assert split_window(f"{clip}@{window}") == (clip, window)


def example(name, *media, **fields):
    return Example(name, "test", 5, "a", "?", media, **fields)


DURATIONS = {"v.mp4": 6000, "w.mp4": 3000}


def test_rows_of_a_video_become_a_row_each_next_to_each_other():
    rows = [
        example("v.mp4", "v.mp4", subtask="one"),
        example("v.mp4", "v.mp4", subtask="two"),
        example("second", "i.png", "w.mp4", group="g"),
        example("photo", "i.png"),
        example("part", "v.mp4@1.0..2.0"),
    ]
    found = in_windows(rows, Windows(4000, 2000), DURATIONS.get)
    assert [(row.id, row.subtask, row.media, row.group) for row in found] == [
        ("v.mp4@0.0..4.0", "one", ("v.mp4@0.0..4.0",), "v.mp4"),
        ("v.mp4@0.0..4.0", "two", ("v.mp4@0.0..4.0",), "v.mp4"),
        ("v.mp4@2.0..6.0", "one", ("v.mp4@2.0..6.0",), "v.mp4"),
        ("v.mp4@2.0..6.0", "two", ("v.mp4@2.0..6.0",), "v.mp4"),
        ("second@0.0..3.0", None, ("i.png", "w.mp4@0.0..3.0"), "g"),
        ("photo", None, ("i.png",), None),
        ("part", None, ("v.mp4@1.0..2.0",), None),
    ]
    assert {row.label for row in found} == {"a"}
    assert [row.index for row in found] == [*range(5, 12)]


def test_rows_that_name_windows_of_a_video_are_one_group_unless_they_have_another(tmp_path):
    rows = [{"image": "v.mp4@1.0..2.0"}, {"images": ["i.png", "v.mp4@2..3"]}, {"image": "v.mp4"}]
    rows.append({"image": "v.mp4@1.0..2.0", "group": "g"})
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"question": "?", "label": "a", **row}) for row in rows))
    found = read_examples(find_benchmark("general"), file, "test")
    assert [example.group for example in found] == ["v.mp4", "v.mp4", None, "g"]


def test_a_row_of_two_videos_has_no_windows():
    with pytest.raises(RowError, match="test example 'both' has 2 videos, and windows are parts"):
        in_windows([example("both", "v.mp4", "w.mp4")], Windows(4000, 2000), DURATIONS.get)
