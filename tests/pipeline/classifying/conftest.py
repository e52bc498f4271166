"""A `SavsClassifier` of the animals, and what it was fitted on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from savs import SavsClassifier, load_selection, save_selection
from savs.pipeline.classifying.feature_cache import MEMORY
from savs.pipeline.extraction.model_run import ModelRun

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."


@pytest.fixture(scope="session")
def shots(made, animals) -> tuple[list[Path], list[str]]:
    """Return the training images of the animals, and their labels."""
    rows = [json.loads(line) for line in (made.root / "animals.jsonl").read_text().splitlines()]
    return [made.root / row["image"] for row in rows], [row["label"] for row in rows]


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def fitted(shots, cache) -> SavsClassifier:
    images, labels = shots
    return SavsClassifier("demo", heads=8, question=QUESTION, dtype="float32", cache=cache).fit(
        images, labels
    )


@pytest.fixture
def changed():
    """Return a function that saves a classifier whose source has other fields."""

    def save(folder: Path, classifier: Path, **fields) -> Path:
        selection = load_selection(classifier)
        source = replace(selection.source, **fields)
        return save_selection(replace(selection, source=source), folder)

    return save


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Note how many images go through the model, call by call; nothing is in memory."""
    seen: list[int] = []
    read = ModelRun.read

    def note(self, examples, *rest):
        seen.append(len(examples.examples["test"]))
        return read(self, examples, *rest)

    monkeypatch.setattr(ModelRun, "read", note)
    MEMORY.rows.clear()
    return seen
