"""`train` on stored features, and where the classifier of a folder goes."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from random_stores import draw_problem, write_problem
from typer.testing import CliRunner

from savs import label, train
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.training import ENOUGH, default_store, is_media_folder
from savs.pipeline.cli.app import app
from savs.pipeline.cli.commands.train import show
from savs.pipeline.errors import OwnCodeError, SelectionError


def trained_on(folder: Path, shots: int, tests: int, **options):
    problem = draw_problem(3, counts=(shots, shots), tests=tests)
    return train(write_problem(folder, problem), heads=3, **options)


def test_the_accuracy_to_expect_is_of_enough_test_examples_or_of_left_out_ones(tmp_path) -> None:
    enough = trained_on(tmp_path / "enough", 8, ENOUGH)
    assert enough.expected is enough.tested is not None
    assert enough.left_out is not None
    few = trained_on(tmp_path / "few", 8, ENOUGH - 1)
    assert few.expected is few.left_out is not None
    assert few.tested is not None
    assert {*few.accuracies} == {"vote", "posterior", "lda"}
    assert few.selection.readout == max(few.accuracies, key=lambda name: few.accuracies[name])
    given = trained_on(tmp_path / "given", 8, 3, readout="lda")
    assert (given.selection.readout, given.accuracies) == ("lda", {})
    assert all(len(one.selection.tasks[0].heads) == 3 for one in (enough, few, given))


def test_without_any_estimate_the_accuracy_to_expect_is_an_error(tmp_path) -> None:
    lonely = trained_on(tmp_path / "s", 1, 2)
    assert lonely.left_out is None
    assert lonely.expected is lonely.tested
    assert f"\n  accuracy {lonely.tested.metrics[0].value:.3f}" in repr(lonely)
    shown = show(lonely, {"json": False, "max_skip": 0})
    assert shown.facts["expected"] == lonely.tested.to_json()
    assert len(shown.data) == 1
    assert lonely.notes
    stale = lonely.folder / "suspects.csv"
    stale.write_text("id\n")  # of a training that had enough examples for folds
    train(lonely.folder.parent.parent, heads=3)
    assert not stale.exists()
    unknown = replace(lonely, tested=None)
    assert "accuracy" not in repr(unknown)
    with pytest.raises(SelectionError, match="too few labelled examples to estimate"):
        _ = unknown.expected


def test_training_again_leaves_no_evaluation_of_examples_that_are_tested_no_more(tmp_path) -> None:
    problem = draw_problem(3, counts=(8, 8), tests=4)
    problem.train_labels[0] = "class 1" if problem.train_labels[0] == "class 0" else "class 0"
    store = write_problem(tmp_path / "s", problem)
    first = train(store, heads=3)
    files = {path.name for path in first.folder.iterdir()}
    assert {"metrics.json", "suspects.csv"} <= files
    assert first.suspects["id"].to_list() == [store.ids("train")[0]]
    assert pl.read_csv(first.folder / "suspects.csv")["id"].to_list() == [store.ids("train")[0]]
    now = label(store, dict(store.examples("test").select("id", "label").rows()), split="train")
    again = train(now.store, heads=3)
    assert again.tested is None
    assert files - {path.name for path in again.folder.iterdir()} == {
        *("metrics.json", "predictions.parquet", "units.parquet")
    }
    assert (again.folder.with_name("trained-cv") / "metrics.json").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow_removed", True),
        ("question", "Which?"),
        ("model", "demo"),
        ("out", "elsewhere"),
        ("shots", 3),
        ("media_root", "photos"),
        ("dtype", "bfloat16"),
        ("batch_size", 2),
    ],
)
def test_options_of_images_are_refused_with_a_store(tmp_path, name, value) -> None:
    store = write_problem(tmp_path / "s", draw_problem(3))
    with pytest.raises(ParameterError, match=rf"`{name}` is for images, and .*s is a store"):
        train(store.path, **{"dtype": "auto", name: value})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("photos", "photos-savs"),
        ("v1.2", "v1.2-savs"),
        ("rows.csv", "rows-savs"),
        ("rows.tar.gz", "rows-savs"),
        (".", "here-savs"),
        ("photos/..", "here-savs"),
        ("shard-*.tar", None),
        ("hf://datasets/a/b", None),
        ("/", None),
        (pl.DataFrame(), None),
    ],
    ids=str,
)
def test_a_store_lies_next_to_its_images(tmp_path, monkeypatch, source, expected) -> None:
    here = tmp_path / "here"
    for folder in ("photos", "v1.2"):
        (here / folder).mkdir(parents=True)
    for file in ("rows.csv", "rows.tar.gz"):
        (here / file).touch()
    monkeypatch.chdir(here)
    found = default_store(source)
    above = tmp_path if expected == "here-savs" else here
    assert (found and here / found) == (expected and above / expected)


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        *(("readout", name) for name in ("nearest", "gone.py", "answers", "clip", "hec-vt")),
        ("heads", "L1"),
    ],
)
@pytest.mark.parametrize("gpus", ["none", "cpu,cpu"])
def test_a_readout_or_heads_that_are_not_there_are_refused_before_a_model_runs(
    tmp_path, option, wrong, gpus
) -> None:
    for name in ("grass", "brick"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name / "a.png")
    words = ["train", str(tmp_path / "photos"), "--model", "demo", "--out", str(tmp_path / "s")]
    done = CliRunner().invoke(app, [*words, f"--{option}", wrong, "--gpus", gpus])
    assert isinstance(done.exception, SelectionError | ParameterError | OwnCodeError)
    assert wrong in str(done.exception)
    assert not (tmp_path / "s").exists()


def test_a_class_folder_in_place_of_the_folder_of_all_is_named(tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").touch()
        (tmp_path / "photos" / name / "notes.txt").touch()
    with pytest.raises(ParameterError, match=r"cat has no class folders, and .*photos has"):
        train(tmp_path / "photos/cat", model="demo", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_a_table_is_no_folder_of_classes_but_that_of_a_store_is(tmp_path) -> None:
    store = write_problem(tmp_path / "photos/pets-savs", draw_problem(3))
    (store.path / "results").mkdir()
    (store.path / "results/units.parquet").touch()
    assert is_media_folder(tmp_path / "photos")
    (tmp_path / "photos/rows.parquet").touch()
    assert not is_media_folder(tmp_path / "photos")
    assert not is_media_folder(tmp_path / "photos/rows.parquet")
    assert not is_media_folder(pl.DataFrame())


def test_notes_of_a_folder_name_its_conflicts(tmp_path, capsys) -> None:
    for number, name in enumerate(["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"]):
        path = tmp_path / f"photos/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28), (40 * number, 9, 9)).save(path)
    shutil.copy(tmp_path / "photos/a/1.png", tmp_path / "photos/b/4.png")
    given = {"model": "demo", "question": "Which is it?", "readout": "vote", "workers": 0}
    done = train(tmp_path / "photos", out=tmp_path / "s", verbose=True, **given)
    assert "have the same bytes" in capsys.readouterr().out
    conflict = "a/1.png and b/4.png have the same bytes and different classes"
    assert [note for note in done.notes if note.startswith(conflict)]
