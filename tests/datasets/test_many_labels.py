"""Rows with many labels: what a file may say, and what each mistake is answered with."""

import json
import re

import polars as pl
import pytest

from savs.datasets import Example, RowError, find_benchmark, read_examples
from savs.datasets.benchmarks.options import adapt
from savs.datasets.errors import OptionError
from savs.datasets.label_texts import states_of
from savs.datasets.many_labels import count_labels, label_table
from savs.datasets.rows.label_kinds import MANY
from savs.datasets.splits.labels import check_splits, label_doubts, unknown_labels
from savs.datasets.splits.shots import Shots
from savs.pipeline.inputs.input_options import labels_form

GENERAL = find_benchmark("general")


def form(**options):
    names = ("task", "positive", "label_separator", "label_columns")
    wanted: dict = dict.fromkeys(names)
    return labels_form(**wanted | options)


FORMS = {
    "list": form(task="many-labels"),
    "separator": form(label_separator="|"),
    "columns": form(label_columns=("cat", "dog", "bird")),
}


def read(tmp_path, spelt, *rows, split="train"):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"question": "?", **row}) for row in rows))
    return read_examples(adapt(GENERAL, labels=FORMS[spelt]), path, split)


@pytest.mark.parametrize(
    ("spelt", "row", "text"),
    [
        ("list", {"label": ["dog", "cat"]}, '["cat","dog"]'),
        ("list", {"label": []}, "[]"),
        ("list", {"label": '["dog"]'}, '["dog"]'),
        ("list", {"label": {"dog": True, "cat": None, "bird": False}}, '{"cat":null,"dog":true}'),
        ("list", {"label": {"dog": True, "bird": False}}, '["dog"]'),
        ("list", {"label": '{"cat": null}'}, '{"cat":null}'),
        ("separator", {"label": "dog | cat"}, '["cat","dog"]'),
        ("separator", {"label": "dog"}, '["dog"]'),
        ("separator", {"label": "|"}, "[]"),
        ("separator", {"label": '["a|b"]'}, '["a|b"]'),
        ("columns", {"cat": 1, "dog": 0, "bird": "1"}, '["bird","cat"]'),
        ("columns", {"cat": 0, "dog": "", "bird": True}, '{"bird":true,"dog":null}'),
        ("columns", {"cat": 0.0, "dog": "FALSE", "bird": 0}, "[]"),
    ],
)
def test_labels_become_one_text_however_they_are_spelt(tmp_path, spelt, row, text):
    (example,) = read(tmp_path, spelt, row)
    assert example.label == text
    assert example.extra == {}


@pytest.mark.parametrize(
    ("spelt", "row", "message"),
    [
        ("list", {"label": "cat"}, r"line 2: field 'label' is 'cat'; expected a list"),
        ("list", {"label": 3}, r"field 'label' is 3; expected a list"),
        ("list", {"label": ["cat", 3]}, r"field 'label' has the label 3; expected text"),
        ("list", {"label": ["cat", "cat"]}, r"has the label 'cat' twice; name it once"),
        ("list", {"label": ["cat", " "]}, r"has an empty label"),
        ("list", {"label": '["cat"'}, r"field 'label' is no JSON"),
        ("list", {"label": {"cat": 2}}, r"label 'cat' is 2; expected true, false or null"),
        ("list", {"label": {"cat": 1}}, r"label 'cat' is 1; expected true, false or null"),
        ("list", {"label": None}, r"has no label"),
        ("list", {"label": ["cat"], "subtask": "a"}, r"a subtask and many labels"),
        ("list", {"label": ["\ud800"]}, r"lone surrogate"),
        ("separator", {"label": "cat||dog"}, r"has an empty label"),
        ("separator", {"label": "cat|cat"}, r"'cat' twice"),
        ("columns", {"cat": 1, "dog": 2, "bird": 0}, r"label 'dog' is '2'; expected 0, 1"),
        ("columns", {"cat": 1, "dog": 0}, r"column 'bird' of `label_columns` is missing"),
        ("columns", {"cat": "", "dog": None, "bird": ""}, r"has no label"),
    ],
)
def test_a_wrong_form_names_the_row_and_the_label(tmp_path, spelt, row, message):
    good = {"cat": 1, "dog": 0, "bird": 0} if spelt == "columns" else {"label": ["dog"]}
    with pytest.raises(RowError, match=message):
        read(tmp_path, spelt, good, row)


def test_one_label_a_row_is_the_rule_and_a_list_says_how_to_change_that(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "?", "label": ["cat"]}')
    with pytest.raises(
        RowError, match="holds a list, expected text or a number; pass `task` many-labels"
    ):
        read_examples(GENERAL, path, "train")


