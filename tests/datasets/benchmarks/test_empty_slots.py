"""An empty image slot is absent, in every benchmark with optional slots and every kind of file."""

from pathlib import Path
from typing import Any

import pytest
from malformed import FORMS, write_row

from savs.datasets import RowError, find_benchmark, read_examples

ASK = {"question": "Which one?", "label": "(A)"}
OFFICIAL = {"Question": "Left?", "Options": "(a) Yes (b) No", "Correct Answer": "(a)"}
SLOTS: dict[str, tuple[str, dict[str, Any], list[str], tuple[str, ...]]] = {
    "two of blink": (
        "blink",
        ASK | {"image_1": "1.png", "image_2": "2.png"},
        ["image_3", "image_4"],
        ("1.png", "2.png"),
    ),
    "one of blink": ("blink", ASK | {"image_1": "1.png"}, ["image_2", "image_4"], ("1.png",)),
    "image of general": ("general", ASK, ["image"], ()),
    "image of shapes": ("shapes", ASK, ["image"], ()),
    "images of general": ("general", ASK | {"image": "1.png"}, ["images"], ("1.png",)),
    "image of mmvp": ("mmvp", OFFICIAL, ["image"], ("MMVP Images/1.jpg",)),
}
"""Benchmark, row, its empty slots, and the media of its example."""
EMPTY: dict[str, Any] = {
    "empty": "",
    "null": None,
    "without bytes": {"bytes": None, "path": ""},
    "without bytes and path": {"bytes": None, "path": None},
    "with empty bytes": {"bytes": "", "path": ""},
}


@pytest.mark.parametrize(
    ("form", "empty"),
    [
        (form, empty)
        for form in FORMS
        for empty, value in EMPTY.items()
        if form != "csv" or not isinstance(value, dict)  # CSV has no objects
    ],
)
@pytest.mark.parametrize("slots", SLOTS)
def test_an_empty_slot_is_absent(tmp_path: Path, slots: str, form: str, empty: str) -> None:
    name, row, absent, media = SLOTS[slots]
    path = write_row(tmp_path, form, row | dict.fromkeys(absent, EMPTY[empty]))
    assert path is not None
    (example,) = read_examples(find_benchmark(name), path, "test")
    assert example.media == media
    assert not example.extra


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_the_last_of_a_list_may_be_empty(tmp_path: Path, form: str, empty: str) -> None:
    full = {"bytes": None, "path": "1.png"} if isinstance(EMPTY[empty], dict) else "1.png"

    def media_of(*images: Any) -> tuple[str, ...]:
        path = write_row(tmp_path, form, ASK | {"images": list(images)})
        assert path is not None
        (example,) = read_examples(find_benchmark("general"), path, "test")
        return example.media

    nothing = EMPTY[empty]
    assert media_of(full, nothing, nothing) == ("1.png",)
    assert media_of(nothing, nothing) == ()
    with pytest.raises(RowError, match=r"field 'images' holds .*expected a list of file names"):
        media_of(nothing, full)
