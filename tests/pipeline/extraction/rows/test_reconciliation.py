"""What became of the rows of a folder: a pure comparison, case by case."""

from dataclasses import replace

import pytest

from savs.datasets import Example
from savs.pipeline.extraction.rows.reconciliation import (
    Contents,
    GivenRow,
    StoredRow,
    outcome_text,
    reconcile,
)

BROKEN = ""
"""Content of a file that cannot be read."""


def given(path: str, content: str) -> GivenRow:
    label = path.split("/")[0]
    split = "unlabelled" if label == "unlabelled" else "train"
    label = None if split == "unlabelled" else label
    example = Example(path, split, 0, label, "What?", (path,))
    contents = None if content == BROKEN else Contents((content,), "What?", None)
    return GivenRow(example, contents)


def stored(path: str, content: str, *, out: bool = False) -> StoredRow:
    """Return a row that was planned as it is called; `!` before its content: it was skipped."""
    row = given(path, content)
    last = replace(row.placed, split=None) if out else row.placed
    digests = tuple(filter(None, [content.removeprefix("!")]))
    contents = Contents(digests, "What?", None)
    return StoredRow(row.example.split, path, contents, content.startswith("!"), last)


AB = (stored("a/1", "x"), stored("a/2", "y"), stored("b/3", "z"))


@pytest.mark.parametrize(
    ("rows", "files", "said", "unread"),
    [
        pytest.param(AB, {"a/1": "x", "a/2": "y", "b/3": "z"}, "nothing changed", "", id="same"),
        pytest.param(AB, {"b/1": "x", "a/2": "y", "b/3": "z"}, "1 moved", "", id="moved"),
        pytest.param(AB, {"a/2": "x", "a/1": "y", "b/3": "z"}, "2 moved", "", id="swapped"),
        pytest.param(AB, {"a/1": "y", "b/3": "z"}, "1 moved, 1 removed", "", id="put over another"),
        pytest.param(AB, {"a/1": "X", "a/2": "y", "b/3": "z"}, "1 edited", "a/1", id="edited"),
        pytest.param(
            AB, {"a/1": BROKEN, "a/2": "y", "b/3": "z"}, "1 edited", "a/1", id="broken now"
        ),
        pytest.param(AB, {"a/4": "n", "a/2": "y"}, "1 new, 2 removed", "a/4", id="new and gone"),
        pytest.param(
            AB, {"a/1": "x", "a/2": "x", "b/3": "z"}, "1 edited", "a/2", id="a copy over another"
        ),
        pytest.param(
            (stored("a/1", "x"), stored("a/2", "x")), {"a/2": "x"}, "1 removed", "", id="a copy"
        ),
        pytest.param((stored("a/1", "x", out=True),), {"b/1": "x"}, "1 returned", "", id="back"),
        pytest.param((stored("a/1", "!"),), {"a/1": BROKEN}, "nothing changed", "", id="broken"),
        pytest.param((stored("a/1", "!x"),), {"a/1": "x"}, "nothing changed", "", id="no image"),
        pytest.param((stored("a/1", "!x"),), {"a/1": "y"}, "1 edited", "a/1", id="mended"),
        pytest.param(
            (stored("a/1", "!"),), {"b/1": "y"}, "1 new, 1 removed", "b/1", id="elsewhere"
        ),
        pytest.param(
            (stored("unlabelled/1", "x"),), {"a/1": "x"}, "1 moved", "", id="got its class"
        ),
        pytest.param(AB[:1], {"a/1": "x", "b/1": "x"}, "1 in conflict", "", id="a conflict"),
    ],
)
def test_each_file_is_what_its_bytes_say(rows, files, said, unread) -> None:
    found = reconcile(rows, [given(*file) for file in files.items()], has_classes=True)
    assert outcome_text(found.outcomes, 0) == said
    assert [row.example.id for row in found.unread] == unread.split()
    there = {row.id: row.label for row in found.placed.values() if row.split is not None}
    used = {n: None if n.startswith("unlabelled") else n[0] for n in files if n not in unread}
    assert there == ({} if found.conflicts else used)


def test_a_row_that_is_skipped_again_is_tried_if_it_may_not_be() -> None:
    rows, now = [stored("a/1", "!x")], [given("a/1", "x")]
    found = reconcile(rows, now, fails_again=lambda row, file: False)
    assert found.unread == now


def test_rows_with_outputs_of_a_split_stay_in_it() -> None:
    rows, now = [stored("unlabelled/1", "x")], [given("a/1", "x")]
    found = reconcile(rows, now, in_split=True)
    assert found.unread == now
    assert [row.id for row in found.removed] == ["unlabelled/1"]
    (match,) = reconcile(AB[:1], [given("a/9", "x")], in_split=True).matches
    assert match[0] is AB[0]


@pytest.mark.parametrize(
    ("files", "renamed", "gone"),
    [
        pytest.param({"c/1": "x", "c/2": "y", "b/3": "z"}, {"a": "c"}, [], id="renamed"),
        pytest.param({"c/1": "x", "b/3": "z"}, {"a": "c"}, [], id="renamed, one removed"),
        pytest.param({"b/1": "x", "b/2": "y", "a/3": "z"}, {"a": "b", "b": "a"}, [], id="swapped"),
        pytest.param({"b/1": "x", "b/2": "y", "b/3": "z"}, {}, [], id="joined"),
        pytest.param(
            {"c/1": "x", "c/2": "y", "c/3": "z"}, {"a": "c", "b": "c"}, [], id="joined in a new one"
        ),
        pytest.param({"c/1": "x", "a/2": "y", "c/3": "z"}, {"b": "c"}, [], id="and one moved in"),
        pytest.param({"c/1": "x", "a/2": "y", "b/3": "z"}, {}, [], id="one file alone"),
        pytest.param({"c/1": "x", "d/2": "y", "b/3": "z"}, {}, [], id="split in two"),
        pytest.param({"b/3": "z"}, {}, ["a"], id="gone"),
    ],
)
def test_a_class_that_goes_as_a_whole_to_a_new_name_is_renamed(files, renamed, gone) -> None:
    found = reconcile(AB, [given(*file) for file in files.items()])
    assert found.renamed_classes() == renamed
    assert [*found.gone_classes(AB)] == gone


def test_rows_without_a_class_that_go_are_no_class() -> None:
    rows = [stored("unlabelled/1", "x"), *AB]
    found = reconcile(rows, [given("b/3", "z")])
    assert [row.id for row in found.removed] == ["unlabelled/1", "a/1", "a/2"]
    assert [*found.gone_classes(rows)] == ["a"]


@pytest.mark.parametrize(
    ("medium", "said"), [("1.png", "1 edited"), ("t.parquet#0/image", "1 new, 1 removed")]
)
def test_a_place_in_a_table_is_that_of_another_row_now(medium, said) -> None:
    """A row of a table that has its media in it is known by its id, whichever line it is on."""
    before, now = stored("a/1", "x"), given("b/2", "y")
    before = replace(before, last=replace(before.last, media=(medium,)))
    now = replace(now, example=replace(now.example, media=(medium,)))
    assert outcome_text(reconcile([before], [now]).outcomes, 0) == said


def test_of_several_prompts_an_image_counts_once() -> None:
    outcomes = [("moved", "a/1#1"), ("moved", "a/1#2"), ("new", "a/2#1"), ("new", "a/2#2")]
    assert outcome_text(outcomes, prompts=2) == "1 new, 1 moved"
