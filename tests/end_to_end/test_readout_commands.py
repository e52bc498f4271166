"""Readouts on the command line: user files, heads from elsewhere, folds, sweeps, risk, depth."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from random_stores import draw_problem, write_problem
from typer.testing import CliRunner

from savs import load_selection, open_store, select, sweep
from savs.foundation.errors import ParameterError
from savs.pipeline.cli.app import app
from savs.pipeline.readouts import READOUTS
from savs.pipeline.readouts.linear import side_by_side
from stores import make_store

pytestmark = pytest.mark.thorough

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "own-readout.md").read_text("utf-8")


def write_noise(folder, seed=0, tests=16):
    """Write a store of two classes of noise around two centres."""
    labels = ["a", "b"] * 8
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 2, 8))[:, [0, 1] * 8]
    train, test = (centres + rng.normal(size=(4, 16, 8)) for _ in range(2))
    given = (train.astype("f4"), labels, test[:, :tests].astype("f4"), labels[:tests])
    make_store(folder, *given)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readouts") / "features"
    write_noise(folder)
    return folder


@pytest.fixture
def fresh(tmp_path):
    """A store in which a selection by one's own file does not meet other tests."""
    folder = tmp_path / "features"
    write_noise(folder)
    return folder


def ok(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_readout_of_ones_own(savs, fresh, tmp_path):
    (code,) = re.findall(r"```python\n(# mine.py.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    made = ok(savs("select", fresh, "--heads", "3", "--readout", tmp_path / "mine.py", "--json"))
    assert made["readout"] == "ranked"
    assert Path(made["selection"]).name == "ranked"
    found = ok(savs("evaluate", fresh, "--readout", tmp_path / "mine.py", "--json"))
    assert found["readout"] == "ranked"
    assert found["heads"] == 3
    assert "ranked" not in READOUTS
    unknown = savs("evaluate", fresh, "--readout", "ranked")
    assert unknown.returncode == 1
    assert "expected one of: vote, posterior" in unknown.stderr


class TabICLClassifier:
    """A substitute with the constructor, `fit` and `predict_proba` of TabICL: nearest means."""

    def __init__(self, n_estimators=8, *, random_state=42):
        self.random_state = random_state

    def fit(self, x, y):
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self.means = np.array([x[numbers == c].mean(axis=0) for c in range(len(self.classes_))])
        return self

    def predict_proba(self, x):
        near = np.exp(-np.square(x[:, None] - self.means).sum(axis=2))
        return near / near.sum(axis=1, keepdims=True)


def test_the_readout_of_tabicl_on_the_page(savs, fresh, tmp_path, monkeypatch):
    code = (Path(__file__).parents[2] / "docs/examples/with_tabicl.py").read_text("utf-8")
    mine = tmp_path / "with_tabicl.py"
    mine.write_text(code)
    module = ModuleType("tabicl")
    monkeypatch.setattr(module, "TabICLClassifier", TabICLClassifier, raising=False)
    monkeypatch.setitem(sys.modules, "tabicl", module)
    made = ok(savs("select", fresh, "--heads", "3", "--readout", mine, "--json"))
    assert made["tasks"][0]["cross_validated"]["value"] > 0.8
    found = ok(savs("evaluate", fresh, "--readout", mine, "--json"))
    assert found["metrics"][0]["value"] > 0.8
    opened = open_store(fresh)
    selection = select(opened, heads=3, readout=mine)
    fitted = selection.only_task().fitted
    # distances of 64 components are those of the heads side by side, of which 15 vary
    x = side_by_side(opened.features("train", selection.only_task().heads))
    np.testing.assert_allclose(pairwise(fitted.rows), pairwise(x), atol=1e-4)
    assert fitted.fitted.model.random_state == 0
    loaded = load_selection(made["selection"], readout=mine).only_task().fitted
    test = opened.features("test", selection.only_task().heads)
    np.testing.assert_array_equal(loaded.scores(test).scores, fitted.scores(test).scores)


def pairwise(rows):
    return np.square(rows[:, None] - rows).sum(axis=2)


@pytest.mark.parametrize(
    ("readout", "scoring"),
    [
        ("mahalanobis", "kfold"),
        ("logistic", "pursuit"),
        *(
            pytest.param(*pair, marks=pytest.mark.costly)
            for pair in (
                *(("mahalanobis", "pursuit"), ("logistic", "kfold")),
                *(("ridge", "kfold"), ("ridge", "pursuit")),
            )
        ),
    ],
)
def test_readouts_of_heads_side_by_side(savs, tmp_path, readout, scoring):
    store = tmp_path / "features"
    write_noise(store)
    given = ["--readout", readout, "--scoring", scoring]
    made = ok(savs("select", store, *given, "--heads", "2", "--out", tmp_path / "c", "--json"))
    assert made["tasks"][0]["cross_validated"]["value"] > 0.6
    folds = ok(savs("evaluate", store, "--selection", tmp_path / "c", "--folds", "4", "--json"))
    assert folds["metrics"][0]["value"] > 0.6
    ok(savs("select", store, "--out", tmp_path / "v", "--json"))
    results = []
    for name in ("c", "v"):
        out = tmp_path / f"{name}-evaluated"
        ok(savs("evaluate", store, "--selection", tmp_path / name, "--out", out, "--json"))
        results.append(out)
    compared = savs("compare", *results)
    assert compared.stdout.split()[2:4] == ["c-evaluated", "v-evaluated"]
    swept = sweep(store, readouts=[readout], scoring=scoring, shots=[2, "all"], draws=2)
    assert {*swept.summary["readout"]} == {readout}
    trained = ok(savs("train", store, "--readout", readout, "--json"))
    assert trained["readout"] == readout


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "defines no READOUT"),
        ("1 / 0", "fails when it runs: ZeroDivisionError"),
        (None, "is no Python file"),
        (
            "from savs.pipeline.readouts.vote import VOTE as READOUT",
            "the name 'vote' is taken",
        ),
    ],
)
def test_a_file_that_is_no_readout(savs, store, tmp_path, code, message):
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    done = savs("select", store, "--heads", "3", "--readout", tmp_path / "mine.py")
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_heads_of_another_selection(savs, store, tmp_path):
    one = ok(savs("select", store, "--heads", "2", "--out", tmp_path / "one", "--json"))
    given = ["--heads", one["selection"], "--out", tmp_path / "two", "--readout", "lda"]
    two = ok(savs("select", store, *given, "--json"))
    heads = [[h["head"] for h in found["tasks"][0]["heads"]] for found in (one, two)]
    assert heads[0] == heads[1]


