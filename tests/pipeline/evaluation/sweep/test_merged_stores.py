"""Sweeps of stores that were put together of several."""

import pytest
from text_stores import TEST, TRAIN, accuracy, noisy

from savs.pipeline import sweep, sweep_methods
from savs.pipeline.evaluation.sweep.shared_examples import SharedTest
from savs.stores.maintain.copy import merge
from stores import make_store

pytestmark = pytest.mark.thorough


def merged(folder, seed, model, skipped=()):
    """Return the test examples in three stores put together: positions in a file occur thrice."""
    x, seen = noisy(TRAIN, seed), noisy(TEST, seed + 1)
    parts = [
        make_store(
            *(folder / name, x, TRAIN, seen[:, rows], TEST[rows]),
            test_rows=[{"id": f"{name}:{i}"} for i in range(len(TEST[rows]))],
            test_skipped=skipped if name == "b" else (),
            model=model,
        )
        for name, rows in (("a", slice(7)), ("b", slice(7, 14)), ("c", slice(14, 20)))
    ]
    return merge(parts, folder / "merged")


def test_merged_stores_are_paired_in_the_order_of_their_plan(tmp_path):
    stores = {
        "one": merged(tmp_path / "one", 0, "toy"),
        "two": merged(tmp_path / "two", 2, "other", skipped=[2]),
    }
    ids = list(SharedTest.of(stores).ids)
    assert ids == [f"{name}:{i}" for name, n in (("a", 7), ("b", 7), ("c", 6)) for i in range(n)]
    found = sweep_methods(stores, heads=2, shots=["all"]).sweep
    for name, store in stores.items():
        alone = sweep(store, heads=[2], shots=["all"])
        assert accuracy(found.draws, f"{name}:vote") == accuracy(alone.draws, "vote")
