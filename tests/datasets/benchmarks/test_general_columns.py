"""`general` with columns of other names, and with one question for all rows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from savs.datasets import OptionError, find_benchmark, read_examples
from savs.datasets.benchmarks.general import FIELDS, general
from savs.datasets.benchmarks.options import adapt

ROW = {
    "nr": "e1",
    "file": "a.png",
    "prompt": "Q?",
    "class": "x",
    "pair": "g",
    "task": "t",
    "kind": "k",
    "question": "another text",
}
COLUMNS = {
    "id": "nr",
    "image": "file",
    "question": "prompt",
    "label": "class",
    "group": "pair",
    "subtask": "task",
    "category": "kind",
}


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_field_is_read_from_its_column(tmp_path: Path) -> None:
    (example,) = read_examples(general(COLUMNS), written(tmp_path, ROW), "test")
    assert (example.id, example.media, example.prompt) == ("e1", ("a.png",), "Q?")
    assert (example.label, example.group) == ("x", "g")
    assert (example.subtask, example.category) == ("t", "k")
    assert example.extra == {"question": "another text"}  # a column like any other now


def test_lists_of_images_have_a_column_too(tmp_path: Path) -> None:
    row = {"photos": ["a.png", "b.png"], "question": "?", "label": "x", "images": 5}
    (example,) = read_examples(general({"images": "photos"}), written(tmp_path, row), "test")
    assert example.media == ("a.png", "b.png")
    assert example.extra == {"images": 5}


@pytest.mark.parametrize("field", COLUMNS)
def test_a_column_that_no_row_has_is_told_with_those_there_are(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, {k: v for k, v in ROW.items() if k != COLUMNS[field]})
    message = (
        f"{path} line 1 and the other test rows have no column {COLUMNS[field]!r}, which"
        f" --column {field}={COLUMNS[field]} names; they have: "
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}.*, question$"):
        read_examples(general(COLUMNS), path, "test")


@pytest.mark.parametrize("field", ["id", "group", "category"])
def test_a_training_file_need_not_have_what_tests_alone_need(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, {k: v for k, v in ROW.items() if k != COLUMNS[field]})
    (example,) = read_examples(general(COLUMNS), path, "train")
    assert getattr(example, field) == {"id": "rows:0"}.get(field)


def test_one_row_with_the_column_is_enough_where_a_field_is_optional(tmp_path: Path) -> None:
    row = {"question": "?", "label": "x"}
    path = written(tmp_path, row, row | {"file": "a"})
    examples = read_examples(general({"image": "file"}), path, "test")
    assert [example.media for example in examples] == [(), ("a",)]


def test_images_may_stand_in_either_of_two_columns_that_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"file": "a.png", "question": "?", "label": "x"})
    (example,) = read_examples(general({"image": "file", "images": "files"}), path, "test")
    assert example.media == ("a.png",)


def test_one_question_for_all_rows(tmp_path: Path) -> None:
    path = written(tmp_path, {"image": "a", "label": "x"}, {"image": "b", "label": "y"})
    examples = read_examples(general(question="Which?"), path, "test")
    assert [example.prompt for example in examples] == ["Which?"] * 2


def test_one_question_beside_those_of_the_rows_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"label": "x"}, {"question": "?", "label": "y"})
    with pytest.raises(
        OptionError, match=r"line 2: the file has a column 'question', but --question is set"
    ):
        read_examples(general(question="Which?"), path, "test")


def test_what_was_chosen_is_part_of_the_identity() -> None:
    assert general().options == {}
    assert general({"label": "label"}).options == {}
    chosen = general({"label": "class", "id": "nr", "image": "image"}, "Which?")
    assert chosen.options == {"columns": {"id": "nr", "label": "class"}, "question": "Which?"}
    assert set(general(COLUMNS).columns) == {*COLUMNS.values(), "images"}


@pytest.mark.parametrize(
    ("columns", "question", "message"),
    [
        ({"lable": "x"}, None, f"columns has 'lable', expected some of {', '.join(FIELDS)}"),
        ({"image": "a", "images": "a"}, None, "both name 'a'"),
        ({"image": "images"}, None, "both name 'images'"),
        ({"question": "prompt"}, "Which?", "both give the prompt"),
        (None, " ", "--question is empty"),
    ],
)
def test_what_cannot_be_is_refused(columns, question, message) -> None:
    with pytest.raises(OptionError, match=message):
        general(columns, question)


@pytest.mark.parametrize(
    ("columns", "question", "message"),
    [
        ({"label": "x"}, None, "--column is an option of general only; the benchmark 'blink'"),
        (None, "Which?", "--question is an option of general and image-folder only; the benchmark"),
    ],
)
def test_other_benchmarks_take_no_such_option(columns, question, message) -> None:
    blink = find_benchmark("blink")
    assert adapt(blink) is blink
    with pytest.raises(OptionError, match=f"^{message}"):
        adapt(blink, columns, question)
