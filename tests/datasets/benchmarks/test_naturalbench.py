import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import Example, MediaFolder, RowError, Units, find_benchmark, read_examples

BENCHMARK = find_benchmark("naturalbench")
IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
CLASSES = {"yes_no": ["Yes", "No"], "multiple_choice": ["A", "B"]}
YES_NO = " Really?Please answer Yes or No."
LETTER = " Really?Please output the letter corresponding to the correct option."


def raw(index: int, kind: str = "yes_no", **changed: Any) -> dict[str, Any]:
    """A row as the official Parquet file has it."""
    yes, no = ("Yes", "No") if kind == "yes_no" else ("A", "B")
    return {
        "Index": index,
        "Image_0": {"bytes": b"%d-0" % index, "path": f"{index}_0.jpg"},
        "Image_1": {"bytes": b"%d-1" % index, "path": f"{index}_1.jpg"},
        "Question_0": f"Is it {index}? Really?",
        "Image_0_Question_0": yes,
        "Image_1_Question_0": no,
        "Question_1": f"Is it not {index}? Really?",
        "Image_0_Question_1": no,
        "Image_1_Question_1": yes,
        "Question_Type": kind,
        "Source": "coco",
    } | changed


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "nb.parquet"
    types: dict[str, Any] = {"Image_0": IMAGE, "Image_1": IMAGE}
    pl.DataFrame(list(rows), schema_overrides=types, infer_schema_length=None).write_parquet(path)
    return path


def examples_of(folder: Path, *rows: dict[str, Any]) -> list[Example]:
    return read_examples(BENCHMARK, written(folder, *rows), "test")


Answer = Callable[[int, Example], str | None]


def predicted(examples: list[Example], answer: Answer) -> pl.DataFrame:
    """Predictions as stage 2 hands them on; one that is None was skipped."""
    names = ("id", "label", "prompt", "media", "group", "subtask", "category")
    frame = pl.DataFrame([{n: getattr(e, n) for n in names} for e in examples])
    found = pl.Series([answer(n, e) for n, e in enumerate(examples)], dtype=pl.String)
    return frame.with_columns(
        cluster=pl.col("group"),
        prediction=found,
        correct=(found == frame["label"]).fill_null(False),
    )


def measured(predictions: pl.DataFrame) -> dict[str, float]:
    units = BENCHMARK.measure(predictions, CLASSES)
    return {u.name: sum(u.scores["score"]) / u.scores.height for u in units}


def by_pattern(patterns: list[str]) -> Answer:
    """Right where a group's pattern (q0i0, q0i1, q1i0, q1i1) has +, skipped where it has 0."""
    wrong = {"Yes": "No", "No": "Yes", "A": "B", "B": "A"}

    def answer(place: int, example: Example) -> str | None:
        label = str(example.label)
        sign = patterns[place // 4][place % 4]
        return {"+": label, "-": wrong[label], "0": None}[sign]

    return answer


def test_a_row_is_a_group_of_four_examples(tmp_path: Path) -> None:
    path = written(tmp_path, raw(7), raw(12, "multiple_choice"))
    examples = read_examples(BENCHMARK, path, "test")
    assert [e.id for e in examples[:4]] == ["7:q0i0", "7:q0i1", "7:q1i0", "7:q1i1"]
    assert [e.label for e in examples] == ["Yes", "No", "No", "Yes", "A", "B", "B", "A"]
    assert [e.group for e in examples] == ["7"] * 4 + ["12"] * 4
    assert [e.subtask for e in examples] == ["yes_no"] * 4 + ["multiple_choice"] * 4
    assert [e.index for e in examples] == list(range(8))
    assert {e.category for e in examples} == {"coco"}
    # the official script puts its suffix right behind the question
    assert [e.prompt for e in examples[1:3]] == ["Is it 7?" + YES_NO, "Is it not 7?" + YES_NO]
    assert examples[7].prompt == "Is it not 12?" + LETTER
    media = MediaFolder(tmp_path)
    read = [media.read(*e.media) for e in examples]
    assert read == [b"7-0", b"7-1", b"7-0", b"7-1", b"12-0", b"12-1", b"12-0", b"12-1"]


def test_images_may_be_files_and_the_index_may_be_left_out(tmp_path: Path) -> None:
    row = raw(0, Image_0="a.jpg", Image_1="b.jpg", Note="n", Image_1_Question_0="Yes")
    del row["Index"], row["Source"]
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    examples = read_examples(BENCHMARK, path, "test")
    assert [e.media for e in examples[:4]] == [("a.jpg",), ("b.jpg",), ("a.jpg",), ("b.jpg",)]
    assert [e.label for e in examples[:4]] == ["Yes", "Yes", "No", "Yes"]
    assert (examples[0].id, examples[4].id) == ("mine:0:q0i0", "mine:1:q0i0")
    assert (examples[5].group, examples[5].category) == ("mine:1", None)
    assert examples[5].extra == {"Note": "n"}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"Question_Type": "open"}, "'Question_Type' is 'open'; expected yes_no or multiple"),
        ({"Image_0_Question_1": "no"}, "'Image_0_Question_1' is 'no'; expected Yes or No"),
        ({"Image_1_Question_0": "A"}, "'Image_1_Question_0' is 'A'; expected Yes or No"),
        ({"Image_1": None}, "'Image_1' has no image; a group needs two"),
        ({"Image_0": {"bytes": None, "path": None}}, "'Image_0' has no image; a group needs"),
        ({"Question_1": None}, "'Question_1' is null"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowError, match=rf"nb\.parquet row 1: field {re.escape(problem)}"):
        examples_of(tmp_path, raw(1), raw(2, **changed))


