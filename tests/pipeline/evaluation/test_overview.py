"""What a store is said to hold: counts, older results, and whose heads a map has."""

import numpy as np
import pytest
from web import serve

from savs import label, save_selection, select
from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.overview import show
from savs.stores import ResultError
from stores import make_store


@pytest.fixture
def store(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 8, 4)).astype("f4")
    store = make_store(
        tmp_path / "s", values, list("abab" * 2), values, list("aabb" * 2), test_skipped=[1, 4]
    )
    save_selection(select(store, heads=1), store.path / "results" / "vote")
    return store


def test_skipped_examples_are_counted_by_class(store):
    counts = [
        (row["split"], row["label"], row["examples"], row["skipped"]) for row in show(store).classes
    ]
    assert sorted(counts) == [
        ("test", "a", 2, 2),
        ("test", "b", 4, 0),
        ("train", "a", 4, 0),
        ("train", "b", 4, 0),
    ]


def test_results_from_before_a_label_came_are_older(store):
    assert show(store).older == []
    changed = label(store, {"train:0": "b"}).store
    save_selection(select(changed, heads=1), store.path / "results" / "lda")
    assert show(changed).older == ["vote"]


def test_a_map_of_a_store_at_a_url_needs_a_selection(store):
    with (
        serve(store.path) as (url, _),
        pytest.raises(ParameterError, match="holds no results; pass `selection` DIR"),
    ):
        show(url, head_map=True)


def test_a_subtask_is_that_of_a_map_and_there(store):
    for name in ("subtask", "selection"):
        with pytest.raises(ParameterError, match=f"`{name}` needs `head_map`; add it"):
            show(store, **{name: "vote"})
    with pytest.raises(ParameterError, match=r"is 'x', expected one of: no --subtask$"):
        show(store, head_map=True, subtask="x")


def test_an_unknown_result_is_answered_with_those_that_are_there(store):
    assert "vote" in store.results
    assert "lda" not in store.results
    with pytest.raises(ResultError, match="has no result 'lda', expected one of: vote"):
        store.results["lda"]
    (store.path / "results" / "vote" / "config.json").unlink()
    with pytest.raises(ResultError, match="has no result 'lda', expected one of: none"):
        store.results["lda"]
