"""How sure predictions are, depth and suspects on the page: numbers are those of the files."""

import json
from pathlib import Path

import polars as pl
import pytest
from random_stores import draw_problem, write_problem
from reported import ATTACK, Page, save_random_result

from savs import calibrate, evaluate, report, save_evaluation, save_selection, select, sweep
from savs.pipeline.evaluation.suspects import SUSPECTS, load_suspects, save_suspects
from savs.pipeline.evaluation.sweep.table import save_sweep
from savs.pipeline.running.formatting import percent, points, probability
from savs.pipeline.selection.selection_config import selection_run
from savs.stores import ResultError

DOUBTFUL = {
    "subtask": ["one", "two"],
    "id": ["train:3", "train:20"],
    "media": [["a.png"], ["b.png", "c.png"]],
    "label": ["a", "b"],
    "prediction": ["b", "a"],
    "margin": [2.0, 0.12345],
    "strength": [0.9, 0.25],
}
"""Suspects as `suspects` returns them; on random features it finds none."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store with a calibrated result, its suspects, and a sweep over depths."""
    problem = draw_problem(5, counts=(6, 6, 6), subtasks=("one", "two"), tests=90)
    store = write_problem(tmp_path_factory.mktemp("sure") / "s", problem)
    selection = calibrate(store, select(store, heads=3)).selection
    vote = store.path / "results" / "vote"
    save_evaluation(evaluate(store, selection, risk=0.3), vote)
    save_suspects(pl.DataFrame(DOUBTFUL), vote)
    found = sweep(store, heads=[1], shots=[1, "all"], draws=3, max_layers="each")
    save_sweep(found, store.path / "results" / "depth")
    return store


@pytest.fixture(scope="module")
def page(store, tmp_path_factory) -> Page:
    out = tmp_path_factory.mktemp("page") / "report.html"
    report(store.path, out=out)
    return Page(out)


def confidence_of(store):
    return json.loads((store.path / "results/vote/metrics.json").read_text())["confidence"][0]


def ends(share):
    return f"{percent(share['low'])} .. {percent(share['high'])}"


@pytest.mark.thorough
def test_reliability_and_coverage_are_those_of_the_file(page, store):
    found = confidence_of(store)
    rows = page.table("Reliability").cells("probability (%)", "mean", "right (%)", "examples")
    assert rows == [
        (
            f"{100 * cell['low']:.0f} .. {100 * cell['high']:.0f}",
            percent(cell["probability"]),
            percent(cell["accuracy"]),
            f"{cell['examples']:,}",
        )
        for cell in found["reliability"]
    ]
    assert len(rows) > 2
    table = page.table("accuracy if only the likeliest")
    assert table.cells("answered (%)", "right (%)", "least probability (%)") == [
        (f"{100 * cell['coverage']:.0f}", percent(cell["accuracy"]), percent(cell["threshold"]))
        for cell in found["coverage"]
    ]
    share = found["atypical"]["share"]
    atypical = f"atypical, like no training example: {percent(share['value'])} ({ends(share)}) %"
    assert atypical in page.text
    assert "least like any training example" in page.text


def test_error_temperatures_and_risk_are_those_of_the_file(page, store):
    found = confidence_of(store)
    error = f"calibration error {percent(found['calibration_error'])} points on {found['examples']}"
    assert error in page.text
    shown = page.table("Temperature of each subtask").records()
    assert {row["subtask"]: row["temperature"] for row in shown} == {
        name: f"{value:.3g}" for name, value in found["temperatures"].items()
    }
    risk = found["risk"]
    table = page.table("prediction sets")
    assert table.header[0] == "risk 0.3"
    assert f"a set has {risk['classes']:.2f} classes on average" in page.text
    shares = [risk[name] for name in ("outside", "answered", "wrong")]
    for row, share in zip(table.records(), shares, strict=True):
        assert (row["value (%)"], row["95 % interval"]) == (percent(share["value"]), ends(share))


def test_the_only_temperature_is_told(tmp_path):
    problem = draw_problem(6, counts=(6, 6), tests=20)
    store = write_problem(tmp_path / "s", problem)
    selection = calibrate(store, select(store, heads=3, readout="lda")).selection
    save_evaluation(evaluate(store, selection), tmp_path / "lda")
    report(tmp_path / "lda", out=tmp_path / "p.html")
    known = selection.tasks[0].decision.temperature
    page = Page(tmp_path / "p.html")
    assert f"training examples, temperature {known:.3g}" in page.text
    assert not [table for table in page.tables if table.caption.startswith("prediction sets")]