def test_an_index_stands_for_one_group(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"nb\.parquet row 1: id '1:q0i0' is taken by .* row 0;"):
        examples_of(tmp_path, raw(1), raw(1))


def test_mixed_patterns_count_as_worked_out_by_hand(tmp_path: Path) -> None:
    rows = [raw(0), raw(1), raw(2), raw(3), raw(4, "multiple_choice"), raw(5, "multiple_choice")]
    patterns = ["++++", "++--", "+-+-", "+--+", "-+++", "+++0"]
    found = measured(predicted(examples_of(tmp_path, *rows), by_pattern(patterns)))
    # of 6 groups: right 4 + 2 + 2 + 2 + 3 + 3; questions (places 0 1, 2 3) 2 + 1 + 0 + 0 + 1 + 1;
    # images (places 0 2, 1 3) 2 + 0 + 1 + 0 + 1 + 1; groups 1. The skipped one is wrong.
    assert found == pytest.approx(
        {
            "accuracy": 16 / 24,
            "Q-Acc": 5 / 12,
            "I-Acc": 5 / 12,
            "G-Acc": 1 / 6,
            "accuracy, yes_no": 10 / 16,
            "accuracy, multiple_choice": 6 / 8,
        }
    )


def test_chance_is_the_mean_over_all_patterns(tmp_path: Path) -> None:
    patterns = ["".join(signs) for signs in product("+-", repeat=4)]
    examples = examples_of(tmp_path, *(raw(n) for n in range(16)))
    units = BENCHMARK.measure(predicted(examples, by_pattern(patterns)), CLASSES)[:4]
    assert [u.chance for u in units] == [0.5, 0.25, 0.25, 0.0625]
    assert [sum(u.scores["score"]) / u.scores.height for u in units] == [u.chance for u in units]


def test_a_constant_answer_is_half_right_and_no_group_is(tmp_path: Path) -> None:
    examples = examples_of(tmp_path, raw(0), raw(1), raw(2, "multiple_choice"))
    always = [
        predicted(examples, lambda _, e: CLASSES[str(e.subtask)][0]),
        predicted(examples, lambda _, e: CLASSES[str(e.subtask)][1]),
    ]
    for constant in always:
        assert list(measured(constant).values()) == [0.5, 0, 0, 0, 0.5, 0.5]


def test_incomplete_groups_are_left_out_and_named(tmp_path: Path) -> None:
    examples = examples_of(tmp_path, raw(3), raw(4))[:-1]
    units: dict[str, Units] = {
        u.name: u for u in BENCHMARK.measure(predicted(examples, lambda _, e: e.label), CLASSES)
    }
    for name in ("Q-Acc", "I-Acc", "G-Acc"):
        assert units[name].notes == (f"{name}: incomplete groups left out: 1 (4)",)
    assert units["G-Acc"].scores.rows() == [(1.0, "3", "all")]


@pytest.mark.thorough
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_perfect_predictor_is_right_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(CLASSES)), min_size=1, max_size=4))
    folder = tmp_path_factory.mktemp("nb")
    examples = examples_of(folder, *(raw(n, kind) for n, kind in enumerate(kinds)))
    perfect = predicted(examples, lambda _, e: e.label)
    assert set(measured(perfect).values()) == {1.0}
    signs = data.draw(st.lists(st.text("+-0", min_size=4, max_size=4), min_size=4, max_size=4))
    some = predicted(examples, by_pattern(signs))
    mixed = some[data.draw(st.permutations(range(some.height)))]
    assert measured(mixed) == pytest.approx(measured(some))
