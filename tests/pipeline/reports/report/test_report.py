"""The page of a report: its numbers are those of metrics.json, and nothing in it runs."""

import json
import re
import shutil
from importlib.resources import files

import polars as pl
import pytest
from reported import ATTACK, Page, save_random_result
from small_results import save_result
from text_stores import draw_text_store

from savs import calibrate, compare, evaluate, load_selection, report, save_evaluation, select
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import OutputError, ReportError
from savs.pipeline.reports.pages.charts import grid_path
from savs.pipeline.reports.report.classes import classes_part
from savs.pipeline.reports.report.folders import read_results
from savs.pipeline.reports.report.report import PARTS
from savs.pipeline.running.formatting import percent, points, probability
from savs.stores import ResultError


@pytest.fixture(scope="module")
def page(evaluated, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    return report(evaluated.path, out=out), Page(out)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def interval(row):
    return f"{percent(row['low'])} .. {percent(row['high'])}"


def test_links_lead_to_the_sections_of_all_parts() -> None:
    folder = files("savs.pipeline.reports.report")
    for part in PARTS:
        template = folder.joinpath(f"{part.name}.html").read_text("utf-8")
        assert f'<section id="{part.anchor}"' in template


def test_the_headline_stands_beside_chance_majority_and_other_results(page, vote):
    main, *_ = metrics_of(vote)["metrics"]
    table = page[1].table(f"{main['name']} in percent, with")
    lda, cv = (metrics_of(vote.with_name(name))["metrics"] for name in ("lda", "vote-cv"))
    cv = next(metric for metric in cv if metric["name"] == main["name"])
    assert [(row[0], *row[2:]) for row in table.rows] == [
        ("vote", percent(main["value"]), interval(main)),
        ("lda", percent(lda[0]["value"]), interval(lda[0])),
        ("vote-cv (of the training examples)", percent(cv["value"]), interval(cv)),
        ("majority class", percent(main["majority"]), "-"),
        ("chance", percent(main["chance"]), "-"),
    ]
    assert f"95 % interval {interval(main)}" in page[1].text
    assert f"n = {main['units']:,}\n" in page[1].text


def test_wrong_examples_stand_before_heads(page):
    assert page[1].text.index("Wrong examples, and the least sure") < page[1].text.index(
        "\nHeads\n"
    )


def test_equal_results_are_not_tested_against_each_other(tmp_path):
    folder = save_random_result(tmp_path / "a", 60, 3)
    same = shutil.copytree(folder, tmp_path / "b")
    other = save_random_result(tmp_path / "c", 60, 3, accuracy=0.5)
    content = report([folder, same, other], out=tmp_path / "r.html")
    assert content.headline.differences.frame["b"].to_list() == ["c"]
    names = content.headline.results.frame["name"].to_list()
    assert names[:3] == ["a", "b (the predictions of a)", "c"]
    assert {other.result for card in content.gallery.cards for other in card.others} == {"c"}
    assert report([folder, same], out=tmp_path / "r.html").headline.differences is None
    one, two = (shutil.copytree(path, tmp_path / path.name / "r") for path in (same, other))
    content = report([folder, one, two], out=tmp_path / "r.html")
    assert content.headline.differences.frame["b"].to_list() == ["c/r"]  # as in other tables


def test_differences_are_those_of_compare(page, vote):
    main = metrics_of(vote)["metrics"][0]["name"]
    (row,) = compare([vote, vote.with_name("lda")], metric=main).to_dicts()
    names = ("result", "difference", "95 % interval", "test", "p", "p (Holm)")
    assert page[1].table("Difference to vote").cells(*names) == [
        (
            "lda",  # the cross-validation has other examples
            points(row["difference"]),
            f"{points(row['low'])} .. {points(row['high'])}",
            row["test"],
            probability(row["p"]),
            probability(row["p_holm"]),
        )
    ]


def test_every_metric_is_shown_as_it_is(page, vote):
    names = ("metric (%)", "value", "95 % interval", "chance", "majority", "units")
    assert page[1].table("With 95 % intervals.").cells(*names) == [
        (
            metric["name"],
            percent(metric["value"]),
            interval(metric),
            percent(metric["chance"]),
            percent(metric["majority"]),
            f"{metric['units']:,}",
        )
        for metric in metrics_of(vote)["metrics"]
    ]


def test_the_grid_of_a_large_matrix_has_a_row_for_each_class_with_examples(tmp_path):
    (result,) = read_results([save_random_result(tmp_path / "vote", 40, 25)])
    with_examples = result.predictions()["label"].n_unique()
    (matrix,) = classes_part(result, None).matrices
    columns = len(matrix.columns)  # classes that were only predicted are some of them
    assert with_examples < columns
    assert matrix.lines == grid_path(columns, with_examples)
    assert matrix.name == "all classes"


def test_the_map_has_all_heads_of_the_store_and_without_it_the_chosen_ones(
    page, evaluated, vote, tmp_path, monkeypatch
):
    def drawn(chart):
        return sum(map(int, re.findall(r"h(\d+)v1", "".join(chart.paths.values()))))

    part = page[0].heads
    assert part.has_scores
    assert [chart.title for chart in part.maps] == ["all subtasks", "one", "two"]
    assert {drawn(chart) for chart in part.maps} == {len(evaluated.heads)}
    monkeypatch.setattr("savs.pipeline.reports.report.heads.MOST_RANKED", 8)
    folder = shutil.copytree(vote, tmp_path / "vote")
    alone = report(folder, out=tmp_path / "page.html").heads
    assert not alone.has_scores
    tasks = load_selection(folder).tasks
    assert [*map(drawn, alone.maps)] == [len({head for task in tasks for head in task.heads})]
    chosen = part.chosen.frame
    assert chosen["rank"].to_list() == 2 * [1, 2, 3, 4, 5]
    assert (alone.more, part.more) == (2, 0)
    same = ("subtask", "name", "rank", "strength", "score", "examples")
    assert alone.chosen.frame.select(same).equals(chosen.select(same).head(8))


def test_every_class_and_confusion_is_shown_as_it_is(page, vote):
    found = metrics_of(vote)
    tables = [table for table in page[1].tables if table.caption.startswith("Precision, recall")]
    matrices = [table for table in page[1].tables if table.caption.startswith("Rows: label")]
    assert len(tables) == len(matrices) == 2
    shares = {p["name"]: p["accuracy"] for p in found["parts"] if p["by"] == "subtask"}
    order = sorted(shares, key=lambda name: shares[name])  # the least accurate first
    names = ("class", "recall", "95 % interval", "precision", "F1", "examples", "predicted")
    for subtask, table, matrix in zip(order, tables, matrices, strict=True):
        assert f"{subtask}: {percent(shares[subtask])} % of" in page[1].text
        rows = {row["label"]: row for row in found["per_class"] if row["subtask"] == subtask}
        wrong = {
            (row["label"], row["prediction"]): row["n"]
            for row in found["confusions"]
            if row["subtask"] == subtask
        }
        assert table.cells(*names) == [
            (
                label,
                percent(row["recall"]),
                interval(row),
                percent(row["precision"]),
                percent(row["f1"]),
                f"{row['n']:,}",
                f"{row['predicted']:,}",
            )
            for label, row in sorted(rows.items())
        ]
        for label, *counts in matrix.rows:
            expected = [
                rows[label]["correct"] if name == label else wrong.get((label, name), 0)
                for name in matrix.header[1:]
            ]
            assert counts == [f"{count:,}" for count in expected]
    confusions = page[1].table("All confusions")
    assert confusions.cells("subtask", "class", "taken for", "examples") == [
        (row["subtask"], row["label"], row["prediction"], f"{row['n']:,}")
        for row in found["confusions"]
    ]
    parts = page[1].table("Accuracy by subtask")
    assert parts.cells("subtask", "accuracy", "95 % interval", "right", "of") == [
        (
            part["name"],
            percent(part["accuracy"]),
            interval(part),
            f"{part['correct']:,}",
            f"{part['n']:,}",
        )
        for part in found["parts"]
    ]


def test_the_chosen_heads_and_layers_are_told_in_tables(page, evaluated):
    chosen = (
        page[1].table("Chosen heads, best first").cells("subtask", "head", "strength (%)", "score")
    )
    config = json.loads((evaluated.path / "results/vote/config.json").read_text())
    assert chosen == [
        (task["subtask"], f"L{layer}.H{head}", percent(strength), f"{score:g}")
        for task in config["tasks"]
        for (layer, head), strength, score in zip(
            task["heads"], task["strengths"], task["scores"], strict=True
        )
    ]
    layers = page[1].table("Layers").records()
    assert [row["layer"] for row in layers] == [str(grid.layer) for grid in evaluated.grid]
    assert sum(int(row["times chosen"]) for row in layers) == len(chosen)


def test_the_sweep_is_shown_as_it_is(page, evaluated):
    summary = pl.read_parquet(evaluated.path / "results/sweep/summary.parquet")
    summary = summary.filter(metric=summary["metric"][0])
    table = page[1].table(f"{summary['metric'][0]} by shots and heads")
    assert table.cells("shots", f"{summary['metric'][0]} (%)", "SD", "95 % interval", "draws") == [
        (
            "all" if cell["shots"] is None else str(cell["shots"]),
            percent(cell["mean"]),
            percent(cell["sd"]),
            "-" if cell["low"] is None else interval(cell),
            str(cell["draws"]),
        )
        for cell in summary.iter_rows(named=True)
    ]


def test_what_limits_the_numbers_is_told(page, vote):
    found = metrics_of(vote)
    assert f"{found['scored']} of {found['planned']} test examples used" in page[1].text
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


def test_of_a_readout_with_two_sets_of_heads_the_number_of_each_is_asked_for(tmp_path):
    store = draw_text_store(tmp_path / "s", 4, heads=6, scale=None)
    selection = select(store, heads=2, readout="hec-vt")
    assert selection.head_count == 3
    folder = store.path / "results" / "hec-vt"
    save_evaluation(evaluate(store, selection), folder)
    lines = report(folder, out=tmp_path / "page.html").provenance.commands
    assert lines[1].startswith(f"savs select {store.path} --heads 2 --readout hec-vt ")


def test_heads_that_were_given_are_named(tmp_path):
    store = draw_text_store(tmp_path / "s", 4, heads=6, scale=None)
    folder = store.path / "results" / "vote"
    save_evaluation(evaluate(store, select(store, heads=[(0, 4), (0, 1)])), folder)
    lines = report(folder, out=tmp_path / "page.html").provenance.commands
    assert lines[1].startswith(f"savs select {store.path} --heads L0.H4,L0.H1 --readout vote ")


@pytest.mark.parametrize(
    ("choice", "measured", "selected", "evaluated"),
    [
        ({}, {}, " --no-estimate", ""),
        ({"max_layer": 0}, {}, " --max-layer 0 --no-estimate", ""),
        ({}, {"drop_leaks": True}, " --no-estimate", " --drop-leaks"),
        (None, {"risk": 0.3}, " --scoring resubstitution", " --risk 0.3"),
    ],
    ids=str,
)
def test_what_was_chosen_and_measured_otherwise_is_in_the_commands(
    tmp_path, choice, measured, selected, evaluated
):
    store = draw_text_store(tmp_path / "s", 8, heads=4, scale=None)
    selection = select(store, heads=2, **choice or {})
    if choice is None:
        selection = calibrate(store, selection).selection
    folder = store.path / "results" / "vote"
    save_evaluation(evaluate(store, selection, **measured), folder)
    lines = report(folder, out=tmp_path / "page.html").provenance.commands
    assert lines[1].endswith(selected)
    assert lines[2] == f"savs evaluate {store.path} --readout vote{evaluated} --out {folder}"


@pytest.mark.parametrize("folds", [3, "loo"])
def test_folds_are_those_that_were_asked_for(tmp_path, folds):
    store = draw_text_store(tmp_path / "s", 8, heads=4, scale=None)
    folder = store.path / "results" / "vote-cv"
    save_evaluation(evaluate(store, select(store, heads=2), on="folds", folds=folds), folder)
    lines = report(folder, out=tmp_path / "page.html").provenance.commands
    assert lines[2].endswith(f" --readout vote --folds {folds} --out {folder}")


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
    assert {card.shown.labels[0] for card in content.gallery.cards} <= {
        f"{ATTACK}{i}" for i in range(4)
    }
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith(
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    )
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


@pytest.mark.thorough
@pytest.mark.parametrize(("examples", "classes"), [(2000, 15), (5000, 100)])
def test_large_results_make_small_pages(tmp_path, examples, classes):
    folder = save_random_result(tmp_path / "vote", examples, classes)
    content = report(folder, out=tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size <= 400_000  # without images
    assert len(content.gallery.cards) == 120
    Page(tmp_path / "page.html")


@pytest.mark.thorough
def test_a_class_whose_name_has_thousands_of_digits_has_its_row(tmp_path):
    folder = save_random_result(tmp_path / "vote", 40, 3, name="1" * 5000 + "{}")
    report(folder, out=tmp_path / "page.html")
    assert "1" * 5000 + "2" in Page(tmp_path / "page.html").text


def test_one_result_alone_has_no_comparison(tmp_path, vote):
    content = report(vote, out=tmp_path / "one.html", examples=0)
    page = Page(tmp_path / "one.html")
    assert content.gallery is None
    assert not content.headline.differences
    assert not [table for table in page.tables if table.caption.startswith("Difference")]
    assert "Shots and heads" not in page.text


def test_what_cannot_be_reported_is_refused(tmp_path, evaluated, vote):
    out = tmp_path / "page.html"
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.html").mkdir()
    refused = [
        (ParameterError, r"page.txt', expected a name that", vote, {"out": tmp_path / "page.txt"}),
        (ParameterError, r"dir.html', expected a name that", vote, {"out": tmp_path / "dir.html"}),
        (ParameterError, "`examples` is -1", vote, {"examples": -1}),
        (
            ReportError,
            r"nowhere is neither a store nor a folder of results",
            tmp_path / "nowhere",
            {},
        ),
        (ReportError, "no result was given", [], {}),
        (ReportError, r"vote is given twice", [evaluated.path, vote], {}),
        (ReportError, r"sweep is a sweep; pass a folder of results", vote.with_name("sweep"), {}),
        (OutputError, "cannot be written", vote, {"out": tmp_path / "file" / "page.html"}),
    ]
    for error, message, paths, options in refused:
        with pytest.raises(error, match=message):
            report(paths, **{"out": out} | options)
    assert not out.exists()
    damaged = save_random_result(tmp_path / "vote", 20, 2)
    (damaged / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(ResultError, match=r"predictions.parquet cannot be read"):
        report(damaged, out=out)


def test_skips_leaks_and_groups_are_told(tmp_path):
    folder = save_result(
        tmp_path / "vote",
        [1, 0, None, 1, 0, 1, 1, 1],
        group=["g1", "g1", "g2", "g2", "g3", "g3", "g4", "g5"],
        leak=["repeated", *[None] * 4, "shared medium", None, None],
    )
    content = report(folder, out=tmp_path / "p.html")
    # g1, g2 and g3 have one right example of two each; g4 and g5 have one example
    assert content.parts.groups.rows == [["1 of 2", "3", "100.0"]]
    assert content.checks.leaks == {"repeated": ["test:0"], "shared medium": ["test:5"]}
    assert [name for name, _ in content.checks.reasons] == ["test:2"]
    page = Page(tmp_path / "p.html")
    assert page.table("Groups").rows == [["1 of 2", "", "3", "100.0"]]
    assert "Test examples that training has seen (repeated): 1" in page.text
    assert "Skipped examples: 1" in page.text
    assert "7 of 8 test examples used; 1 unreadable" in page.text
    (matrix,) = (table for table in page.tables if table.caption.startswith("Rows: label"))
    assert matrix.header[-1] == "(skipped)"
    assert [row[-1] for row in matrix.rows] == ["1", "0"]  # a is skipped once


def test_shares_of_groups_are_of_those_of_their_size(tmp_path):
    groups = ["g1", "g1", "g2", "g2", "g3", "g3", "g3"]
    folder = save_result(tmp_path / "vote", [1, 0, 1, 1, 1, 1, 1], group=groups)
    rows = report(folder, out=tmp_path / "p.html").parts.groups.rows
    assert rows == [["2 of 2", "1", "50.0"], ["1 of 2", "1", "50.0"], ["3 of 3", "1", "100.0"]]


def test_a_page_without_leaks_says_that_none_was_found(tmp_path):
    report(save_result(tmp_path / "vote", [1, 0, 1, 1]), out=tmp_path / "p.html")
    text = Page(tmp_path / "p.html").text
    assert "No test example was found in training." in text
    assert "Groups" not in text
