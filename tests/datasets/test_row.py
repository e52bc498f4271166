"""Fields of a row: texts, choices, media, and what is kept of the others."""

from datetime import date

import pytest

from savs.datasets import Row, RowError
from savs.datasets.row import PackedMedium

FIRST, SECOND = PackedMedium("v.parquet#6/images/0"), PackedMedium("v.parquet#6/images/1")


def row(**values: object) -> Row:
    return Row("x.jsonl line 7", 6, values, "dir/x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" Yes \t", " Yes \t"),
        ("猫", "猫"),
        (3, "3"),
        (0, "0"),
        (-2.5, "-2.5"),
        (1.0, "1.0"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_scalars_read_as_json_spells_them(value: object, text: str) -> None:
    assert row(label=value).text("label") == text
    assert row(label=value).optional("label") == text


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        *(
            ({"label": value}, f"holds a {type(value).__name__}, expected text or a number")
            for value in ([1], {"a": 1}, [], b"Yes")
        ),
        ({"a": 1, "b": 2}, "is missing; the row has the fields a, b$"),
        ({}, "is missing; the row has the fields none$"),
        ({"label": None}, "is null"),
        ({"label": ""}, "is empty"),
        ({"label": "\ud800"}, "holds a lone surrogate"),
        ({"label": float("inf")}, "is inf; expected a finite number or text"),
    ],
)
def test_what_is_no_text_is_named(values: dict[str, object], problem: str) -> None:
    message = f"^x.jsonl line 7: field 'label' {problem}"
    with pytest.raises(RowError, match=message):
        row(**values).text("label")
    if values.get("label") in (None, ""):
        assert row(**values).optional("label") is None
    else:
        with pytest.raises(RowError, match=message):
            row(**values).optional("label")


def test_fields_that_are_not_known_are_kept_as_json_has_them() -> None:
    nan, inf = float("nan"), float("inf")
    kept = row(label="a", n=nan, x=[1, inf, {"a": b"\x00\x01"}], when=date(2024, 2, 29), t=(1, 2))
    assert kept.rest(["label"]) == {
        "n": None,
        "x": [1, None, {"a": "<2 bytes>"}],
        "when": "2024-02-29",
        "t": [1, 2],
    }


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"image": "a.png"}, ("a.png",)),
        ({"image": FIRST}, (FIRST.name,)),
        ({"images": ["b.png", "a.png", "b.png"]}, ("b.png", "a.png", "b.png")),
        ({"images": [SECOND, "a.png"]}, (SECOND.name, "a.png")),
        ({"images": []}, ()),
        ({}, ()),
        ({"image": None, "images": None}, ()),
        ({"image": "a.png", "images": None}, ("a.png",)),
        ({"image": None, "images": ["a.png"]}, ("a.png",)),
        ({"image": ""}, ()),
        ({"image": "", "images": ["a.png"]}, ("a.png",)),
        ({"image": "a.png", "images": ""}, ("a.png",)),
    ],
)
def test_names_come_from_one_field_or_the_other(
    values: dict[str, object], names: tuple[str, ...]
) -> None:
    assert row(**values).names("image", "images") == names


LIST = "field 'images' holds .*expected a list of file names"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"image": "a.png", "images": ["b.png"]}, "has both 'image' and 'images'"),
        ({"image": FIRST, "images": []}, "has both 'image' and 'images'"),
        ({"image": ["a.png"]}, "field 'image' holds a list"),
        *(
            ({"images": images}, LIST)
            for images in ("a.png", ["a.png", 1], [None, "a.png"], ["", FIRST], {"a": 0}, 5, FIRST)
        ),
    ],
)
def test_what_is_no_list_of_names_is_refused(values: dict[str, object], problem: str) -> None:
    with pytest.raises(RowError, match=f"^x.jsonl line 7: {problem}"):
        row(**values).names("image", "images")


def test_a_row_names_itself() -> None:
    error = row().error("what", "how")
    assert (str(error), isinstance(error, ValueError)) == ("x.jsonl line 7: what; how", True)
    assert row().id == "dir/x:6"


@pytest.mark.parametrize("value", ["yes", "Yes ", "", "Maybe", True, None, ["Yes"]])
def test_any_other_choice_is_named_with_those_there_are(value: object) -> None:
    assert row(label="No").choice("label", ("Yes", "No")) == "No"
    is_text = isinstance(value, str | bool) and value != ""
    problem = " is '.*'; expected Yes or No$" if is_text else ""
    with pytest.raises(RowError, match=f"^x.jsonl line 7: field 'label'{problem}"):
        row(label=value).choice("label", ("Yes", "No"))


@pytest.mark.parametrize(
    ("value", "name"),
    [(FIRST, FIRST.name), ("photos/1.jpg", "photos/1.jpg"), (5, "5"), (None, None), ("", None)],
)
def test_a_medium_is_a_file_or_packed(value: object, name: str | None) -> None:
    assert row(image=value).medium("image") == name
    if name is not None:
        assert row(image=value).required_medium("image") == name
    else:
        with pytest.raises(RowError, match=r"^x.jsonl line 7: field 'image' is (empty|null)"):
            row(image=value).required_medium("image")
    assert row(other=value).medium("image") is None


@pytest.mark.parametrize("value", [[FIRST], ["a.png"], {"path": "a.png"}, b"\x89PNG"])
def test_a_medium_is_one_name(value: object) -> None:
    with pytest.raises(RowError, match=r"^x.jsonl line 7: field 'image' holds a "):
        row(image=value).medium("image")


def test_what_is_left_of_a_row_has_no_media() -> None:
    values = {
        "known": 1,
        "icon": FIRST,
        "icons": [FIRST, SECOND],
        "raw": b"\x89PNG",
        "none": [],
        "note": ["a", None],
        "x": None,
    }
    assert row(**values).rest(["known"]) == {"none": [], "note": ["a", None], "x": None}
