"""The results of a store, by name, and the one that is meant where none is named."""

import numpy as np
import pytest

from savs import save_selection, select
from savs.pipeline.evaluation.results import FOLDS, TRAINED, UNFINISHED, Results
from savs.stores import ResultError
from stores import make_store


@pytest.fixture
def saved(tmp_path):
    """Return what saves a selection under some names in the results of a store."""
    values = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    store = make_store(tmp_path / "s", values, list("abab"), values, list("abab"))
    selection = select(store, heads=1)

    def save(*names: str) -> Results:
        for name in names:
            save_selection(selection, store.path / "results" / name)
        return Results(store.path)

    return save


@pytest.mark.parametrize(
    ("names", "default"),
    [
        (["lda"], "lda"),
        (["knn", "lda"], None),
        (["vote", "knn"], "vote"),
        (["vote", TRAINED, "knn"], TRAINED),
        ([TRAINED], TRAINED),
        (["lda", f"lda{FOLDS}", f"vote{UNFINISHED}"], "lda"),
    ],
    ids=["one", "two", "the readout", "trained", "trained alone", "folds and a part"],
)
def test_the_default_is_what_was_trained_else_the_readouts_else_the_only_one(saved, names, default):
    found = saved(*names)
    assert (list(found), len(found)) == (sorted(names), len(names))
    assert all(name in found for name in names)
    assert (found.default and found.default.name) == default
    if default is not None:
        assert found.find().folder == found[default].folder


def test_a_name_that_is_not_there_is_refused_with_those_that_are(saved):
    empty = saved()
    assert (len(empty), empty.default) == (0, None)
    with pytest.raises(ResultError, match="has no result 'lda', expected one of: none"):
        empty["lda"]
    with pytest.raises(ResultError, match="is a store without a selection; run `savs train"):
        empty.find()
    found = saved("knn", "lda")
    assert "vote" not in found
    with pytest.raises(ResultError, match="has no result 'vote', expected one of: knn, lda"):
        found.find("vote")
    with pytest.raises(ResultError, match="a store with 2 selections: knn, lda; name one, such as"):
        found.find()
    (found.store / "results" / "notes").mkdir()  # a folder of the user
    assert list(found) == ["knn", "lda"]
    with pytest.raises(ResultError, match="notes holds no classifier: it has no config"):
        found.place("notes").selection()
