from datetime import date

import pytest

from savs.datasets import Row, RowError


def row(**values: object) -> Row:
    return Row("x.jsonl line 7", 6, values)


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
    ("value", "kind"), [([1], "list"), ({"a": 1}, "dict"), ([], "list"), (b"Yes", "bytes")]
)
def test_a_composite_is_not_text(value: object, kind: str) -> None:
    problem = f"^x.jsonl line 7: field 'label' holds a {kind}, expected text or a number"
    with pytest.raises(RowError, match=problem):
        row(label=value).text("label")
    with pytest.raises(RowError, match=problem):
        row(label=value).optional("label")


def test_a_required_field_that_is_missing_is_named_with_those_there_are() -> None:
    with pytest.raises(RowError, match=r"^x.jsonl line 7: field 'label' is missing; .* a, b$"):
        row(a=1, b=2).text("label")
    with pytest.raises(RowError, match=r"field 'label' is missing; the row has the fields none$"):
        row().text("label")


def test_a_required_field_that_is_null_is_told_from_a_missing_one() -> None:
    with pytest.raises(RowError, match=r"^x.jsonl line 7: field 'label' is null"):
        row(label=None).text("label")


def test_an_optional_field_may_be_missing_null_or_empty() -> None:
    assert row().optional("group") is None
    assert row(group=None).optional("group") is None
    assert row(group="").optional("group") is None
    assert row(group=" ").optional("group") == " "


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
        ({"images": ["b.png", "a.png", "b.png"]}, ("b.png", "a.png", "b.png")),
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


@pytest.mark.parametrize("images", [["b.png"], []])
def test_both_fields_at_once_are_refused(images: list[str]) -> None:
    with pytest.raises(RowError, match=r"^x.jsonl line 7: has both 'image' and 'images'"):
        row(image="a.png", images=images).names("image", "images")


@pytest.mark.parametrize(
    "images", ["a.png", ["a.png", 1], [None, "a.png"], ["", "a.png"], {"a.png": 0}, 5]
)
def test_a_list_of_names_holds_texts_alone(images: object) -> None:
    with pytest.raises(RowError, match=r"line 7: field 'images' holds .*expected a list of file"):
        row(images=images).names("image", "images")


def test_one_name_is_no_list() -> None:
    with pytest.raises(RowError, match=r"line 7: field 'image' holds a list"):
        row(image=["a.png"]).names("image", "images")


def test_an_error_is_also_the_builtin_that_a_caller_would_catch() -> None:
    error = row().error("what", "how")
    assert str(error) == "x.jsonl line 7: what; how"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("value", "problem"),
    [("", "field 'label' is empty"), ("\ud800", "field 'label' holds a lone surrogate")],
)
def test_text_that_cannot_be_a_label(value: str, problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        row(label=value).text("label")
