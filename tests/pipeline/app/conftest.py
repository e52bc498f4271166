"""A store of random features with a classifier and its results: quick, and without torch.

Each is made once a session, and a test gets a copy.
"""

import shutil
from pathlib import Path

import pytest
from label_stores import make_many
from random_stores import draw_problem, write_problem

from savs import calibrate, evaluate, save_evaluation, select
from savs.pipeline.app.workspace import Workspace
from savs.stores import FeatureStore

RESULT = Path("results", "vote")


def _evaluated(store: FeatureStore, heads: int) -> Path:
    selection = calibrate(store, select(store, heads=heads)).selection
    save_evaluation(evaluate(store, selection), store.path / RESULT)
    return Path(store.path)


@pytest.fixture(scope="session")
def store_of_pets(tmp_path_factory) -> Path:
    problem = draw_problem(5, counts=(6, 6, 6), tests=60)
    return _evaluated(write_problem(tmp_path_factory.mktemp("app") / "pets", problem), heads=4)


@pytest.fixture(scope="session")
def store_of_many(tmp_path_factory) -> Path:
    store, *_ = make_many(tmp_path_factory.mktemp("app") / "scenes", test=100, waits=20)
    return _evaluated(store, heads=3)


def _copy(store: Path, folder: Path) -> Workspace:
    copied = Path(shutil.copytree(store, folder / store.name))
    return Workspace(copied / RESULT, copied)


@pytest.fixture
def workspace(store_of_pets, tmp_path) -> Workspace:
    """Return a store with results, some of them wrong."""
    return _copy(store_of_pets, tmp_path)


@pytest.fixture
def of_many(store_of_many, tmp_path) -> Workspace:
    """Return a store of twenty labels with results, some of them wrong, and 20 that wait."""
    return _copy(store_of_many, tmp_path)
