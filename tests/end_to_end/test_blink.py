"""BLINK's files through the commands: one to three images, lettered options, hidden answers."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from official_files import BLINK_TASKS, write_blink

from savs import open_store

pytestmark = pytest.mark.thorough

TASKS = sorted(BLINK_TASKS)
"""Subtasks in the order of the folders, which is that of their names."""
OPTIONS = {"Object_Option": 2, "Third_Image": 3, "Which_Image": 2}
SHOTS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return BLINK's folders: 36 questions a subtask with answers, 8 without."""
    folder = tmp_path_factory.mktemp("blink")
    write_blink(folder, rows_each=36, split="val")
    return write_blink(folder, rows_each=8, split="test")


@pytest.fixture
def extract(savs, tmp_path):
    def run(*more, out=tmp_path / "store"):
        return savs(
            *("extract", "blink", "--model", "demo", "--batch-size", "32", "--out", out, *more)
        )

    return run


@pytest.fixture
def made(extract, folder):
    """Return the store of the questions with answers, the others wait; the first test makes it."""
    if not (folder / "store").exists():
        files = {split: f"{folder}/*/{split}-*.parquet" for split in ("val", "test")}
        shots = ("--test", files["val"], "--shots", SHOTS, "--unlabelled", files["test"])
        done = extract(*shots, out=folder / "store")
        assert done.returncode == 0, done.stderr
    return folder / "store"


def results(savs, store):
    """Run `select` and `evaluate`; return metrics.json, submission.json and the predictions."""
    assert savs("select", store).returncode == 0
    done = savs("evaluate", store)
    assert done.returncode == 0, done.stderr
    place = Path(store) / "results" / "vote"
    assert f"wrote {place / 'submission.json'}, for the official evaluation" in done.stderr
    return (
        json.loads((place / "metrics.json").read_text()),
        json.loads((place / "submission.json").read_text()),
        pl.read_parquet(place / "predictions.parquet"),
    )


def answers(folder, split):
    """Return subtask -> idx -> answer, as the files have them."""
    files = {task: next((folder / task).glob(f"{split}-*.parquet")) for task in TASKS}
    return {
        task: dict(pl.read_parquet(file).select("idx", "answer").iter_rows())
        for task, file in files.items()
    }


def test_shots_of_val_train_and_the_rest_is_scored(savs, made, folder):
    written, submission, predictions = results(savs, made)
    trained = set(open_store(made).examples("train")["id"])
    hits, classes = {}, {}
    for task, truth in answers(folder, "val").items():
        classes[task] = sorted(set(truth.values()))
        assert len(trained & set(truth)) == SHOTS * len(classes[task])
        hits[task] = [submission[i] == a for i, a in truth.items() if i not in trained]
    assert {task: len(found) for task, found in classes.items()} == OPTIONS
    means = {f"accuracy, {task}": sum(hits[task]) / len(hits[task]) for task in TASKS}
    everything = [hit for task in TASKS for hit in hits[task]]
    expected = {
        "accuracy, macro": sum(means.values()) / 3,
        **means,
        "accuracy, micro": sum(everything) / len(everything),
    }
    metrics = {metric["name"]: metric for metric in written["metrics"]}
    assert list(metrics) == list(expected)
    assert {k: m["value"] for k, m in metrics.items()} == pytest.approx(expected, rel=1e-12)
    assert metrics["accuracy, macro"]["value"] >= 0.8
    assert metrics["accuracy, macro"]["chance"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert [metrics[f"accuracy, {task}"]["chance"] for task in TASKS] == pytest.approx(
        [1 / OPTIONS[task] for task in TASKS]
    )
    assert written["planned"] == len(everything) == len(submission) == 108 - SHOTS * 7
    assert dict(predictions.select("id", "prediction").iter_rows()) == submission
    assert predictions["subtask"].unique(maintain_order=True).to_list() == TASKS
    assert predictions["correct"].to_list() == everything


def test_hidden_answers_give_a_submission_and_no_metrics(savs, extract, folder, tmp_path):
    done = extract(
        *("--train", folder / "*" / "val-*.parquet", "--shots", 3),
        *("--test", folder / "*" / "test-*.parquet"),
    )
    assert done.returncode == 0, done.stderr
    assert "in no training example" not in done.stderr  # a hidden answer is no unknown label
    written, submission, predictions = results(savs, tmp_path / "store")
    assert written["metrics"] == []
    assert written["notes"] == [
        "the test examples have no labels, so there are predictions but no metrics"
    ]
    assert (written["planned"], written["scored"], written["skipped"]) == (24, 24, 0)
    truth = answers(folder, "test")
    assert list(submission) == [idx for task in TASKS for idx in truth[task]]
    assert {answer for found in truth.values() for answer in found.values()} == {"hidden"}
    for task in TASKS:
        letters = {f"({letter})" for letter in "ABC"[: OPTIONS[task]]}
        assert {submission[idx] for idx in truth[task]} <= letters
    assert predictions["label"].null_count() == predictions["correct"].null_count() == 24
    assert predictions["prediction"].to_list() == list(submission.values())
    shown = savs("evaluate", tmp_path / "store")
    assert "24 of 24 test examples used" in shown.stderr
    assert "accuracy" not in shown.stdout


def test_hidden_answers_cannot_train(extract, folder):
    done = extract("--test", folder / "*" / "test-*.parquet", "--shots", 2)
    assert done.returncode == 1
    assert (
        "error: example 'test_Object_Option_1' has no label, so its class is unknown" in done.stderr
    )


def test_a_pool_without_labels_gets_some_subtask_by_subtask(savs, made, tmp_path):
    """The loop of labels on a published benchmark: labels of the pool come later."""
    store = open_store(shutil.copytree(made, tmp_path / "store"))
    assert savs("select", "store").returncode == 0
    done = savs("suggest", "store", "--n", 2, "--out", "next.csv")
    assert done.returncode == 0, done.stderr
    table = pl.read_csv("next.csv")
    assert table["subtask"].to_list() == [task for task in TASKS for _ in range(2)]
    first = {task: store.examples("train").filter(subtask=task)["label"][0] for task in TASKS}
    labels = [first[task] for task in table["subtask"]]
    table.with_columns(label=pl.Series(labels)).write_csv("next.csv")
    told = savs("label", "store", "next.csv", "--json")
    assert told.returncode == 0, told.stderr
    assert {row["old_split"] for row in json.loads(told.stdout)["changes"]} == {"unlabelled"}
    trained = savs("train", "store", "--readout", "vote", "--json")
    assert trained.returncode == 0, trained.stderr
    before = store.facts["planned"]
    assert json.loads(trained.stdout)["examples"] == {
        "train": before["train"] + 2 * len(TASKS),
        "test": before["test"],
        "unlabelled": before["unlabelled"] - 2 * len(TASKS),
    }
