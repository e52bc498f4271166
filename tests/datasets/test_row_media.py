import pytest

from savs.datasets import Row, RowError
from savs.datasets.row import PackedMedium

FIRST, SECOND = PackedMedium("v.parquet#6/images/0"), PackedMedium("v.parquet#6/images/1")


def row(**values: object) -> Row:
    return Row("x.jsonl line 7", 6, values, "dir/x")


def test_a_row_without_an_id_is_its_file_and_number() -> None:
    assert row().id == "dir/x:6"


@pytest.mark.parametrize(("value", "text"), [("Yes", "Yes"), (True, "true"), (2, "2")])
def test_a_choice_is_one_of_the_allowed_texts(value: object, text: str) -> None:
    assert row(label=value).choice("label", ("Yes", "true", "2")) == text


@pytest.mark.parametrize("value", ["yes", "Yes ", "", "Maybe", True, None, ["Yes"]])
def test_any_other_choice_is_named_with_its_place(value: object) -> None:
    with pytest.raises(RowError, match=r"^x.jsonl line 7: field 'label' "):
        row(label=value).choice("label", ("Yes", "No"))


def test_a_wrong_choice_is_told_those_there_are() -> None:
    problem = r"^x.jsonl line 7: field 'label' is 'yes'; expected Yes or No$"
    with pytest.raises(RowError, match=problem):
        row(label="yes").choice("label", ("Yes", "No"))
    with pytest.raises(RowError, match=r"'kind' is 'c'; expected a or b$"):
        row(kind="c").choice("kind", {"a": 1, "b": 2})
    with pytest.raises(RowError, match="field 'label' is missing"):
        row(other="Yes").choice("label", ("Yes", "No"))


@pytest.mark.parametrize(
    ("value", "name"),
    [(FIRST, FIRST.name), ("photos/1.jpg", "photos/1.jpg"), (5, "5"), (None, None), ("", None)],
)
def test_a_medium_is_a_file_or_packed(value: object, name: str | None) -> None:
    assert row(image=value).medium("image") == name
    assert row(other=value).medium("image") is None


def test_a_required_medium_is_there() -> None:
    assert row(image=FIRST).required_medium("image") == FIRST.name
    assert row(image="a.png").required_medium("image") == "a.png"
    for values, problem in (
        ({"image": ""}, "field 'image' is empty"),
        ({"image": None}, "field 'image' is null"),
        ({}, "field 'image' is missing"),
    ):
        with pytest.raises(RowError, match=f"^x.jsonl line 7: {problem}"):
            row(**values).required_medium("image")


@pytest.mark.parametrize("value", [[FIRST], ["a.png"], {"path": "a.png"}, b"\x89PNG"])
def test_a_medium_is_one_name(value: object) -> None:
    with pytest.raises(RowError, match=r"^x.jsonl line 7: field 'image' holds a "):
        row(image=value).medium("image")


def test_names_may_be_packed() -> None:
    assert row(image=FIRST).names("image", "images") == (FIRST.name,)
    both = (SECOND.name, FIRST.name)
    assert row(images=[SECOND, FIRST]).names("image", "images") == both
    assert row(images=[FIRST, "a.png"]).names("image", "images") == (FIRST.name, "a.png")
    with pytest.raises(RowError, match="has both 'image' and 'images'"):
        row(image=FIRST, images=[SECOND]).names("image", "images")
    with pytest.raises(RowError, match=r"field 'images' holds .*expected a list of file names"):
        row(images=[None, FIRST]).names("image", "images")
    with pytest.raises(RowError, match=r"field 'images' holds .*expected a list of file names"):
        row(images=FIRST).names("image", "images")


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
