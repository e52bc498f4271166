"""A report of many labels: its numbers are those of metrics.json, and of a count by hand."""

import json

import numpy as np
import pytest
from label_stores import LABELS, make_many
from reported import Page
from typer.testing import CliRunner

import savs
from savs.pipeline.cli.app import app
from savs.pipeline.running.formatting import percent


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    store, states, _ = make_many(tmp_path_factory.mktemp("many") / "store")
    for readout in ("vote", "posterior"):
        found = savs.calibrate(store, savs.select(store, heads=4, readout=readout)).selection
        savs.save_evaluation(savs.evaluate(store, found), store.path / "results" / readout)
    out = store.path / "report.html"
    done = CliRunner().invoke(app, ["report", str(store.path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    content = savs.report(store.path, out=out)
    metrics = json.loads((store.path / "results" / "vote" / "metrics.json").read_text())
    return content, Page(out), metrics, states[90:]


@pytest.mark.thorough
def test_every_label_is_shown_as_it_is(reported):
    content, page, metrics, states = reported
    assert content.headline.metric == "mAP"
    assert content.headline.differences.frame.height == 1
    names = ("label", "AP", "F1", "there", "predicted", "threshold", "wrong")
    predicted = [{*labels} for labels in content.first.predictions()["predicted"]]
    wrong = {
        name: sum(
            of_row[number] == 1 - (name in said)
            for of_row, said in zip(states, predicted, strict=True)
        )
        for number, name in enumerate(LABELS)
    }
    found = page.table("Average precision (AP)")
    assert found.cells(*names) == [
        (
            row["label"],
            percent(row["average_precision"]),
            percent(row["f1"]),
            f"{row['positive']}",
            f"{row['predicted']}",
            percent(row["threshold"]),
            f"{wrong[row['label']]}",
        )
        for row in sorted(metrics["per_label"], key=lambda row: row["label"])
    ]
    pairs = page.table("The most frequent pairs").cells("label", "with", "both there")
    assert pairs == [(row["label"], row["other"], f"{row['n']}") for row in metrics["pairs"][:20]]


def test_labels_together_and_reliability_are_those_of_a_count(reported):
    content, page, metrics, states = reported
    table = page.table("Examples with the label of the row")
    for label, *counts in table.rows:
        there = states[:, LABELS.index(label)] == 1
        assert [int(count) for count in counts] == [
            int((there & (states[:, LABELS.index(other)] == 1)).sum()) for other in table.header[1:]
        ]
    order = [row["label"] for row in metrics["per_label"]]
    predictions = content.first.predictions()
    shares = np.array(predictions["probabilities"].to_list())
    known = states[:, [LABELS.index(name) for name in order]]
    assert sum(map(len, known)) > (known >= 0).sum() == content.confidence[0].confidence["examples"]
    for row in content.confidence[0].confidence["reliability"]:
        inside = (shares > row["low"]) & (shares <= row["high"]) & (known >= 0)
        assert inside.sum() == row["examples"]
        assert (known[inside] == 1).mean() == pytest.approx(row["accuracy"])
        assert shares[inside].mean() == pytest.approx(row["probability"], abs=1e-6)


def test_examples_show_their_labels_and_each_wrong_one(reported):
    content, page, metrics, states = reported
    thresholds = {row["label"]: row["threshold"] for row in metrics["per_label"]}
    rows = {row["id"]: row for row in content.first.predictions().iter_rows(named=True)}
    wrong = [card for card in content.gallery.cards if not card.is_right]
    assert len(wrong) == content.gallery.wrong == sum(not row["correct"] for row in rows.values())
    first = {
        name for card in wrong[: len(thresholds)] for name in card.shown.missed + card.shown.false
    }
    assert len(first) > 3  # each label has its turn
    for card in content.gallery.cards:
        of_row = states[int(card.id.split(":")[1])]
        there = {name for name in thresholds if of_row[LABELS.index(name)] == 1}
        known = {name for name in thresholds if of_row[LABELS.index(name)] >= 0}
        assert {*card.shown.labels} == there
        assert {*card.shown.missed} == there - {*card.shown.predictions}
        assert {*card.shown.false} == (known & {*card.shown.predictions}) - there
        shares = dict(zip(thresholds, rows[card.id]["probabilities"], strict=True))
        apart = {
            name: abs(np.log(p / (1 - p)) - np.log(t / (1 - t)))
            for name, t in thresholds.items()
            for p in [shares[name]]
        }
        off = card.shown.missed + card.shown.false
        expected = max(apart[n] for n in off) if off else min(apart[n] for n in known)
        assert card.margin == pytest.approx(expected, abs=1e-3)
    assert "not there" in page.text
    assert "missed" in page.text


def test_an_explanation_is_about_the_label_that_decides(reported):
    content = reported[0]
    first = content.first
    ranked = first.target.ranked(first.predictions(), first.metrics)
    turn = dict(ranked.select("id", "turn").iter_rows())
    rows = {row["id"]: row for row in ranked.iter_rows(named=True)}
    found = savs.explain(first.folder, errors=True, n=4)
    assert len(found.examples) == 4
    for one in found.examples:
        assert one.subtask == turn[one.id]
        sides = ("absent", "present")
        assert one.label == sides[one.subtask in rows[one.id]["labels"]]
        assert one.prediction == sides[one.subtask in rows[one.id]["predicted"]]
        assert one.label != one.prediction
        assert not one.is_right
        assert one.changes is None  # thresholds decide, not votes
        task = next(t for t in first.config.tasks if t.subtask == one.subtask)
        assert [(head.layer, head.head) for head in one.heads] == list(task.heads)
        assert {near.label for head in one.heads for near in head.nearest} <= set(sides)
