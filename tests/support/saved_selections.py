"""A small store of two subtasks, and selections saved from it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from savs import Selection
from savs.pipeline.running.result_files import CONFIG
from savs.stores import FeatureStore
from stores import make_store

LABELS = {"train": list("ababab") + list("xyzxyz"), "test": list("axy")}
TASKS = {"train": ["one"] * 6 + ["two"] * 6, "test": ["one", "two", "two"]}


def two_task_store(folder: Path) -> FeatureStore:
    """Write a store with the classes a, b in subtask one and x, y, z in subtask two."""
    rng = np.random.default_rng(3)
    train, test = (rng.normal(size=(5, n, 4)).astype(np.float32) for n in (12, 3))
    rows = {split: [{"subtask": task} for task in tasks] for split, tasks in TASKS.items()}
    return make_store(
        *(folder, train, LABELS["train"], test, LABELS["test"]),
        train_rows=rows["train"],
        test_rows=rows["test"],
    )


def config_of(folder: Path) -> dict[str, Any]:
    """Return config.json."""
    return json.loads((folder / CONFIG).read_text())


def assert_same(found: Selection, expected: Selection) -> None:
    """Assert that two selections are the same classifier, bit by bit."""
    assert found.to_json() == expected.to_json()
    for ours, theirs in zip(found.tasks, expected.tasks, strict=True):
        for name in expected.rule.arrays:
            saved, array = (getattr(fitted, name) for fitted in (theirs.fitted, ours.fitted))
            np.testing.assert_array_equal(array, saved, strict=True)
