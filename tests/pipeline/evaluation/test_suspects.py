"""Flipped labels are found by the classifier of the others."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from savs import SavsError, evaluate, select
from savs.pipeline.evaluation.suspects import STRONG, suspects
from savs.pipeline.targets.target import strengths
from stores import make_store

FLIPPED = (3, 8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store of two classes far apart, of which two examples have the other's label."""
    rng = np.random.default_rng(0)
    truth = list("ab" * 10)
    centres = rng.normal(size=(6, 2, 8)) * 3
    features = centres[:, ["ab".index(label) for label in truth]] + rng.normal(size=(6, 20, 8))
    labels = ["ab"["ba".index(t)] if i in FLIPPED else t for i, t in enumerate(truth)]
    rows = [{"media": f'["{i}.png"]', "media_sha256": f'["{i}"]'} for i in range(20)]
    features = features.astype(np.float32)
    return make_store(
        *(tmp_path_factory.mktemp("suspects") / "s", features, labels, features[:, :2], labels[:2]),
        train_rows=rows,
    )


@pytest.mark.parametrize("readout", ["vote", "lda"])
def test_flipped_labels_are_the_suspects(store, readout):
    selection = select(store, heads=5, readout=readout)
    folds = evaluate(store, selection, on="folds")
    found = suspects(store, selection)
    assert found.equals(suspects(store, selection, folds))
    assert set(found["id"]) == {f"train:{i}" for i in FLIPPED}
    assert found["strength"].min() >= STRONG
    row = found.row(by_predicate=pl.col("id") == "train:3", named=True)
    assert (row["label"], row["prediction"], row["media"]) == ("a", "b", ["3.png"])
    votes = folds.predictions.filter(id="train:3")["votes"][0]
    scores = {vote["class"]: vote["score"] for vote in votes}
    assert row["margin"] == scores["b"] - scores["a"] > 0


def test_of_equal_strengths_the_greatest_margin_comes_first(store):
    selection = select(store, heads=5)
    folds = evaluate(store, selection, on="folds")
    assert suspects(store, selection, folds)["id"].to_list() == ["train:3", "train:8"]
    votes = folds.predictions["votes"].to_list()
    votes[8] = [{**vote, "score": 2 * vote["score"]} for vote in votes[8]]
    more = folds.table.with_columns(votes=pl.Series(votes, dtype=folds.predictions["votes"].dtype))
    found = suspects(store, selection, replace(folds, table=more))
    assert found.select("id", "strength", "margin").rows() == [
        ("train:8", 1.0, 10.0),
        ("train:3", 1.0, 5.0),
    ]


def test_strength_is_the_share_of_margins_that_are_not_larger():
    right = np.float32([1, 2, 2, 5])
    assert strengths(np.float32([0, 1, 2, 3, 9]), right).tolist() == [0, 0.25, 0.75, 0.75, 1]
    assert strengths(np.float32([3]), np.float32([])).tolist() == [0]


def test_doubtful_labels_are_named_and_strictly_refused(savs, tmp_path):
    features = np.random.default_rng(1).normal(size=(2, 6, 4)).astype(np.float32)
    labels = ["cat", "dog", "Cat", "cat", "dog", "Cat"]
    make_store(tmp_path / "s", features, labels, features, labels)
    named = "labels 'cat' (2 examples) and 'Cat' (2 examples) differ by case or spaces alone"
    done = savs("select", tmp_path / "s", "--heads", 1, "--no-estimate")
    assert f"note: {named}" in done.stderr
    assert done.returncode == 0
    with pytest.raises(SavsError, match=re.escape(named)):
        select(tmp_path / "s", heads=1, strict=True, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(SavsError, match=re.escape(named)):
        select(tmp_path / "s", heads=1, strict=True)


def test_suspects_need_no_folder_but_labels_of_a_store_and_enough_of_them(store, tmp_path):
    found = select(store, heads=5, suspects=True)
    assert (found.suspects["id"].to_list(), found.folder) == (["train:3", "train:8"], None)
    with pytest.raises(SavsError, match="`suspects` is for the labels of examples; omit `pseudo_l"):
        select(store, suspects=True, pseudo_labels=0.5)
    with pytest.raises(SavsError, match="`strict` is for the labels of examples; omit `pseudo_l"):
        select(store, strict=True, pseudo_labels=0.5)
    values = np.ones((1, 3, 2), np.float32)
    few = make_store(tmp_path / "s", values, list("aab"), values, list("aab"))
    assert select(few, out=tmp_path / "chosen").estimates is None
    with pytest.raises(SavsError, match="two independent examples"):
        select(few, suspects=True)