@pytest.mark.parametrize("spelt", FORMS)
def test_rows_may_wait_for_their_labels(tmp_path, spelt):
    assert read(tmp_path, spelt, {"id": "a"}, split="unlabelled")[0].label is None
    if spelt != "columns":
        assert read(tmp_path, spelt, {"label": ""}, split="test")[0].label is None


@pytest.mark.parametrize(
    "options",
    [
        {"task": "ordinal", "label_separator": "|"},
        {"task": "ordinal", "positive": "a"},
        {"task": "number"},
        {"positive": " "},
        {"label_separator": " "},
        {"label_columns": ("a", "a")},
        {"label_columns": ()},
    ],
)
def test_options_that_say_two_things_or_nothing_are_refused(options):
    with pytest.raises(OptionError):
        form(**options)


def test_other_benchmarks_and_several_questions_have_one_label():
    with pytest.raises(OptionError, match="`task` or `positive` is an option of general only"):
        adapt(find_benchmark("vizwiz"), labels=FORMS["list"])
    with pytest.raises(OptionError, match="one question, not several"):
        adapt(GENERAL, question=["a?", "b?"], labels=FORMS["list"])
    with pytest.raises(OptionError, match="with a positive class, rows take one question"):
        adapt(GENERAL, question=["a?", "b?"], labels=form(positive="x"))
    for options in ({"question": "a?"}, {}):
        with pytest.raises(OptionError, match="`task` or `positive` is an option of general only"):
            adapt(find_benchmark("image-folder"), labels=FORMS["list"], **options)
    with pytest.raises(OptionError, match="both give the labels"):
        adapt(GENERAL, columns={"label": "x"}, labels=FORMS["columns"])


def test_shots_are_drawn_for_each_label_and_for_rows_without_any():
    texts = ['["cat","dog"]', '["cat"]', '["dog"]', "[]", '["bird"]', '["bird","cat"]', "[]"] * 4
    texts.append('{"ant":null,"cat":true}')  # of an unknown label none is drawn
    pool = [
        Example(id=str(i), split="test", index=i, label=text, prompt="?")
        for i, text in enumerate(texts)
    ]
    shots = Shots(3, kind=MANY)
    for train in (shots.draw(pool), shots.split(pool, [e.id for e in pool])[0]):
        counts = count_labels(example.label for example in train)
        assert set(counts) == {"cat", "dog", "bird"}
        assert min(counts.values()) >= 3
        assert sum(example.label == "[]" for example in train) >= 3
        assert len(train) < 18
    more = Shots(5, kind=MANY).draw(pool)
    assert {e.id for e in shots.draw(pool)} <= {e.id for e in more}
    with pytest.raises(RowError, match="label 'dog' has 8 examples, `shots` asks for 9"):
        Shots(9, kind=MANY).draw(pool)


def test_texts_say_of_each_label_what_they_know():
    texts = pl.Series(['["a","c"]', '{"a":null,"b":true}', "[]", None, '{"c":null}'])
    table = label_table(texts, ["a", "b"])
    assert table.states.tolist() == [[1, -1, 0, -1, 0], [0, 1, 0, -1, 0]]
    assert table.others.tolist() == [1, 0, 0, 0, 0]  # what is unknown is not there
    assert states_of("[]") == {}
    assert count_labels(texts) == {"a": 1, "c": 1, "b": 1}


def test_doubts_are_of_labels_not_of_their_sets():
    def example(split, number, label):
        return Example(id=f"{number}", split=split, index=0, label=label, prompt="?")

    train = [example("train", i, '["cat","dog"]') for i in range(20)]
    test = [example("test", 0, '["cat"]'), example("test", 1, '["Dog "]')]
    (line,) = unknown_labels(train, test, kind=MANY)
    assert line.startswith("test label 'Dog ' (1 example) is in no training example (did you mean")
    names = ["id", "subtask", "label", "prompt", "media", "media_sha256"]
    rows = [(str(i), None, '["cat","dog"]', f"{i}", [], []) for i in range(30)]
    rows.append(("x", None, '["Cat"]', "x", [], []))
    (line,) = label_doubts(pl.DataFrame(rows, schema=names, orient="row"), kind=MANY)
    assert line == "labels 'cat' (30 examples) and 'Cat' (1 example) differ by case or spaces" + (
        " alone: one class?"
    )


@pytest.mark.parametrize(
    ("spelt", "none"), [("list", "[]"), ("separator", "|"), ("columns", "0 in each column")]
)
def test_an_empty_cell_says_what_to_write_for_none_of_the_labels(spelt, none):
    train = [Example(id="a", split="train", index=0, label=None, prompt="?")]
    with pytest.raises(RowError, match=re.escape(f"none of the labels says {none}")):
        check_splits(train, [], FORMS[spelt])


def test_the_task_may_be_named_beside_the_form_of_its_labels():
    assert form(task="many-labels", label_separator="|") == FORMS["separator"]
