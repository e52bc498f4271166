"""`evaluate --risk`, `select --max-layer` and `sweep --max-layers` as a user runs them."""

import json

import polars as pl
import pytest
from random_stores import draw_problem, write_problem


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return the folder of a store of layers 0, 2 and 4 with four heads each."""
    folder = tmp_path_factory.mktemp("risk") / "s"
    write_problem(folder, draw_problem(1, counts=(9, 9, 9)))
    return folder


def test_an_evaluation_prints_reliability_coverage_and_risk(savs, store, tmp_path) -> None:
    savs("select", store, "--heads", "4", "--out", tmp_path / "c")
    given = ("evaluate", store, "--selection", tmp_path / "c", "--out", tmp_path / "e")
    done = savs(*given, "--risk", "0.1")
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


def test_risks_that_cannot_be(savs, store, tmp_path) -> None:
    savs("select", store, "--heads", "4", "--no-cv", "--out", tmp_path / "c")
    given = ("evaluate", store, "--selection", tmp_path / "c", "--out", tmp_path / "e")
    plain = savs(*given)
    assert "probabilities are not calibrated" in plain.stderr
    refused = savs(*given, "--risk", "0.1")
    assert refused.returncode == 1
    assert "has no calibration, which --risk needs" in refused.stderr
    wrong = savs(*given, "--risk", "5")
    assert (wrong.returncode, "risk is 5.0, expected a number" in wrong.stderr) == (1, True)
    for more in (("--cv",), ("--readout", "zero-shot")):
        done = savs("evaluate", store, "--risk", "0.1", *more)
        assert done.returncode == 2
        assert "--risk needs a calibrated selection" in done.stderr


def test_depth_is_printed_and_written(savs, store, tmp_path) -> None:
    made = savs("select", store, "--heads", "4", "--max-layer", "2", "--out", tmp_path / "c")
    assert "of 5 decoder layers, which saves" in made.stderr
    swept = savs("sweep", store, "--max-layers", "each", "--heads", "4", "--out", tmp_path / "d")
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout.count("\n") == 4
    assert pl.read_parquet(tmp_path / "d" / "summary.parquet")["max_layer"].max() == 4
    shown = savs("sweep", store, "--max-layers", "0", "--heads", "4", "--json")
    assert {row["max_layer"] for row in json.loads(shown.stdout)["summary"]} == {0, 4}
    assert savs("sweep", store, "--max-layers", "x").returncode == 2
    wrong = savs("sweep", store, "--max-layers", "0", "--heads", "1,2")
    assert wrong.returncode == 1
    assert "expected one number: depths are compared at one" in wrong.stderr
