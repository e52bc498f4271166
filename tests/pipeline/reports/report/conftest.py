"""A store of two subtasks that three readouts were evaluated on."""

from pathlib import Path

import pytest
from random_stores import draw_problem, write_problem

from savs import evaluate, save_evaluation, select, sweep
from savs.pipeline.evaluation.sweep.table import save_sweep
from savs.stores import FeatureStore


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Return the store; its results are `vote`, `lda`, `vote-cv` and a sweep."""
    problem = draw_problem(5, counts=(6, 6, 6), subtasks=("one", "two"), tests=90)
    store = write_problem(tmp_path_factory.mktemp("reports") / "s", problem)
    results = store.path / "results"
    for readout in ("vote", "lda"):
        selection = select(store, heads=5, readout=readout)
        save_evaluation(evaluate(store, selection), results / readout)
    voted = select(store, heads=5)
    save_evaluation(evaluate(store, voted, on="folds"), results / "vote-cv")
    found = sweep(store, heads=[1, 5], shots=[1, 2, "all"], draws=3, readouts=["vote", "lda"])
    save_sweep(found, results / "sweep")
    return store


@pytest.fixture
def vote(evaluated: FeatureStore) -> Path:
    """Return the folder of the first result."""
    return evaluated.path / "results" / "vote"
