"""A `SavsClassifier` of the animals, and what it was fitted on."""

import json
from pathlib import Path

import pytest

from savs.pipeline import SavsClassifier

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
