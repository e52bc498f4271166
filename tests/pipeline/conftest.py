"""A classifier of drawn scenes and the store that it was made from, made once a session."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from savs import calibrate, extract, save_selection, select
from savs.stores import FeatureStore


@dataclass(frozen=True, slots=True)
class Made:
    """A store of the scenes, a classifier of it, and its test rows without labels."""

    root: Path
    store: FeatureStore
    classifier: Path
    table: Path
    images: list[Path]
    """Test images of the subtask `animal`."""


@pytest.fixture
def run(inputs, tiny_model, tmp_path):
    """Extract the small two-class input into a store."""
    train, test = inputs.few_shots()

    def go(name="store", benchmark="general", family="qwen2_vl", **options):
        given = {"train": train, "test": test, "model": str(tiny_model(family))} | options
        return extract(benchmark, out=tmp_path / name, **given)

    return go


@pytest.fixture(scope="session")
def made(scenes, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("classifying")
    done = extract(
        *("shapes",),
        train=scenes.train,
        test=scenes.test,
        model="demo",
        dtype="float32",
        out=folder / "store",
    )
    rows = [json.loads(line) for line in scenes.test.read_text().splitlines()]
    for row in rows:
        row.pop("label")
    table = scenes.root / "new.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    images = [scenes.root / row["images"][0] for row in rows if row["subtask"] == "animal"]
    classifier = save_selection(select(done.store, heads=8), folder / "classifier")
    return Made(scenes.root, done.store, classifier, table, images)


@pytest.fixture(scope="session")
def calibrated(made, tmp_path_factory) -> Path:
    """Return the same classifier with what left-out training examples say of it."""
    selection = calibrate(made.store, select(made.store, heads=8)).selection
    return save_selection(selection, tmp_path_factory.mktemp("calibrated"))


@pytest.fixture(scope="session")
def animals(made, tmp_path_factory) -> Path:
    """Return a classifier of one task and one question, without subtasks."""
    folder = tmp_path_factory.mktemp("animals")
    rows = [json.loads(line) for line in (made.root / "train.jsonl").read_text().splitlines()]
    kept = [_plain(row) for row in rows if row["subtask"] == "animal"]
    train = made.root / "animals.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in kept))
    done = extract(
        *("general",), train=train, test=train, model="demo", dtype="float32", out=folder / "s"
    )
    return save_selection(select(done.store, heads=8), folder / "classifier")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {"image": row["images"][0], "question": row["question"], "label": row["label"]}
