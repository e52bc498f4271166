"""A store of random features with a classifier and its results: quick, and without torch."""

import pytest
from label_stores import make_many
from random_stores import draw_problem, write_problem

from savs import calibrate, evaluate, save_evaluation, select
from savs.pipeline.app.workspace import Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Return a store with results, some of them wrong."""
    store = write_problem(tmp_path / "pets", draw_problem(5, counts=(6, 6, 6), tests=60))
    folder = store.path / "results" / "vote"
    selection = calibrate(store, select(store, heads=4)).selection
    save_evaluation(evaluate(store, selection), folder)
    return Workspace(folder, store.path)


@pytest.fixture
def of_many(tmp_path) -> Workspace:
    """Return a store of twenty labels with results, some of them wrong."""
    store, *_ = make_many(tmp_path / "scenes")
    folder = store.path / "results" / "vote"
    selection = calibrate(store, select(store, heads=3)).selection
    save_evaluation(evaluate(store, selection), folder)
    return Workspace(folder, store.path)
