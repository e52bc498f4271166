import json
import re
from pathlib import Path
from typing import Any

import pytest

from savs.datasets import (
    BENCHMARKS,
    BenchmarkNotFoundError,
    Example,
    RowError,
    find_benchmark,
    read_examples,
)

GENERAL = find_benchmark("general")


def written(folder: Path, *rows: dict[str, Any], name: str = "train.jsonl") -> Path:
    path = folder / name
    lines = (json.dumps({"question": "Q?", "label": "a"} | row) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def read(path: Path, limit: int | None = None) -> list[Example]:
    return read_examples(GENERAL, path, "train", limit)


def test_every_field_of_a_row_comes_through(tmp_path: Path) -> None:
    row = {
        "id": "e1",
        "images": ["b.png", "a.png"],
        "question": "Is <image> like <image>?",
        "label": "No",
        "group": "g",
        "subtask": "s",
        "category": "c",
        "source": {"web": [1, None]},
    }
    assert read_examples(GENERAL, written(tmp_path, {}, row), "test")[1] == Example(
        id="e1",
        split="test",
        index=1,
        label="No",
        prompt="Is <image> like <image>?",
        media=("b.png", "a.png"),
        group="g",
        subtask="s",
        category="c",
        extra={"source": {"web": [1, None]}},
    )


def test_rows_without_an_id_are_numbered_within_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, {}, {"id": "mine"}, {"id": None}, {"id": 0}, name="my.set.jsonl")
    examples = read(path)
    assert [example.id for example in examples] == ["my.set:0", "mine", "my.set:2", "0"]
    assert examples[0] == Example("my.set:0", "train", 0, "a", "Q?")  # the rest is empty


@pytest.mark.parametrize("second", ["x", "train:0"], ids=["given twice", "given like a number"])
def test_an_id_that_is_taken_names_both_lines(tmp_path: Path, second: str) -> None:
    first = {} if second == "train:0" else {"id": second}
    path = written(tmp_path, first, {}, {"id": second})
    where = re.escape(str(path))
    with pytest.raises(
        RowError, match=f"^{where} line 3: id '{second}' is taken by {where} line 1;"
    ):
        read(path)


def test_a_limit_keeps_the_first_rows(tmp_path: Path) -> None:
    path = written(tmp_path, {"label": "a"}, {"label": "b"}, {"label": "c"})
    for limit, labels in ((None, "abc"), (2, "ab"), (3, "abc"), (9, "abc")):
        assert "".join(str(example.label) for example in read(path, limit)) == labels


@pytest.mark.parametrize(
    "label", [" Yes", "Yes ", "yes", "猫\u200d", "é", "e\u0301", "a\tb\n", "0"]
)
def test_labels_are_kept_byte_for_byte(tmp_path: Path, label: str) -> None:
    assert read(written(tmp_path, {"label": label}))[0].label.encode() == label.encode()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"label": ["a"]}, "field 'label' holds a list"),
        ({"image": "a", "question": "<image> <image>"}, "2 <image> placeholders for 1 images"),
        ({"images": ["a", "b"], "question": "<image>?"}, "1 <image> placeholders for 2 images"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(
    tmp_path: Path, row: dict[str, object], problem: str
) -> None:
    path = written(tmp_path, {}, row)
    with pytest.raises(RowError, match=f"^{re.escape(f'{path} line 2: {problem}')}"):
        read(path)


@pytest.mark.parametrize("name", ["question", "label"])
def test_a_missing_field_is_named_with_those_there_are(tmp_path: Path, name: str) -> None:
    other = {"question": "label", "label": "question"}[name]
    path = tmp_path / "train.csv"
    path.write_text(f"{other},note\nx,y\n")
    remedy = {"question": ", or pass `question` TEXT to ask the same of all", "label": ""}[name]
    message = (
        f"{path} line 2: field '{name}' is missing; the row has the fields {other}, note; name one"
        f" with `columns` {name}=NAME{remedy}"
    )
    with pytest.raises(RowError, match=f"^{re.escape(message)}$"):
        read(path)


def test_an_unknown_benchmark_is_met_with_the_nearest_name() -> None:
    with pytest.raises(BenchmarkNotFoundError) as caught:
        find_benchmark("genral")
    assert str(caught.value) == (
        "no benchmark is called 'genral' (did you mean 'general'?); expected one of: "
        + ", ".join(BENCHMARKS)
        + ", or the path of a Python file that defines BENCHMARK"
    )
    with pytest.raises(KeyError, match="no benchmark is called 'zzz'; expected one of: general"):
        find_benchmark("zzz")
