"""Rows whose labels are numbers, or classes of which one is positive: what is read and refused."""

import json

import polars as pl
import pytest

from savs.datasets import RowError, find_benchmark, read_examples
from savs.datasets.benchmarks.options import adapt, as_stored
from savs.datasets.rows.label_kinds import CLASS
from savs.datasets.rows.plugin_guard import compute_metrics
from savs.datasets.splits.labels import check_splits, label_doubts, unknown_labels
from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.targets import labels_of
from savs.pipeline.targets.numbers import ORDINALS, REGRESSIONS

GENERAL = find_benchmark("general")


def read(tmp_path, *labels, split="train", **options):
    path = tmp_path / "rows.jsonl"
    cells = [one if isinstance(one, dict) else {"label": one} for one in labels]
    path.write_text("\n".join(json.dumps({"question": "?", **cell}) for cell in cells))
    return read_examples(adapt(GENERAL, labels=InputOptions(**options).labels), path, split)


def test_numbers_are_kept_as_their_shortest_text(tmp_path):
    read_ = read(tmp_path, 3, "2.50", 1e3, "-0", 0.1, task="regression")
    assert [example.label for example in read_] == ["3", "2.5", "1000", "0", "0.1"]
    assert read(tmp_path, None, "", split="test", task="ordinal")[1].label is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "many",
            r"rows\.jsonl line 2: field 'label' is 'many'; expected a finite number such as 3",
        ),
        ("nan", r"rows\.jsonl line 2: field 'label' is 'nan'"),
        ("\u0663", r"rows\.jsonl line 2: field 'label' is '\u0663'"),  # a digit of another script
        (True, r"rows\.jsonl line 2: field 'label' is True"),
        ([1], r"rows\.jsonl line 2: field 'label' is \[1\]"),
        ({"label": 2, "subtask": "a"}, r"rows\.jsonl line 2: it has a subtask and a number"),
        ({"id": "a"}, r"rows\.jsonl line 2: field 'label' is missing"),
    ],
)
def test_a_label_that_is_no_number_is_named_with_its_row(tmp_path, row, message):
    with pytest.raises(RowError, match=message):
        read(tmp_path, 1, row, task="regression")


def test_one_number_and_a_positive_class_that_is_not_there_are_named(tmp_path):
    same = read(tmp_path, 5, "5.0", task="ordinal")
    with pytest.raises(RowError, match="all training examples have the number 5, from 'rows:0'"):
        check_splits(same, [], InputOptions(task="ordinal").labels)
    pets = read(tmp_path, "cat", "dog")
    form = InputOptions(positive="Cat").labels
    with pytest.raises(RowError, match="has the positive class 'Cat', from 'rows:0' to 'rows:1'"):
        check_splits(pets, [], form)
    check_splits(pets, [], InputOptions(positive="cat").labels)


def test_numbers_are_not_doubted_as_classes_are(tmp_path):
    train = read(tmp_path, *[1] * 12, 2, task="ordinal")
    columns = ("id", "subtask", "label", "prompt")
    rows = [{name: getattr(e, name) for name in columns} for e in train]
    table = pl.DataFrame(rows).with_columns(
        media=pl.lit([], pl.List(pl.String)), media_sha256=pl.lit([], pl.List(pl.String))
    )
    assert any("'2' has only 1 example" in line for line in label_doubts(table))
    assert not any("has only" in line for line in label_doubts(table, kind=ORDINALS.kind))
    assert unknown_labels(train[:1], train[-1:], REGRESSIONS.kind) == []


def test_a_regression_has_no_classes_to_draw_from():
    with pytest.raises(ParameterError, match="`shots` are drawn per class"):
        InputOptions(test="a.csv", task="regression", shots=3)
    assert InputOptions(test="a.csv", task="ordinal", shots=3).draw is not None


def test_a_positive_class_adds_the_metrics_that_rank_by_it():
    form = InputOptions(positive="bad").labels
    benchmark = adapt(GENERAL, labels=form)
    facts = {"name": "general", "options": benchmark.options}
    assert labels_of(facts).kind is CLASS
    votes = [
        [{"class": "bad", "soft": soft}, {"class": "good", "soft": 1 - soft}]
        for soft in (0.9, 0.6, 0.4, 0.2)
    ]
    table = pl.DataFrame(
        {
            "label": ["bad", "good", "bad", "good"],
            "correct": [True, False, False, True],
            "subtask": pl.Series([None] * 4, dtype=pl.String),
            "cluster": list("abcd"),
            "votes": votes,
        }
    )
    for one in (benchmark, as_stored(GENERAL, facts)):
        made = compute_metrics(one, table, {None: ["bad", "good"]})
        found = {units.name: units.scores["score"].mean() for units in made}
        # the order is bad good bad good: one of two good ones is above the last bad one
        assert found == pytest.approx(
            {
                "average precision": 5 / 6,
                "ROC-AUC": 0.75,
                "FPR at 95 % TPR": 0.5,
                "accuracy": 0.5,
                "balanced accuracy": 0.5,
            }
        )
