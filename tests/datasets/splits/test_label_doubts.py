"""Doubtful labels, each kind by itself and in the commands' own reading of files."""

import polars as pl
import pytest

from savs.datasets import RowError, find_benchmark
from savs.datasets.splits.labels import UNEVEN, label_doubts, refuse_doubts
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source

COLUMNS = {
    "id": pl.String,
    "subtask": pl.String,
    "label": pl.String,
    "prompt": pl.String,
    "media": pl.List(pl.String),
    "media_sha256": pl.List(pl.String),
}


def table(*rows):
    """Return examples: label, then what differs from an image of its own."""
    made = []
    for number, row in enumerate(rows):
        values = {"label": row} if isinstance(row, str) else row
        own = {"id": f"r{number}", "prompt": "?", "media": [f"{number}.png"], "media_sha256": []}
        made.append({name: (own | values).get(name) for name in COLUMNS})
    return pl.DataFrame(made, schema=COLUMNS)


def test_labels_without_doubt_are_silent():
    assert label_doubts(table("cat", "dog", "10", "1", "nan", "inf", "cat")) == []


@pytest.mark.parametrize(
    ("first", "second", "how"),
    [
        ("cat", "Cat", "differ by case or spaces alone"),
        ("cat", " cat", "differ by case or spaces alone"),
        ("big cat", "big  cat", "differ by case or spaces alone"),
        ("straße", "STRASSE", "differ by case or spaces alone"),
        ("1", "1.0", "are the same number"),
        ("01", "1", "are the same number"),
    ],
)
def test_labels_that_look_alike_are_named(first, second, how):
    assert label_doubts(table(first, second, first)) == [
        f"labels {first!r} (2 examples) and {second!r} (1 example) {how}: one class?"
    ]


def test_the_same_image_under_two_labels_is_named():
    same = {"media_sha256": ["s"]}
    found = label_doubts(table({"label": "cat"} | same, {"label": "dog"} | same, "cat", "dog"))
    assert found == [
        "the same media and prompt have several labels, once: r0 is 'cat'; r1 is 'dog'"
    ]


def test_the_same_image_under_another_prompt_may_have_another_label():
    shown = {"media": ["a.png"]}
    rows = (
        {"label": "cat", "prompt": "What?"} | shown,
        {"label": "left", "prompt": "Where?"} | shown,
    )
    assert label_doubts(table(*rows)) == []


def test_repeats_are_named():
    again = {"label": "cat", "media": ["a.png"]}
    assert label_doubts(table(again, "dog", again, again)) == [
        "2 examples repeat an earlier one with the same label: r2 as r0"
    ]


def test_prompts_of_several_labels_say_nothing_without_media():
    text = {"media": [], "prompt": "Which?"}
    rows = table({"label": "a"} | text, {"label": "b"} | text, {"label": "a", "media": [],
                 "prompt": ""}, {"label": "a", "media": [], "prompt": ""})  # fmt: skip
    assert label_doubts(rows) == []
    twice = {"label": "a", "media": [], "prompt": "warm"}
    assert len(label_doubts(table(twice, twice, "b"))) == 1


def test_uneven_classes_are_named_from_ten_to_one():
    assert label_doubts(table(*["a"] * (UNEVEN - 1), "b")) == []
    assert label_doubts(table(*["a"] * 20, "b")) == [
        "class 'a' has 20 examples, class 'b' has 1: add some of it"
    ]


def test_subtasks_are_looked_at_one_by_one():
    assert label_doubts(table({"label": "a", "subtask": "x"}, {"label": "A", "subtask": "y"})) == []
    found = label_doubts(table({"label": "a", "subtask": "x"}, {"label": "A", "subtask": "x"}))
    assert found[0].startswith("subtask 'x': labels 'a'")


def test_strict_refuses_doubts():
    assert refuse_doubts([], strict=True) == []
    assert refuse_doubts(["x"], strict=False) == ["x"]
    with pytest.raises(RowError, match=r"--strict allows no doubt:\n  x\ncorrect the input"):
        refuse_doubts(["x"], strict=True)


def test_files_are_compared_by_content(inputs):
    image = inputs.image("a.png", 1)
    (inputs.root / "b.png").write_bytes((inputs.root / image).read_bytes())
    rows = [
        {"image": name, "question": "?", "label": label}
        for name, label in (("a.png", "x"), ("b.png", "y"))
    ]
    given = InputOptions(train=inputs.rows("train.jsonl", rows))
    source = Source(find_benchmark("general"), given)
    notes = source.notes(source.examples())
    assert notes == [
        "the same media and prompt have several labels, once: train:0 is 'x'; train:1 is 'y'"
    ]
    strict = InputOptions(train=given.train, strict=True)
    with pytest.raises(RowError, match="train:0 is 'x'"):
        Source(find_benchmark("general"), strict).notes(source.examples())


def test_a_number_and_its_text_are_one_class(inputs):
    rows = [{"image": inputs.image(f"{n}.png", n), "question": "?", "label": label}
            for n, label in enumerate((1, "1", 2))]  # fmt: skip
    source = Source(find_benchmark("general"), InputOptions(train=inputs.rows("t.jsonl", rows)))
    assert [example.label for example in source.examples()["train"]] == ["1", "1", "2"]
