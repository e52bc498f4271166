"""Suggestions: their order, those of a store and of a file, and the loop that labels them."""

import json

import numpy as np
import polars as pl
import pytest

from savs import evaluate, label, save_evaluation, select, suggest
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import OutputError, SelectionError
from savs.pipeline.evaluation.suggest import (
    farthest_first,
    least_sure,
    most_alike,
    nearest_chain,
    suggest_from_predictions,
    suggest_from_store,
    unit_features,
)
from savs.pipeline.readouts import ClassScores
from savs.pipeline.targets.one import sureness
from savs.stores import ResultError, StoreIncompleteError
from stores import make_store

pytestmark = pytest.mark.thorough

SURE, MIDDLE = 3.0, 0.0


def store_of(folder, places, *, labels=None, rows=None, train_rows=None):
    """Return a store of heads whose features lie on a line: class a at -1, class b at 1."""
    rng = np.random.default_rng(0)
    axis, noise = rng.normal(size=(4, 1, 8)), rng.normal(size=(4, len(places), 8)) * 0.01
    train = np.concatenate([-axis, axis] * 3, axis=1) + rng.normal(size=(4, 6, 8)) * 0.05
    spread = rng.normal(size=(4, len(places), 8)) * 0.3
    test = np.asarray(places, float)[None, :, None] * axis + noise
    test += np.where(np.abs(np.asarray(places)) < 1, 1, 0)[None, :, None] * spread
    return make_store(
        *(folder, train.astype(np.float32), list("ababab"), test.astype(np.float32)),
        [None] * len(places) if labels is None else labels,
        test_rows=[{"media": f'["{i}.png"]', "prompt": "?"} for i in range(len(places))]
        if rows is None
        else rows,
        train_rows=[{"media": '["t.png"]'}] * 6 if train_rows is None else train_rows,
    )


def test_the_unsure_are_suggested_and_not_the_sure(tmp_path):
    places = [SURE, -SURE, MIDDLE, SURE, MIDDLE, -SURE, MIDDLE, *[SURE] * 20]
    store = store_of(tmp_path / "s", places)
    found = suggest(store, select(store, heads=3, readout="lda"), 1)
    assert found.table.columns == ["id", "image", "question", "label", "prediction", "margin"]
    assert found.table["id"][0] in {"test:2", "test:4", "test:6"}
    assert found.table["label"].to_list() == [""]
    assert found.notes == ()


def test_what_training_has_already_is_left_out_and_labels_are_noted(tmp_path):
    rows = [{"media": f'["{i}.png"]', "media_sha256": f'["{i}"]', "prompt": "?"} for i in range(4)]
    store = store_of(
        *(tmp_path / "s", [MIDDLE] * 4), labels=list("abab"), rows=rows, train_rows=rows + rows[:2]
    )
    found = suggest(store, select(store, heads=2), 9)
    assert found.table.height == 0
    assert found.notes[0] == "4 test examples are training examples already: left out"
    assert found.notes[1].startswith("these test examples have labels")


def test_labelled_test_examples_give_way_to_those_without_a_label(tmp_path):
    store = store_of(tmp_path / "s", [MIDDLE, SURE] * 3)
    labels = {f"test:{row}": name for row, name in ((0, "a"), (2, "b"), (4, "a"), (5, "b"))}
    store = label(store, labels, split="test").store
    for selection in (select(store, heads=2), None):
        done = suggest(store, selection, 9)
        assert sorted(done.table["id"]) == ["test:1", "test:3"]
        assert not any("have labels" in note for note in done.notes)


def test_without_a_classifier_no_open_example_is_an_empty_table(tmp_path):
    rows = [{"media": f'["{i}.png"]', "media_sha256": f'["{i}"]', "prompt": "?"} for i in range(6)]
    store = store_of(tmp_path / "s", [MIDDLE] * 6, rows=rows, train_rows=rows)
    done = suggest(store, None, 9)
    assert done.table.height == 0
    assert done.table.columns == suggest(store, select(store, heads=2), 9).table.columns


def test_each_subtask_has_its_own(tmp_path):
    rows = [
        {"subtask": "xy"[i % 2], "media": f'["{i}.png","z.png"]', "prompt": "?"} for i in range(12)
    ]
    store = store_of(
        tmp_path / "s",
        [MIDDLE] * 12,
        rows=rows,
        train_rows=[{"subtask": "x" if i < 2 else "y"} for i in range(6)],
    )
    selection = select(store, heads=2)
    found = suggest(store, selection, 2)
    assert found.table["subtask"].to_list() == ["x", "x", "y", "y"]
    assert found.table["images"][0].to_list()[1] == "z.png"
    for method in (selection, None):
        only = suggest_from_store(store, method, 2, subtask="y").table
        assert only["subtask"].to_list() == ["y", "y"]
    names = [f"test:{i}" for i in range(1, 12, 2)]
    alike = most_alike(store, selection, "test", names, 3, subtask="y")
    assert alike.height == 3
    assert {*alike["id"]} < {*names}
    assert alike["prediction"].null_count() == 0
    with pytest.raises(SelectionError, match="no subtask 'w'; it has: x, y"):
        suggest(store, selection, 2, subtask="w")


