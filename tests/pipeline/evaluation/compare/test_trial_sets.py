"""`trial_sets`: what is read back, and which results belong to the same examples."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_results import save_result

from savs import compare, evaluate, save_evaluation, select
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.trial_sets import read_result, short_names
from savs.pipeline.evaluation.trials import UNIT_SCHEMA, read_units
from savs.stores import ResultError
from savs.stores.format.layout import digest
from stores import make_store

RIGHT = [1, 0, 1, 1]


@pytest.fixture
def folder(tmp_path):
    return save_result(tmp_path / "a", RIGHT)


def test_units_are_what_the_metrics_are_the_mean_of(tmp_path):
    rng = np.random.default_rng(0)
    train = rng.normal(size=(3, 4, 3)).astype(np.float32)
    rows = [{"group": group} for group in "gghh"]
    store = make_store(tmp_path / "s", train, list("abab"), train, list("abab"), test_rows=rows)
    result = evaluate(store, select(store, heads=3))
    save_evaluation(result, tmp_path / "r")
    table = pl.read_parquet(tmp_path / "r/units.parquet")
    assert table.schema == UNIT_SCHEMA
    assert table["metric"].to_list() == ["accuracy"] * 4 + ["balanced accuracy"] * 4
    assert table["unit"].to_list() == [0, 1, 2, 3] * 2
    right = result.predictions["correct"].cast(pl.Float64).to_list()
    assert table["scores"].to_list() == [[score] for score in right] * 2
    assert table["cluster"].to_list() == ["0", "0", "2", "2"] * 2
    assert table["stratum"].to_list() == ["all"] * 4 + list("abab")
    found = read_result(tmp_path / "r")
    for metric, units in zip(result.metrics, result.units, strict=True):
        assert found.units()[metric.name].equals(units.scores)


def test_predictions_without_labels_have_no_units(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    store = make_store(tmp_path / "s", values, list("abab"), values, [None] * 4)
    save_evaluation(evaluate(store, select(store, heads=3)), tmp_path / "r")
    assert pl.read_parquet(tmp_path / "r/units.parquet").schema == UNIT_SCHEMA
    with pytest.raises(
        ComparisonError, match="has no metrics, because its test examples have no labels"
    ):
        read_result(tmp_path / "r")


@pytest.mark.parametrize("name", ["metrics.json", "units.parquet", "predictions.parquet"])
def test_a_missing_or_damaged_file_is_named_with_what_writes_it(folder, name):
    for content in (b"", b"[1]", b"\xff\x00"):
        (folder / name).write_bytes(content)
        with pytest.raises(ResultError, match=rf"a/{name} cannot be read .*; run `savs evaluate` "):
            read_result(folder)
    (folder / name).unlink()
    with pytest.raises(ResultError, match=rf"a/{name} does not exist; run `savs evaluate`"):
        read_result(folder)


def test_metrics_of_another_form_and_files_of_two_evaluations_are_refused(folder, tmp_path):
    units, metrics = folder / "units.parquet", folder / "metrics.json"
    before = units.read_bytes()
    (save_result(tmp_path / "b", [1, 1, 1, 1]) / "units.parquet").replace(units)
    with pytest.raises(
        ResultError, match=r"belong to different evaluations\); run `savs evaluate`"
    ):
        read_result(folder)
    units.write_bytes(before)
    table = pl.read_parquet(units)
    for scores in ([], [None]):
        odd = pl.Series([scores, *table["scores"][1:]], dtype=pl.List(pl.Float64))
        table.with_columns(scores=odd).write_parquet(units)
        with pytest.raises(ResultError, match="column 'scores' has an empty cell"):
            read_units(units, "savs evaluate")
    units.write_bytes(before)
    for content in ({}, {"metrics": [{}]}, {"metrics": 3}):
        metrics.write_text(json.dumps(content))
        with pytest.raises(ResultError, match=r"metrics\.json cannot be read \(files: expected"):
            read_result(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leaks": {}}, "leaks: expected 'repeated' and 'shared medium'"),
        ({"folds": 1}, "folds: expected at least 2, got 1"),
        ({"model": {"name": 3}}, r"model\.name: expected text, got 3"),
        ({"value": 1.5}, "expected shares of 0 to 1, got 1.5"),
        (
            {"name": "other"},
            "has the metrics other, and in .* other trials; run `savs evaluate` ag",
        ),
    ],
    ids=lambda one: str(one) if isinstance(one, dict) else "",
)
def test_metrics_that_no_evaluation_gives_are_refused(folder, change, message):
    value = json.loads((folder / "metrics.json").read_text())
    (metric, *_), files, _ = value["metrics"], value.pop("files"), value.pop("run")
    of_metric = {name: new for name, new in change.items() if name in metric}
    value |= {"metrics": [metric | of_metric]} if of_metric else change
    forged = {**value, "run": digest(value), "files": files}
    (folder / "metrics.json").write_text(json.dumps(forged))
    with pytest.raises(ResultError, match=message):
        read_result(folder)


def test_a_store_or_no_folder_in_place_of_a_result_is_told_what_to_pass(tmp_path, folder):
    with pytest.raises(ComparisonError, match="none is not a folder; pass one that `savs eval"):
        read_result(tmp_path / "none")
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(ComparisonError, match=r"is a store; .* none yet, run savs evaluate"):
        read_result(tmp_path)
    save_result(tmp_path / "results" / "vote", RIGHT)
    (tmp_path / "results" / "lda").mkdir()
    (tmp_path / "results" / "lda" / "config.json").touch()  # it was not evaluated
    with pytest.raises(ComparisonError, match=r"result folders in it: \S*/results/vote$"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/vote", "x/lda"], ["vote", "lda"]),
        (["x/vote", "y/vote", "x/lda"], ["x/vote", "y/vote", "lda"]),
        (["vote", "x/vote"], [f"{Path.cwd().name}/vote", "x/vote"]),
        (["x/results/vote", "y/results/vote"], ["x/results/vote", "y/results/vote"]),
    ],
)
def test_names_are_short_and_tell_apart(paths, names):
    assert short_names([Path(path) for path in paths]) == names


OTHERS = {
    "fewer": ({"right": [1, 0, 1]}, "4 test examples here, 3 there"),
    "ids": (
        {"stem": "val", "labels": "abba"},
        "ids differ in 4 examples, first in row 0: 'test:0' here, 'val:0' th",
    ),
    "labels": ({"labels": "abba"}, "labels differ in 2 examples, first in 'test:2': 'a' here, 'b'"),
    "groups": (
        {"group": list("ghij")},
        "groups differ in 4 examples, first in 'test:0': None here",
    ),
    "categories": ({"category": list("ghij")}, "categories differ in 4 examples, first in 'test:0"),
    "images": (
        {"clusters": "0023"},
        "ids and labels are the same, but other examples share an image",
    ),
}


@pytest.mark.parametrize(("change", "reason"), OTHERS.values(), ids=OTHERS.keys())
def test_other_examples_are_refused_with_how_they_differ(tmp_path, folder, change, reason):
    other = save_result(tmp_path / "b", **({"right": RIGHT} | change))
    with pytest.raises(ComparisonError, match=re.escape(reason)) as caught:
        compare([folder, other])
    first, *reasons, advice = str(caught.value).splitlines()
    assert first.startswith(f"{folder} has other test examples than all other results")
    assert len(reasons) == 1
    assert "`drop_leaks`" in advice


def test_one_result_without_a_partner_spoils_the_comparison(tmp_path, folder):
    """The nearest one is the one with the most ids in common."""
    same = save_result(tmp_path / "same", [1, 1, 0, 0])
    far = [save_result(tmp_path / f"far{i}", RIGHT, stem="far") for i in range(2)]
    near = save_result(tmp_path / "near", [1, 0, 1])
    with pytest.raises(
        ComparisonError, match=r"near has other test examples .* compared with \S*/a:"
    ):
        compare([*far, folder, same, near])
