"""`general` with columns of other names, and with one question for all rows."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from savs.datasets import Benchmark, Example, find_benchmark, read_examples
from savs.datasets.benchmarks.general import FIELDS, general
from savs.datasets.benchmarks.options import adapt
from savs.datasets.errors import OptionError, RowError
from savs.foundation.errors import ParameterError

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


def read(benchmark: Benchmark, path: Path, split: str = "test") -> list[Example]:
    return read_examples(benchmark, path, split)


def test_every_field_is_read_from_its_column(tmp_path: Path) -> None:
    (example,) = read(general(COLUMNS), written(tmp_path, ROW))
    extra = {"question": "another text"}  # a column like any other now
    assert example == Example("e1", "test", 0, "x", "Q?", ("a.png",), "g", "t", "k", extra)


def test_a_class_may_be_the_number_zero(tmp_path: Path) -> None:
    labels = [0, 1, False, "0"]
    rows = [{"image": f"{n}.png", "question": "?", "label": one} for n, one in enumerate(labels)]
    path = written(tmp_path, *rows)
    assert [example.label for example in read(general(), path)] == ["0", "1", "false", "0"]
    assert len(read_examples(general(), path, "test", limit=3)) == 3
    with pytest.raises(ParameterError, match="`limit` is 0, expected at least 1"):
        read_examples(general(), path, "test", limit=0)


def test_rows_without_a_label_need_no_column_of_it(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "question": "?"}, {"image": "b.png", "question": "?", "class": "x"}]
    found = read(general({"label": "class"}), written(tmp_path, *rows), "unlabelled")
    assert [(example.media, example.label) for example in found] == [
        (("a.png",), None),
        (("b.png",), None),
    ]


@pytest.mark.parametrize(
    ("columns", "rows", "media"),
    [
        ({"images": "photos"}, [{"photos": ["a.png", "b.png"], "images": 5}], [("a.png", "b.png")]),
        # one row with the column is enough where a field is optional
        ({"image": "file"}, [{}, {"file": "a"}], [(), ("a",)]),
        ({"image": "file", "images": "files"}, [{"file": "a.png"}], [("a.png",)]),
    ],
    ids=["lists", "some rows", "either of two"],
)
def test_images_have_columns_of_any_name(tmp_path, columns, rows, media) -> None:
    path = written(tmp_path, *({"question": "?", "label": "x"} | row for row in rows))
    assert [example.media for example in read(general(columns), path)] == media


TEXT = {"question": "Q?", "label": "x"}


@pytest.mark.parametrize("name", ["a.png", "below/a.JPG", "a.mp4", "https://h/a.jpg?w=5"])
@pytest.mark.parametrize("column", ["path", "Photo", "image_file", "url"])
def test_a_column_of_images_is_not_left_unread(tmp_path: Path, column: str, name: str) -> None:
    path = written(tmp_path, TEXT | {column: name})
    with pytest.raises(OptionError) as error:
        read(general(), path)
    assert str(path) in str(error.value)
    assert f"{column!r} names a medium, {name!r}; map it: `columns` image={column};" in str(
        error.value
    )
    (example,) = read(general({"image": column}), path)
    assert example.media == (name,)
    (example,) = read(general({"category": column}), path)  # as the message says for texts
    assert (example.media, example.category) == ((), name)


def test_a_column_of_packed_images_is_not_left_unread(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame([TEXT | {"look": {"bytes": b"\x89PNG", "path": None}}]).write_parquet(path)
    with pytest.raises(OptionError, match=r"'look' names a medium, 'rows\.parquet#0/look'; map"):
        read(general(), path)


def test_a_box_is_of_one_image(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT | {"images": ["a.png", "b.png"], "box": [1, 2, 3, 4]})
    with pytest.raises(RowError, match="field 'box' is a box, and the row has 2 images; give a"):
        read(general(), path)


@pytest.mark.parametrize(
    "more", [{"path": "a.txt"}, {"note": "a.png"}, {"path": 5}, {"url": "http://[a"}, {}]
)
def test_texts_need_no_image(tmp_path: Path, more: dict[str, Any]) -> None:
    (example,) = read(general(), written(tmp_path, TEXT | more))
    assert example.media == ()


@pytest.mark.parametrize("field", COLUMNS)
def test_a_column_that_no_row_has_is_told_with_those_there_are(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, {k: v for k, v in ROW.items() if k != COLUMNS[field]})
    message = (
        f"{path} line 1 and the other test rows have no column {COLUMNS[field]!r}, which"
        f" `columns` {field}={COLUMNS[field]} names; they have: "
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}.*, question$"):
        read(general(COLUMNS), path)


@pytest.mark.parametrize("field", ["id", "group", "category"])
def test_a_training_file_need_not_have_what_tests_alone_need(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, {k: v for k, v in ROW.items() if k != COLUMNS[field]})
    (example,) = read(general(COLUMNS), path, "train")
    assert getattr(example, field) == {"id": "rows:0"}.get(field)


def test_one_question_for_all_rows(tmp_path: Path) -> None:
    path = written(tmp_path, {"image": "a", "label": "x"}, {"image": "b", "label": "y"})
    examples = read(general(question="Which?"), path)
    assert [example.prompt for example in examples] == ["Which?"] * 2
    own = written(tmp_path, {"label": "x"}, {"question": "?", "label": "y"})
    with pytest.raises(
        OptionError, match=r"line 2: the file has a column 'question', but `question` is set"
    ):
        read(general(question="Which?"), own)


def test_what_was_chosen_is_part_of_the_identity() -> None:
    assert general().options == {}
    assert general({"label": "label"}).options == {}
    chosen = general({"label": "class", "id": "nr", "image": "image"}, "Which?")
    assert chosen.options == {"columns": {"id": "nr", "label": "class"}, "question": "Which?"}
    assert set(general(COLUMNS).columns) == {
        *COLUMNS.values(),
        *("images", "box", "audio", "audios"),
    }


@pytest.mark.parametrize(
    ("name", "columns", "question", "message"),
    [
        ("general", {"lable": "x"}, None, f"columns has 'lable', expected .* {', '.join(FIELDS)}"),
        ("general", {"image": "a", "images": "a"}, None, ".* both name 'a'"),
        ("general", {"image": "images"}, None, ".* both name 'images'"),
        ("general", {"question": "prompt"}, "Which?", ".* both give the prompt"),
        ("general", None, " ", "`question` is empty"),
        (
            "blink",
            {"label": "x"},
            None,
            "`columns` is an option of general only; the benchmark",
        ),
        (
            "blink",
            None,
            "Which?",
            "`question` is an option of general, image-folder, audio-folder only; the",
        ),
    ],
)
def test_what_cannot_be_is_refused(name, columns, question, message) -> None:
    benchmark = find_benchmark(name)
    assert adapt(benchmark) is benchmark
    with pytest.raises(OptionError, match=f"^{message}"):
        adapt(benchmark, columns, question)