def test_a_file_of_predictions_gives_the_smallest_margins(tmp_path):
    rows = pl.DataFrame(
        {
            "id": ["1", "2", "3", "4"],
            "media": ["a.png", '["b.png","c.png"]', "d.png", "e.png"],
            "prediction": ["x", "y", None, "x"],
            "margin": [5.0, 1.0, None, 2.0],
        }
    )
    rows.write_csv(tmp_path / "p.csv")
    found = suggest_from_predictions(tmp_path / "p.csv", 2)
    assert found.table["id"].to_list() == ["2", "4"]
    assert found.table["images"].to_list() == [["b.png", "c.png"], ["e.png"]]
    whole = suggest_from_predictions(tmp_path / "p.csv", 9).table
    assert whole["id"].to_list() == ["2", "4", "1"]  # the third has no prediction
    lists = rows.with_columns(media=pl.Series([["a"], ["b"], ["d"], ["e"]]))
    for name, write in (("p.parquet", lists.write_parquet), ("p.jsonl", lists.write_ndjson)):
        write(tmp_path / name)
        assert suggest_from_predictions(tmp_path / name, 1).table["image"].to_list() == ["b"]
    rows.drop("media").write_csv(tmp_path / "features.csv")  # of features there are no media
    named = suggest_from_predictions(tmp_path / "features.csv", 1).table
    assert named.to_dicts() == [{"id": "2", "label": "", "prediction": "y", "margin": 1.0}]
    rows.drop("margin").write_csv(tmp_path / "bad.csv")
    with pytest.raises(ResultError, match="it has no column 'margin'"):
        suggest_from_predictions(tmp_path / "bad.csv", 2)
    with pytest.raises(ResultError, match="does not exist"):
        suggest_from_predictions(tmp_path / "no.csv", 2)
    with pytest.raises(ParameterError, match=r"`subtask` is for a store; .*p\.csv is a file"):
        suggest(tmp_path / "p.csv", subtask="x")
    with pytest.raises(ParameterError, match="`n` is 0, expected at least 1"):
        suggest(tmp_path / "p.csv", n=0)
    store = store_of(tmp_path / "s", [SURE, MIDDLE], labels=["b", "b"])
    _, file = save_evaluation(evaluate(store, select(store, heads=2)), tmp_path / "out")
    assert set(suggest_from_predictions(file, 5).table["id"]) == {"test:0", "test:1"}


def test_suggestions_are_written_as_json_lines_and_of_the_readout_that_is_named(tmp_path):
    store = store_of(tmp_path / "s", [SURE, MIDDLE, -SURE])
    select(store, heads=2)
    out = tmp_path / "next.jsonl"
    assert suggest(store, out=out).table.height == 3
    assert len(out.read_text().splitlines()) == 3
    assert suggest(store, out=out, force=True).table.height == 3
    with pytest.raises(ParameterError, match=r"`subtask` is for a store; next\.csv is a file"):
        suggest("next.csv", subtask="x")
    with pytest.raises(ParameterError, match="`n` is 0, expected at least 1"):
        suggest(store, n=0)
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(OutputError, match=r"d\.csv is a folder; pass the name of a file"):
        suggest(store, out=tmp_path / "d.csv")
    of_lda = suggest(store, readout="lda").table
    assert of_lda.equals(suggest(store, select(store, readout="lda")).table)
    assert not of_lda.equals(suggest(store).table)


def test_a_store_without_test_examples_says_so(savs, inputs, tmp_path):
    pytest.importorskip("torch")
    from savs import extract

    train, _ = inputs.few_shots(4, 1)
    store = extract("general", train=train, model="demo", out=tmp_path / "s").store
    with pytest.raises(StoreIncompleteError, match="waits for a label; add images"):
        suggest(store, select(store, heads=2), 3)
    assert savs("suggest", tmp_path / "s").returncode == 3


def test_suggested_images_are_labelled_and_appended(savs, inputs, tmp_path):
    pytest.importorskip("torch")
    train, test = inputs.few_shots(6, 6)
    truth = [json.loads(line) for line in test.read_text().splitlines()]
    unlabelled = inputs.rows("new.jsonl", [row | {"label": None} for row in truth])
    shared = ("--model", "demo", "--out", "s", "--no-progress")
    done = savs("extract", "general", "--train", train, "--test", unlabelled, *shared)
    assert done.returncode == 0, done.stderr
    savs("select", "s", "--heads", 3)
    assert "have no labels" in savs("evaluate", "s").stderr
    next_csv = inputs.root / "next.csv"
    assert savs("suggest", "s", "--n", 2, "--out", next_csv).returncode == 0
    labels = {row["image"]: row["label"] for row in truth}
    table = pl.read_csv(next_csv)
    names = [labels[image] for image in table["image"]]
    table.with_columns(label=pl.Series(names)).write_csv(next_csv)
    done = savs("extract", "general", "--train", next_csv, "--append", *shared)
    assert done.returncode == 0, done.stderr
    assert "append: 2 train examples to read" in done.stderr
    done = savs("suggest", "s", "--n", 9)
    assert "note: 2 test examples are training examples already: left out" in done.stderr
    assert "the selection is older than its store: 2 training examples" in done.stderr
    assert len(done.stdout.splitlines()) == 1 + 4