def test_select_tells_the_cross_validated_accuracy(savs, store, tmp_path):
    made = ok(savs("select", store, "--heads", "2", "--out", tmp_path, "--json"))
    found = ok(savs("evaluate", store, "--selection", tmp_path, "--folds", "5", "--json"))
    accuracy = next(m for m in found["metrics"] if m["name"] == "accuracy")
    assert made["tasks"][0]["cross_validated"] == accuracy
    table = savs("select", store, "--heads", "2", "--out", tmp_path)
    shown = f"{100 * accuracy['value']:.1f} ({100 * accuracy['low']:.1f} .. "
    assert shown in table.stdout
    without = savs("select", store, "--heads", "2", "--out", tmp_path, "--no-estimate", "--json")
    assert ok(without)["tasks"][0]["cross_validated"] is None


def test_select_says_why_there_is_no_cross_validated_accuracy(savs, tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("f4")
    make_store(tmp_path / "s", x, list("aab"), x, list("aab"))
    done = savs("select", tmp_path / "s", "--heads", "1")
    assert done.returncode == 0
    assert "no cross-validated accuracy: cross-validation needs two independent" in done.stderr
    assert done.stdout.splitlines()[1].split()[6] == "-"


def test_sweep(savs, store, tmp_path):
    given = ["--heads", "1,all", "--shots", "1,3", "--draws", "2", "--readout", "vote,lda"]
    found = ok(savs("sweep", store, *given, "--out", tmp_path, "--json"))
    assert len(found["summary"]) == 2 * 2 * 2
    values = pl.read_parquet(tmp_path / "values.parquet")
    assert values.filter(pl.col("metric") == "accuracy").height == 2 * 2 * 2 * 2
    against = pl.read_parquet(tmp_path / "summary.parquet")["against"]
    assert against.drop_nulls().unique().to_list() == ["vote"]
    units = pl.read_parquet(tmp_path / "units.parquet").filter(pl.col("metric") == "accuracy")
    assert units["scores"].list.len().unique().to_list() == [2]
    assert units.height == 2 * 2 * 2 * values["units"][0]
    table = savs("sweep", store, *given, "--out", tmp_path)
    heading, *rows = table.stdout.splitlines()
    assert heading.split()[:3] == ["readout", "shots", "heads"]
    assert [row.split()[0] for row in rows] == ["vote"] * 4 + ["lda"] * 4
    assert "minus vote on the same draws" in table.stderr


def test_a_sweep_for_a_paper(savs, store, tmp_path):
    """The numbers of the table are those on the screen, and the figure has a point for each."""
    given = ["--heads", "2", "--shots", "1,3", "--draws", "2", "--readout", "vote,lda"]
    given += ["--out", tmp_path / "out"]
    shown = savs("sweep", store, *given)
    latex = savs("sweep", store, *given, "--format", "latex")
    assert latex.returncode == 0, latex.stderr
    rows = [line.split()[:5] for line in shown.stdout.splitlines()[1:]]
    printed = [line.split(" & ")[:5] for line in latex.stdout.splitlines()[4:-2]]
    assert printed == rows
    assert latex.stdout.splitlines()[2].startswith(
        r"readout & shots & heads & accuracy (\%) & SD &"
    )
    markdown = savs("sweep", store, *given, "--format", "markdown").stdout.splitlines()
    assert markdown[0].startswith("| readout | shots | heads | accuracy (%) |")
    figure = ElementTree.parse(tmp_path / "out" / "curves.svg").getroot()
    found = [element.tag.rpartition("}")[2] for element in figure.iter()]
    assert found.count("polyline") == found.count("polygon") == 2
    assert found.count("circle") == 2 * 2 + 2  # with those of the legend
    texts = [element.text for element in figure.iter() if element.tag.endswith("text")]
    assert {
        "vote",
        "lda",
        "chance",
        "1",
        "3",
        "accuracy (%) by examples per class with 2 heads",
    } <= {*texts}


def test_one_draw_has_no_interval_but_a_note(savs, store, tmp_path):
    table = savs(
        "sweep", store, "--shots", "1,all", "--draws", "1", "--heads", "2", "--out", tmp_path
    )
    for row in table.stdout.splitlines()[1:]:
        assert row.split()[4:] == ["-", "1", "-"]
    assert "one draw has no interval" in table.stderr


def test_a_sweep_of_stores_of_different_examples(savs, store, tmp_path):
    other = tmp_path / "other"
    write_noise(other, seed=1, tests=14)
    given = ["--shots", "1", "--draws", "3", "--heads", "2", "--readout", "vote,lda"]
    out = tmp_path / "out"
    found = ok(savs("sweep", store, other, *given, "--out", out, "--json"))
    vote, lda = found["stores"]
    assert (vote["readout"], vote["stores"], vote["difference"]) == ("vote", 2, None)
    assert lda["wins"] + lda["ties"] + lda["losses"] == 2
    alone = pl.read_parquet(out / "summary.parquet").filter(readout="lda", metric="accuracy")
    assert alone["data_set"].to_list() == ["features", "other"]
    assert lda["difference"] == pytest.approx(alone["difference"].mean())
    assert pl.read_parquet(out / "stores.parquet").to_dicts() == found["stores"]
    table = savs("sweep", store, other, *given, "--out", out)
    assert table.stdout.splitlines()[0].split()[-3:] == ["wins", "ties", "losses"]
    drawn = ["--shots", "1,2", *given[2:], "--format", "csv"]
    csv = savs("sweep", store, other, *drawn, "--out", out)
    assert csv.stdout.startswith("readout,heads,shots,")
    assert "mean over stores (%) by examples per class" in (out / "curves.svg").read_text()
    assert "the stores hold different test examples" in table.stderr
    assert savs("sweep", store, other, *given).returncode == 2


def test_a_sweep_of_stores_of_the_same_examples(savs, store, tmp_path):
    other = tmp_path / "other"
    write_noise(other, seed=1)
    given = ["--shots", "1,all", "--draws", "3", "--readout", "vote,other:lda"]
    out = tmp_path / "out"
    found = ok(savs("sweep", store, other, *given, "--out", out, "--json"))
    names = [("features", "vote"), ("other", "vote"), ("other", "lda")]
    rows = found["summary"]
    assert [(row["store"], row["readout"]) for row in rows] == [n for n in names for _ in range(2)]
    assert {(row["against"], row["heads"]) for row in rows[2:]} == {("features:vote", 4)}
    table = savs("sweep", store, other, *given, "--out", out)
    assert "minus features:vote on the same draws" in table.stderr
    several = savs("sweep", store, other, *given, "--heads", "1,2", "--out", out)
    assert several.returncode == 1
    assert "expected one number: methods are compared at one" in several.stderr


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Return the folder of a store of layers 0, 2 and 4 with four heads each."""
    folder = tmp_path_factory.mktemp("risk") / "s"
    write_problem(folder, draw_problem(1, counts=(9, 9, 9)))
    return folder


def test_an_evaluation_prints_reliability_coverage_and_risk(savs, deep, tmp_path) -> None:
    savs("select", deep, "--heads", "4", "--out", tmp_path / "c")
    given = ("evaluate", deep, "--selection", tmp_path / "c", "--out", tmp_path / "e")
    done = savs(*given, "--risk", "0.1", "--verbose")
    assert done.returncode == 0, done.stderr
    for text in ("probability (%)", "answered (%)", "truth outside the prediction set"):
        assert text in done.stdout
    assert "calibrated by left-out training examples" in done.stderr
    assert "atypical, like no training example: " in done.stderr
    written = json.loads((tmp_path / "e" / "metrics.json").read_text())["confidence"][0]
    assert written["risk"]["risk"] == 0.1
    assert written["risk"]["outside"]["value"] <= 0.3
    rows = pl.read_parquet(tmp_path / "e" / "predictions.parquet")
    assert rows["prediction_set"].list.len().max() >= 1


def test_risks_that_cannot_be(savs, deep, tmp_path) -> None:
    savs("select", deep, "--heads", "4", "--no-estimate", "--out", tmp_path / "c")
    given = ("evaluate", deep, "--selection", tmp_path / "c", "--out", tmp_path / "e")
    plain = savs(*given)
    assert "probabilities are not calibrated" in plain.stderr
    refused = savs(*given, "--risk", "0.1")
    assert refused.returncode == 1
    assert "has no calibration, which --risk needs" in refused.stderr


def test_depth_is_printed_and_written(savs, deep, tmp_path) -> None:
    made = savs("select", deep, "--heads", "4", "--max-layer", "2", "--out", tmp_path / "c")
    assert "of 5 decoder layers, which saves" in made.stderr
    swept = savs("sweep", deep, "--max-layer", "each", "--heads", "4", "--out", tmp_path / "d")
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout.count("\n") == 4
    assert pl.read_parquet(tmp_path / "d" / "summary.parquet")["max_layer"].max() == 4
    shown = savs("sweep", deep, "--max-layer", "0", "--heads", "4", "--json")
    assert {row["max_layer"] for row in json.loads(shown.stdout)["summary"]} == {0, 4}


def test_a_sweep_is_not_measured_where_its_result_may_not_lie(store, tmp_path, monkeypatch) -> None:
    def sweep(*arguments, **options):
        raise AssertionError("it was measured first")

    monkeypatch.setattr("savs.pipeline.evaluation.sweep.sweep.make_draws", sweep)
    linked = tmp_path / "linked"
    shutil.copytree(store, linked)
    shutil.rmtree(linked / "results", ignore_errors=True)
    (tmp_path / "elsewhere").mkdir()
    (linked / "results").symlink_to(tmp_path / "elsewhere")
    done = CliRunner().invoke(app, ["sweep", str(linked)])
    assert isinstance(done.exception, ParameterError)
    assert "is a link" in str(done.exception)