def test_the_curve_goes_through_the_accuracies(store, tmp_path):
    chart = report(store.path / "results/vote", out=tmp_path / "p.html").confidence[0].chart
    (line,) = chart.series
    titles = [point.title for point in line.points]
    assert titles == [
        f"{100 * cell['coverage']:.0f} % answered: {percent(cell['accuracy'])} % right"
        for cell in reversed(confidence_of(store)["coverage"])
    ]
    shares = {float(text) / 100: y for y, text in chart.y_ticks}
    low, high = min(shares), max(shares)
    for point, cell in zip(line.points, reversed(confidence_of(store)["coverage"]), strict=True):
        part = (cell["accuracy"] - low) / (high - low)
        assert point.y == pytest.approx(shares[low] + part * (shares[high] - shares[low]))


def test_depth_is_that_of_the_file(page, store):
    table = pl.read_parquet(store.path / "results/depth/summary.parquet")
    table = table.filter(metric=table["metric"][0])
    names = ("shots", "max layer", "of decoder (%)", f"{table['metric'][0]} (%)", "95 % interval")
    paired = ("difference", "its interval", "p", "p (Holm)")
    rows = page.table(f"{table['metric'][0]} by depth").cells(*names, *paired)
    assert rows == [
        (
            "all" if cell["shots"] is None else str(cell["shots"]),
            str(cell["max_layer"]),
            percent(cell["share"]),
            percent(cell["mean"]),
            "-" if cell["low"] is None else ends(cell),
            points(cell["difference"]),
            "-"
            if cell["difference_low"] is None
            else f"{points(cell['difference_low'])} .. {points(cell['difference_high'])}",
            probability(cell["p"]),
            probability(cell["p_holm"]),
        )
        for cell in table.iter_rows(named=True)
    ]
    assert len(rows) > 3


def test_suspects_are_those_of_the_file(page, store):
    table = pl.read_csv(store.path / "results/vote" / SUSPECTS)
    assert table.height == 2
    names = ("suspect", "subtask", "label", "predicted", "media", "strength (%)")
    assert page.table("2 training examples").cells(*names) == [
        (
            *(cell[name] for name in ("id", "subtask", "label", "prediction", "media")),
            percent(cell["strength"]),
        )
        for cell in table.iter_rows(named=True)
    ]
    commands = report(store.path, out=store.path.parent / "p.html").provenance.commands
    assert commands[1].startswith(f"savs select {store.path} --heads 3")
    assert commands[1].endswith(" --suspects")
    assert " --risk 0.3 " in commands[2]


def test_a_result_without_probabilities_has_none_of_these_parts(tmp_path):
    content = report(save_random_result(tmp_path / "vote", 40, 3), out=tmp_path / "p.html")
    assert (content.confidence, content.suspects, content.depths) == (None, None, None)
    text = Page(tmp_path / "p.html").text
    for name in ("How sure", "Labels to look at", "Depth"):
        assert name not in text


def test_suspects_of_another_selection_are_refused(store, tmp_path):
    save_selection(select(store, heads=2), tmp_path)
    save_suspects(pl.DataFrame(DOUBTFUL), tmp_path)
    assert load_suspects(tmp_path)["run"].to_list() == 2 * [selection_run(tmp_path)]
    save_selection(select(store, heads=4), tmp_path)
    with pytest.raises(ResultError, match=r"suspects.csv cannot be read \(its run is .* expected"):
        load_suspects(tmp_path)


def test_suspects_that_are_none_damaged_or_hostile(store, tmp_path):
    folder = save_random_result(tmp_path / "vote", 20, 2)
    save_selection(select(store, heads=2), folder)
    run = selection_run(folder)
    header = "subtask,id,media,label,prediction,margin,strength,run\n"
    out = tmp_path / "p.html"
    (folder / SUSPECTS).write_text(header)
    report(folder, out=out)
    assert "There are none." in Page(out).text
    quoted = '"' + ATTACK.replace('"', '""') + '"'
    (folder / SUSPECTS).write_text(header + f",{quoted},a.png,{quoted},b,1.5,0.5,{run}\n")
    report(folder, out=out)
    page = Page(out)
    assert len(page.all("script")) == 1
    assert page.table("1 training example").rows == [[ATTACK, "a.png", ATTACK, "b", "50.0"]]
    for damage in ("a,b\n1,2\n", header + f",x,y,a,b,many,0.5,{run}\n"):
        (folder / SUSPECTS).write_text(damage)
        with pytest.raises(ResultError, match=r"suspects.csv cannot be read .*--suspects` again"):
            report(folder, out=tmp_path / "q.html")
    assert not Path(tmp_path / "q.html").exists()
