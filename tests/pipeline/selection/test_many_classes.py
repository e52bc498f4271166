"""A thousand classes: memory holds a bounded table, not examples x classes x heads."""

import tracemalloc

import numpy as np
import pytest

from savs import evaluate, select
from stores import make_store

pytestmark = pytest.mark.thorough

CLASSES, SHOTS, HEADS, WIDTH = 1000, 5, 8, 32
SELECTING, EVALUATING = 130e6, 36e6
"""Bytes. One table of all cosines would take 160 MB of the training examples, and 32 MB
of the test examples, next to their scores and what ranks them."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    pull = rng.normal(size=(HEADS, CLASSES, WIDTH))
    train_classes = rng.permutation(np.repeat(np.arange(CLASSES), SHOTS))
    test_classes = rng.permutation(CLASSES)
    train, test = (
        (pull[:, which] + 0.5 * rng.normal(size=(HEADS, len(which), WIDTH))).astype(np.float32)
        for which in (train_classes, test_classes)
    )
    names = [[f"class {c}" for c in which] for which in (train_classes, test_classes)]
    folder = tmp_path_factory.mktemp("many") / "s"
    return make_store(folder, train, names[0], test, names[1], shard_rows=5000)


@pytest.mark.parametrize(
    ("readout", "scoring"),
    [
        ("vote", "resubstitution"),
        ("vote", "loo"),
        ("lda", "kfold"),
        *(
            pytest.param(*pair, marks=pytest.mark.costly)
            for pair in [
                ("posterior", "resubstitution"),
                ("lda", "resubstitution"),
                ("vote", "pursuit"),
                ("mahalanobis", "resubstitution"),
                ("ridge", "resubstitution"),
            ]
        ),
    ],
)
def test_a_thousand_classes_in_bounded_memory(store, readout, scoring):
    tracemalloc.start()
    try:
        selection = select(store, heads=HEADS, readout=readout, scoring=scoring)
        _, selecting = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = evaluate(store, selection)
        _, evaluating = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert selecting < SELECTING
    assert evaluating < EVALUATING
    assert result.metrics[0].value > 0.9  # eight heads agree where one alone is often wrong
