"""Doubtful labels, each kind by itself and in the commands' own reading of files."""

import polars as pl
import pytest

from savs.datasets import RowError, find_benchmark
from savs.datasets.splits.labels import UNEVEN, label_doubts
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source

COLUMNS = dict.fromkeys(("id", "subtask", "label", "prompt"), pl.String)
COLUMNS |= dict.fromkeys(("media", "media_sha256"), pl.List(pl.String))


def table(*rows):
    """Return examples: label, then what differs from an image of its own."""
    made = []
    for number, row in enumerate(rows):
        values = {"label": row} if isinstance(row, str) else row
        own = {"id": f"r{number}", "prompt": "?", "media": [f"{number}.png"], "media_sha256": []}
        made.append({name: (own | values).get(name) for name in COLUMNS})
    return pl.DataFrame(made, schema=COLUMNS)


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


IMAGE, TEXT = {"media": ["a.png"]}, {"media": []}


@pytest.mark.parametrize(
    ("rows", "doubts"),
    [
        (["cat", "dog", "10", "1", "nan", "inf", "cat"], []),
        (
            [{"label": label, "media_sha256": ["s"]} for label in ("cat", "dog")] + ["cat", "dog"],
            ["the same media and prompt have several labels, once: r0 is 'cat'; r1 is 'dog'"],
        ),
        ([IMAGE | {"label": word, "prompt": f"{word}?"} for word in ("cat", "left")], []),
        (
            [{"label": "cat"} | IMAGE, "dog", {"label": "cat"} | IMAGE, {"label": "cat"} | IMAGE],
            ["2 examples repeat an earlier one with the same label: r2 as r0"],
        ),
        ([TEXT | {"label": label, "prompt": "Which?"} for label in "ab"], []),
        ([TEXT | {"label": label, "prompt": ""} for label in "aab"], []),
        (
            [TEXT | {"label": "a", "prompt": "warm"}] * 2 + ["b"],
            ["1 example repeats an earlier one with the same label: r1 as r0"],
        ),
        (["a"] * (UNEVEN - 1) + ["b"], []),
        (["a"] * 20 + ["b"], ["'b' has only 1 example ('a' has 20): add more"]),
        ([{"label": "a", "subtask": "x"}, {"label": "A", "subtask": "y"}], []),
        (
            [{"label": label, "subtask": "x"} for label in "aA"],
            ["subtask 'x': labels 'a' (1 example) and 'A' (1 example) differ by case or spaces"
             " alone: one class?"],
        ),
    ],
    ids=[
        "none", "an image of two labels", "an image of two prompts", "repeats",
        "a text of two labels", "no text", "a text twice", "nearly uneven", "uneven",
        "alike in two subtasks", "alike in one subtask",
    ],
)  # fmt: skip
def test_each_doubt_is_named(rows, doubts):
    assert label_doubts(table(*rows)) == doubts
    of_test = [f"test: {line}" for line in doubts if "labels" in line]
    assert label_doubts(table(*rows), "test") == of_test


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
    both = Source(find_benchmark("general"), InputOptions(train=given.train, test=given.train))
    assert "test: the same media and prompt have several labels, once: train:0 is 'x'" in str(
        both.notes(both.examples())
    )
    strict = InputOptions(train=given.train, strict=True)
    with pytest.raises(
        RowError, match=r"`strict` allows no doubt:\n  .*train:0 is 'x'.*\ncorrect the input"
    ):
        Source(find_benchmark("general"), strict).notes(source.examples())


def test_a_number_and_its_text_are_one_class(inputs):
    rows = [{"image": inputs.image(f"{n}.png", n), "question": "?", "label": label}
            for n, label in enumerate((1, "1", 2))]  # fmt: skip
    source = Source(find_benchmark("general"), InputOptions(train=inputs.rows("t.jsonl", rows)))
    assert [example.label for example in source.examples()["train"]] == ["1", "1", "2"]


def test_strict_lets_labels_without_doubt_through(inputs):
    rows = [
        {"image": inputs.image(f"{n}.png", n), "question": "?", "label": label}
        for n, label in enumerate("ab")
    ]
    given = InputOptions(train=inputs.rows("train.jsonl", rows), strict=True)
    source = Source(find_benchmark("general"), given)
    assert source.notes(source.examples()) == []
