"""The page of a report: its numbers are those of metrics.json, and nothing in it runs."""

import json

import numpy as np
import polars as pl
import pytest
from reported import ATTACK, Page, save_random_result

from savs.foundation.errors import ParameterError
from savs.pipeline import compare, evaluate, report, save_evaluation, select
from savs.pipeline.errors import ComparisonError, OutputError, ReportError
from savs.pipeline.running.formatting import percent, points, probability
from savs.stores import ResultError
from stores import make_store


@pytest.fixture(scope="module")
def page(evaluated, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    return report(evaluated.path, out=out), Page(out)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def interval(row):
    return f"{percent(row['low'])} .. {percent(row['high'])}"


def test_the_headline_stands_beside_chance_majority_and_other_results(page, vote):
    main, *_ = metrics_of(vote)["metrics"]
    table = page[1].table(f"{main['name']} in percent, with")
    lda, cv = (metrics_of(vote.with_name(name))["metrics"] for name in ("lda", "vote-cv"))
    cv = next(metric for metric in cv if metric["name"] == main["name"])
    assert [(row[0], *row[2:]) for row in table.rows] == [
        ("vote", percent(main["value"]), interval(main)),
        ("lda", percent(lda[0]["value"]), interval(lda[0])),
        ("vote-cv (of the train examples)", percent(cv["value"]), interval(cv)),
        ("majority class", percent(main["majority"]), ""),
        ("chance", percent(main["chance"]), ""),
    ]
    assert f"95 % interval {interval(main)}" in page[1].text
    assert f"{main['units']:,} units in {main['clusters']:,} clusters" in page[1].text


def test_differences_are_those_of_compare(page, vote):
    main = metrics_of(vote)["metrics"][0]["name"]
    (row,) = compare([vote, vote.with_name("lda")], metric=main).to_dicts()
    (found,) = page[1].table("Difference to vote").records()
    assert found["result"] == "lda"  # the cross-validation has other examples
    assert found["difference"] == points(row["difference"])
    assert found["95 % interval"] == f"{points(row['low'])} .. {points(row['high'])}"
    assert (found["test"], found["p"]) == (row["test"], probability(row["p"]))
    assert found["p (Holm)"] == probability(row["p_holm"])


def test_every_metric_is_shown_as_it_is(page, vote):
    rows = page[1].table("In percent, with 95 % intervals.").records()
    for row, metric in zip(rows, metrics_of(vote)["metrics"], strict=True):
        assert row["metric"] == metric["name"]
        assert row["value"] == percent(metric["value"])
        assert row["95 % interval"] == interval(metric)
        assert (row["chance"], row["majority"]) == (
            percent(metric["chance"]), percent(metric["majority"]),
        )  # fmt: skip
        assert row["units"] == f"{metric['units']:,}"


def test_every_class_and_confusion_is_shown_as_it_is(page, vote):
    found = metrics_of(vote)
    tables = [table for table in page[1].tables if table.caption.startswith("Precision, recall")]
    matrices = [table for table in page[1].tables if table.caption.startswith("Rows: label")]
    assert len(tables) == len(matrices) == 2
    shares = {p["name"]: p["accuracy"] for p in found["parts"] if p["by"] == "subtask"}
    order = sorted(shares, key=lambda name: shares[name])  # the least accurate first
    for subtask, table, matrix in zip(order, tables, matrices, strict=True):
        assert f"{subtask}: {percent(shares[subtask])} % of" in page[1].text
        rows = {row["label"]: row for row in found["per_class"] if row["subtask"] == subtask}
        wrong = {
            (row["label"], row["prediction"]): row["n"]
            for row in found["confusions"]
            if row["subtask"] == subtask
        }
        assert [r["class"] for r in table.records()] == sorted(rows)
        for shown in table.records():
            row = rows[shown["class"]]
            assert shown["recall"] == percent(row["recall"])
            assert shown["95 % interval"] == interval(row)
            assert (shown["precision"], shown["F1"]) == (
                percent(row["precision"]), percent(row["f1"]),
            )  # fmt: skip
            assert shown["examples"] == f"{row['n']:,}"
            assert shown["predicted"] == f"{row['predicted']:,}"
        for label, *counts in matrix.rows:
            expected = [
                rows[label]["correct"] if name == label else wrong.get((label, name), 0)
                for name in matrix.header[1:]
            ]
            assert counts == [f"{count:,}" for count in expected]
    shown = [
        (row["subtask"], row["label"], row["prediction"], row["examples"])
        for row in page[1].table("All confusions").records()
    ]
    assert shown == [
        (row["subtask"], row["label"], row["prediction"], f"{row['n']:,}")
        for row in found["confusions"]
    ]


def test_parts_of_the_test_set_are_shown_as_they_are(page, vote):
    rows = page[1].table("Accuracy by subtask").records()
    for row, part in zip(rows, metrics_of(vote)["parts"], strict=True):
        assert row["subtask"] == part["name"]
        assert (row["accuracy"], row["95 % interval"]) == (
            percent(part["accuracy"]), interval(part),
        )  # fmt: skip
        assert (row["right"], row["of"]) == (f"{part['correct']:,}", f"{part['n']:,}")


def test_the_chosen_heads_and_layers_are_told_in_tables(page, evaluated):
    rows = page[1].table("Chosen heads, best first").records()
    config = json.loads((evaluated.path / "results/vote/config.json").read_text())
    assert [(row["subtask"], row["head"], row["right"]) for row in rows] == [
        (task["subtask"], f"L{layer}.H{head}", f"{score:g}")
        for task in config["tasks"]
        for (layer, head), score in zip(task["heads"], task["scores"], strict=True)
    ]
    layers = page[1].table("Layers").records()
    assert [row["layer"] for row in layers] == [str(grid.layer) for grid in evaluated.grid]
    assert sum(int(row["times chosen"]) for row in layers) == len(rows)


def test_the_sweep_is_shown_as_it_is(page, evaluated):
    summary = pl.read_parquet(evaluated.path / "results/sweep/summary.parquet")
    summary = summary.filter(metric=summary["metric"][0])
    rows = page[1].table(f"{summary['metric'][0]} in percent; chance").records()
    for row, cell in zip(rows, summary.iter_rows(named=True), strict=True):
        assert row["shots"] == ("all" if cell["shots"] is None else str(cell["shots"]))
        assert (row["mean"], row["SD"]) == (percent(cell["mean"]), percent(cell["sd"]))
        ends = "-" if cell["low"] is None else interval(cell)
        assert (row["95 % interval"], row["draws"]) == (ends, str(cell["draws"]))


def test_what_limits_the_numbers_is_told(page, vote):
    found = metrics_of(vote)
    assert f"{found['planned']} examples planned, {found['scored']} scored" in page[1].text
    for note in found["notes"]:
        assert note in page[1].text


def test_the_commands_make_the_same_result_again(page, savs, vote, tmp_path):
    before = metrics_of(vote)
    lines = page[0].provenance.commands
    assert lines[0].startswith("savs extract general --train TRAIN --test TEST --model toy")
    for line in lines[1:3]:
        _, *arguments = line.split()
        done = savs(*arguments)
        assert done.returncode == 0, done.stderr
    assert metrics_of(vote) == before
    assert lines[3].startswith(f"savs report {vote} --out ")


def test_hostile_names_are_text(tmp_path):
    folder = save_random_result(tmp_path / "vote", 60, 4, name=ATTACK + "{}")
    content = report(folder, out=tmp_path / "page.html", title=ATTACK)
    page = Page(tmp_path / "page.html")
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    targets = [a[name] for _, a in page.tags for name in ("src", "href") if name in a]
    assert all(target.startswith("#") for target in targets)
    assert page.text.count(ATTACK) > 4 * 60
    assert {card.label for card in content.gallery.cards} <= {f"{ATTACK}{i}" for i in range(4)}
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


@pytest.mark.parametrize(("examples", "classes"), [(2000, 15), (5000, 100)])
def test_large_results_make_small_pages(tmp_path, examples, classes):
    folder = save_random_result(tmp_path / "vote", examples, classes)
    content = report(folder, out=tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size <= 400_000  # without images
    assert len(content.gallery.cards) == 120
    Page(tmp_path / "page.html")


def test_one_result_alone_has_no_comparison(tmp_path, vote):
    content = report(vote, out=tmp_path / "one.html", examples=0)
    page = Page(tmp_path / "one.html")
    assert content.gallery is None
    assert not content.headline.differences
    assert not [table for table in page.tables if table.caption.startswith("Difference")]
    assert "Shots and heads" not in page.text


def test_what_cannot_be_reported_is_refused(tmp_path, evaluated, vote):
    out = tmp_path / "page.html"
    with pytest.raises(ReportError, match=r"page.txt is not an HTML file"):
        report(vote, out=tmp_path / "page.txt")
    with pytest.raises(ParameterError, match="examples is -1"):
        report(vote, out=out, examples=-1)
    with pytest.raises(ReportError, match=r"nowhere is neither a store nor a folder of results"):
        report(tmp_path / "nowhere", out=out)
    with pytest.raises(ReportError, match="no result was given"):
        report([], out=out)
    with pytest.raises(ReportError, match=r"vote is given twice"):
        report([evaluated.path, vote], out=out)
    with pytest.raises(ReportError, match=r"sweep is a sweep; pass a folder of results"):
        report(vote.with_name("sweep"), out=out)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        report(vote, out=tmp_path / "file" / "page.html")
    assert not out.exists()


def test_a_damaged_result_is_refused(tmp_path):
    folder = save_random_result(tmp_path / "vote", 20, 2)
    (folder / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(ResultError, match=r"predictions.parquet cannot be read"):
        report(folder, out=tmp_path / "page.html")


def test_a_result_without_labels_is_refused(tmp_path):
    values = np.eye(2, dtype=np.float32)[None, [0, 1, 0, 1]]
    store = make_store(tmp_path / "s", values, "abab", values, [None] * 4)
    save_evaluation(evaluate(store, select(store, heads=1)), tmp_path / "vote")
    with pytest.raises(ComparisonError, match=r"its test examples have no labels; label them"):
        report(tmp_path / "vote", out=tmp_path / "page.html")
