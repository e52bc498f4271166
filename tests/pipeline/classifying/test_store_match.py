"""`savs models CHECKPOINT --against STORE`: whether a store has the features of a model."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
from doc_pages import ROOT, blocks, commands
from input_folder import Inputs

import savs as package
from savs.pipeline.classifying.models import models
from savs.pipeline.classifying.store_match import compare_with_store
from savs.pipeline.errors import ModelError, SelectionError
from savs.stores import ResultError

pytestmark = pytest.mark.thorough

QUESTION = "Which animal is this?"
PAGE = ROOT / "docs" / "guide" / "own-features.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of photos and a store of them, with a classifier."""
    folder = tmp_path_factory.mktemp("against")
    photos = Inputs(folder / "photos")
    for number in range(16):
        for kind in ("cat", "dog"):
            photos.image(f"{kind}/{number:03}.png", 2 * number + (kind == "dog"))
    package.extract(
        "image-folder",
        test=folder / "photos",
        shots=8,
        question=QUESTION,
        model="demo",
        out=folder / "pets",
    )
    package.save_selection(package.select(folder / "pets"), folder / "pets/results/vote")
    return folder


def compared(folder, store="pets", model="demo", **options):
    opened = package.open_store(folder / store)
    return compare_with_store(model, opened, media_root=folder / "photos", **options)


def as_array(folder):
    """Return all features, `(rows, layers, heads, width)`, and write their rows without digests."""
    store = package.open_store(folder / "pets")
    rows = store.examples().select("id", "label", "split", pl.col("media").list.first())
    rows = rows.rename({"media": "image"}).with_columns(question=pl.lit(QUESTION))
    rows.write_csv(folder / "rows.csv")
    values = np.concatenate([store.features(split) for split in store.splits], axis=1)
    return values.reshape(6, 8, *values.shape[1:]).transpose(2, 0, 1, 3)


def imported(folder, name, values):
    np.save(folder / f"{name}.npy", values)
    files = (folder / f"{name}.npy", folder / "rows.csv")
    package.import_features(*files, out=folder / name, media_root=folder / "photos")
    return name


def test_the_same_model_gives_the_same_features_and_votes(folder):
    selection = package.load_selection(folder / "pets/results/vote")
    found = compared(folder, selection=selection)
    assert found.passed
    assert [check.passed for check in found.checks] == [True, True]
    assert found.checks[1].what == "100.0% of 16 predictions are the same"
    assert found.facts["compared"] == "16 examples, 0 others could not be run"
    assert found.facts["differs in"] == "nothing"
    assert found.facts["cosine"] == "median 1.000000, lowest 1.000000"
    assert "as far as rounding allows" in found.verdict


def test_neurons_predict_the_same_and_own_answers_are_not_compared(folder):
    neurons = package.select(folder / "pets", heads=5, readout="neurons")
    found = compared(folder, selection=neurons)
    assert found.checks[1].what == "100.0% of 16 predictions are the same"
    asked = {"question": QUESTION, "shots": 4, "model": "demo", "answers": "labels"}
    store = package.extract(
        "image-folder", test=folder / "photos", out=folder / "answered", **asked
    ).store
    answers = package.select(store, readout="answers")
    found = compared(folder, "answered", selection=answers)
    assert found.passed
    assert found.checks[1].passed is None
    assert found.checks[1].what == "not compared, since it reads the model's own answers"


def test_features_of_another_program_are_compared(folder):
    engine = imported(folder, "engine", as_array(folder) * np.float32(1 + 1e-6))
    found = compared(folder, engine, selection=package.select(folder / engine))
    assert [check.passed for check in found.checks] == [True, True]
    assert "differs in" not in found.facts
    median = float(re.search(r"median (\S+),", found.facts["relative distance"])[1])
    assert median == pytest.approx(1e-6, rel=0.2)


def test_a_store_of_coarser_numbers_is_compared_as_coarsely(folder):
    found = compared(folder, imported(folder, "half", as_array(folder).astype(np.float16)))
    assert found.facts["store"].endswith("float16")
    assert found.checks[0].passed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("layers-from-1", lambda values: np.roll(values, 1, axis=1)),
        ("scaled", lambda values: values * np.float32(1.1)),
    ],
)
def test_other_features_are_told_from_rounding(folder, name, change):
    found = compared(folder, imported(folder, name, change(as_array(folder))))
    assert [check.passed for check in found.checks] == [False, None]
    assert found.checks[1].what == "the store has no classifier"
    assert "do not use them together" in found.verdict


def test_a_classifier_that_predicts_otherwise_fails_where_most_heads_agree(folder):
    """Its heads are few: 46 of 48 agree, and the check of features passes."""
    selection = package.select(folder / "pets", heads=[(5, 0), (5, 1)])
    values = as_array(folder)
    values[:, 5, :2] = np.roll(values[:, 5, :2], 1, axis=0)
    name = imported(folder, "two-heads", values)
    own = package.select(folder / name, heads=[(5, 0), (5, 1)])
    package.save_selection(own, folder / name / "results" / "own")
    given = {"against": str(folder / name), "media_root": str(folder / "photos")}
    found = models("demo", selection="own", **given)
    assert [check.passed for check in found.checks] == [True, False]
    with pytest.raises(ResultError, match="absent"):
        models("demo", selection="absent", **given)
    with pytest.raises(SelectionError, match="model"):
        compared(folder, name, selection=selection)  # of the other store


def test_what_the_settings_change_is_said(folder):
    found = compared(folder, max_pixels=300)
    assert not found.passed
    assert "processor.max_pixels: None in the store, 300 now" in found.facts["differs in"]


def test_a_failed_comparison_and_options_without_a_store_are_errors(folder, savs):
    name = imported(folder, "zeros", 0 * as_array(folder) + np.float32(1))
    command = ("models", "demo", "--against", folder / name, "--media-root", folder / "photos")
    done = savs(*command, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["passed"] is False
    done = savs("models", "demo", "--media-root", folder)
    assert done.returncode == 2
    assert "is for --against; add it" in done.stderr


def test_what_cannot_be_compared_says_why(folder, tiny_model, tmp_path):
    with pytest.raises(ModelError, match=r"layer 0 of .* has 8 heads of 16 values, which qwen2_vl"):
        compared(folder, model=str(tiny_model("qwen2_vl")))
    moved = shutil.copytree(folder / "photos", tmp_path / "photos")
    for path in moved.rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"\0")  # the same pixels, other content
    with pytest.raises(ModelError, match=r"0 of 16 examples of .*; give `media_root`, the folder"):
        compare_with_store("demo", package.open_store(folder / "pets"), media_root=moved)


def test_the_page_checks_features_of_another_program(folder, monkeypatch, savs):
    imported(folder, "own", as_array(folder))
    monkeypatch.chdir(folder)
    assert savs("select", "own").returncode == 0
    (*_, words) = [words for code in blocks(PAGE, "bash")[1:] for words in commands(code)]
    done = savs(*["demo" if word.startswith("Qwen/") else word for word in words])
    assert done.returncode == 0, done.stderr
    distance = re.search(r"relative distance      median (\S+), largest (\S+)", done.stdout)
    assert float(distance[2]) < 1e-5  # rounding: batches may differ
    assert "the store's classifier predicts the same    yes" in done.stdout
