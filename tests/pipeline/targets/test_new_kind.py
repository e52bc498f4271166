"""A kind of labels that savs does not know: a file of targets and a line of the table are enough.

Rows have shares of classes, {"cat": 0.7, "dog": 0.3}; the likeliest class is learned.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import savs
from savs.datasets import RowError
from savs.datasets.rows.label_kinds import LabelKind
from savs.pipeline.cli.app import app
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.labelling import Labeller
from savs.pipeline.targets.catalogue import TARGETS, TASKS, Known
from savs.pipeline.targets.one import OneClass

ROWS, TRAIN = 60, 40


class SharesOfRows(LabelKind):
    def read(self, row, column, form):
        value = row.values.get(column)
        if value in (None, ""):
            return None
        shares = json.loads(value) if isinstance(value, str) else value
        if not isinstance(shares, Mapping) or abs(sum(shares.values()) - 1) > 1e-6:
            raise row.error(f"field {column!r} is {value!r}", "expected shares that add up to 1")
        return json.dumps(dict(shares))

    def names(self, text):
        return list(json.loads(text))


def likeliest(text: str) -> str:
    shares = json.loads(text)
    return max(shares, key=shares.__getitem__)


def as_classes(table):
    return table.with_columns(pl.col("label").map_elements(likeliest, return_dtype=pl.String))


class Shares(OneClass):
    name, noun = "shares", "shares of classes"
    kind = SharesOfRows("shares of classes", ("shares",), can_be_drawn=False)

    def tasks(self, rows):
        planned, readable = as_classes(rows.planned), as_classes(rows.readable)
        return super().tasks(replace(rows, planned=planned, readable=readable))

    def columns(self, examples, parts, risk):
        return super().columns(as_classes(examples), parts, risk)

    def left_out(self, selection, examples, parts):
        return super().left_out(selection, as_classes(examples), parts)


SHARES = Shares()


@pytest.fixture(autouse=True)
def known(monkeypatch) -> None:
    monkeypatch.setitem(TARGETS, "shares", Known("shares.SHARES", "shares (of classes)"))
    monkeypatch.setitem(TASKS, "shares", "shares")
    monkeypatch.setitem(sys.modules, "savs.pipeline.targets.shares", sys.modules[__name__])


@pytest.fixture
def rows(tmp_path):
    """Features that tell of the larger share, and a file of rows; the last five have no label."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=ROWS)
    features = rng.normal(size=(ROWS, 6, 8)) + 2 * hidden[:, None, None] * rng.normal(size=(6, 8))
    np.save(tmp_path / "f.npy", features.astype(np.float32))
    lines = []
    for number, value in enumerate(hidden):
        more, less = ("left", "right") if value < 0 else ("right", "left")
        split = "train" if number < TRAIN else "test" if number < ROWS - 5 else "unlabelled"
        label = None if split == "unlabelled" else {more: 0.75, less: 0.25}
        lines.append(json.dumps({"id": f"e{number}", "label": label, "split": split}))
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines))
    return path


def imported(rows):
    place = rows.parent / "store"
    return savs.import_features(rows.parent / "f.npy", rows, out=place, task="shares").store


def test_rows_are_read_trained_on_measured_and_labelled(rows):
    store = imported(rows)
    assert store.benchmark["options"] == {"labels": {"form": "shares"}}
    trained = savs.train(store)
    assert trained.selection.labels == "shares"
    assert trained.expected.metrics[0].value > 0.9
    assert savs.load_selection(trained.folder).target is SHARES
    labeller = Labeller(store)
    assert {*labeller.classes[None]} == {"left", "right"}
    assert labeller.give({"e57": {"left": 0.6, "right": 0.4}}).changes.height == 1
    for words in (["show"], ["evaluate"], ["suggest", "--n", "2"], ["report"]):
        out = ["--out", str(rows.parent / "report.html")] if words == ["report"] else []
        done = CliRunner().invoke(app, [words[0], str(store.path), *words[1:], *out])
        assert done.exit_code == 0, f"{words} {done.output} {done.exception!r}"


def test_its_own_messages_name_the_row(rows):
    rows.write_text(rows.read_text().replace("0.25", "0.5", 1))
    with pytest.raises(RowError, match=r"rows\.jsonl line 1: field 'label' is .*add up to 1"):
        imported(rows)


def test_what_it_cannot_do_is_refused_by_its_name(rows):
    with pytest.raises(ValueError, match="`task` shares has none"):
        InputOptions(test=rows, task="shares", shots=3)
    with pytest.raises(ValueError, match="with shares of classes, rows take one question"):
        savs.extract(
            "general", train=rows, model="demo", out="out", task="shares", question=["A?", "B?"]
        )