def test_a_training_row_without_a_label_is_named(savs, inputs):
    pytest.importorskip("torch")
    train, _ = inputs.few_shots(4, 1)
    rows = [json.loads(line) for line in train.read_text().splitlines()]
    bad = inputs.rows("bad.jsonl", [*rows, rows[0] | {"label": None}])
    done = savs("extract", "general", "--train", bad, "--model", "demo", "--out", "s")
    assert done.returncode == 1
    assert "bad.jsonl line 5: has no label; every training example needs one" in done.stderr


def test_the_first_key_decides_then_the_next_then_the_order():
    margins = np.float32([[2, 0], [1, 5], [1, 4], [1, 4], [0, 9]])
    assert least_sure(margins, 9).tolist() == [4, 2, 3, 1, 0]


def test_each_next_row_is_the_farthest_from_all_before():
    rng = np.random.default_rng(0)
    found = rng.normal(size=(40, 5)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    chosen = farthest_first(found, 12)
    assert chosen[0] == 0
    for step in range(1, 12):
        nearest = (found @ found[chosen[:step]].T).max(axis=1)
        nearest[chosen[:step]] = np.inf
        assert nearest[chosen[step]] <= nearest.min() + 1e-6


def test_no_row_comes_twice_even_where_all_are_equal():
    assert farthest_first(np.ones((3, 1), np.float32), 5) == [0, 1, 2]


def test_a_chain_goes_on_from_the_last_one():
    angles = np.float32([0, -0.9, 0.6, 1.0, 1.5])
    order, likeness = nearest_chain(np.stack([np.cos(angles), np.sin(angles)], axis=1), 0, 9)
    assert order == [0, 2, 3, 4, 1]  # by distance from the first -0.9 would be the third
    assert likeness[0] is None
    np.testing.assert_allclose(likeness[1:], np.cos([0.6, 0.4, 0.5, 2.4]), rtol=1e-5)


def test_sureness_is_the_lead_of_the_choice():
    scores, soft = np.float32([[3, 1, 0], [2, 2, 0]]), np.float32([[0.5, 0.1, 0.4], [0.1, 0.3, 0]])
    found = sureness(ClassScores(scores, np.array([0, 1]), soft))
    np.testing.assert_allclose(found, [[2, 0.1], [0, 0.2]], rtol=1e-6)


def test_products_of_unit_features_are_mean_cosines():
    features = np.random.default_rng(1).normal(size=(3, 4, 6)).astype(np.float32)
    features[1, 2] = 0
    units = unit_features(features)
    a, b = features[:, 0], features[:, 1]
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(units[0] @ units[1], cosines.mean(), rtol=1e-5)


def test_lines_of_predictions_are_read_to_the_last_before_their_types_are_known(tmp_path):
    skipped = {"id": "x", "prediction": None, "margin": None}
    rows = [*[skipped] * 120, {"id": "y", "prediction": "a", "margin": 0.5, "media": ["y.png"]}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = suggest_from_predictions(tmp_path / "p.jsonl", 1).table
    assert found.select("id", "image", "prediction").rows() == [("y", "y.png", "a")]


def test_without_a_classifier_the_examples_that_differ_most_are_suggested(tmp_path, monkeypatch):
    places = [SURE] * 9 + [-SURE]
    store = store_of(tmp_path / "s", places)
    found = suggest_from_store(store, None, 2)
    assert found.table["id"].to_list() == ["test:0", "test:9"]
    assert found.table["prediction"].null_count() == found.table["margin"].null_count() == 2
    assert "there is no classifier yet" in found.notes[0]
    monkeypatch.setattr("savs.pipeline.evaluation.suggest.LOOKED_AT", 5)  # each second one
    assert "test:9" not in suggest_from_store(store, None, 5).table["id"]
    monkeypatch.undo()
    with pytest.raises(SelectionError, match="test has no subtask 'no such'; it has: None"):
        suggest_from_store(store, None, 2, subtask="no such")


def test_without_a_classifier_nothing_is_left_if_all_is_trained_on(tmp_path):
    rows = [{"media": f'["{i}.png"]', "media_sha256": f'["{i}"]', "prompt": "?"} for i in range(4)]
    store = store_of(
        *(tmp_path / "s", [MIDDLE] * 4), labels=list("abab"), rows=rows, train_rows=rows + rows[:2]
    )
    assert suggest(store, None, 9).table.height == 0
