"""Rows of the same form as the public reference's files, by their readers."""

from pathlib import Path
from typing import Any

import pytest
from reference_cases import CASES, JUDGED, PAIR, SINGLE, read_row

from savs.datasets import Example, RowError


@pytest.mark.parametrize(("name", "row", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_row_of_the_reference_is_an_example(
    tmp_path: Path, name: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    (found,) = read_row(tmp_path, name, row)
    assert found == Example(**({"id": "file:0", "split": "test", "index": 0} | expected))


@pytest.mark.parametrize(
    ("name", "missing"),
    dict.fromkeys(
        (case[0], field)
        for case in CASES
        for field in case[1]
        if field not in ("answer", "split", "label", "claim_label", "Better")
        and (field != "question_id" or case[0] == "sugarcrepe")
        and field not in ("Output", "Output1")
    ),
)
def test_a_row_without_a_field_is_named(tmp_path: Path, name: str, missing: str) -> None:
    row = next(row for known, row, _ in CASES if known == name and missing in row)
    cut = {k: v for k, v in row.items() if k != missing}
    with pytest.raises(RowError, match=rf"row 1: field '{missing}' is missing; the row has the"):
        read_row(tmp_path, name, row, cut)


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("vlguard", {"image": "a", "instruction": "?"}, "no field 'label' or 'answer' has a label"),
        (
            "vlguard",
            {"image": "a", "instruction": "?", "label": "harmful", "answer": "Yes"},
            "two fields have a label: 'label' is 'harmful' and 'answer' is 'Yes'; keep only",
        ),
        ("mhalubench", {"image_path": "a", "claim": "b"}, "no field 'claim_label' or 'label'"),
        ("mrb", PAIR | {"label": "A"}, "the label is 'A'; expected Output1 or Output2"),
        ("mrb", SINGLE | {"label": "Output1"}, "expected preferred or non-preferred"),
        ("mrb", JUDGED | {"ID": "a", "label": "Output1"}, "has no answer; expected 'Output1' and"),
        ("mrb", PAIR | SINGLE, "has 'Output1' and 'Output'; expected 'Output1' and 'Output2' "),
        ("sugarcrepe", CASES[0][1] | {"label": "yes"}, "expected Yes or No"),
        ("sugarcrepe", CASES[0][1] | {"question_id": None}, "field 'question_id' is null"),
        ("camerabench", CASES[1][1] | {"label": True}, "field 'label' is 'true'; expected Yes"),
        ("eurosat", {"image": "a", "question": "?", "answer": "A"}, "field 'label' is missing"),
        ("pets", {"image": "", "question": "?", "label": "cat"}, "field 'image' is empty"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, name: str, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowError, match=rf"file\.json row 0: .*{problem}"):
        read_row(tmp_path, name, row)


def test_labels_are_kept_byte_for_byte(tmp_path: Path) -> None:
    row = {"image": "a", "question": "?", "label": " Forêt "}
    assert read_row(tmp_path, "eurosat", row)[0].label == " Forêt "
