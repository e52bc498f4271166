"""Classes by their names alone: heads from elsewhere, and no training example."""

import numpy as np
import pytest
from text_stores import draw_text_store, make_text_store

from savs import evaluate, load_selection, save_selection, select, sweep
from savs.pipeline.errors import SelectionError
from savs.stores import HeadNotFoundError


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return a store with training examples, and one of the same test examples without."""
    folder = tmp_path_factory.mktemp("names")
    whole = draw_text_store(folder / "whole", 5, heads=6, scale=None)
    splits = ("test", "classes")
    labels = {split: whole.examples(split)["label"].to_list() for split in splits}
    kinds = whole.examples("classes")["category"].to_list()
    features = {split: whole.features(split) for split in splits}
    features["train"], labels["train"] = features["test"][:, :0], []
    order = ("train", "test", "classes")
    bare = make_text_store(
        folder / "bare",
        {split: features[split] for split in order},
        {split: labels[split] for split in order},
        kinds,
        scale=None,
    )
    return whole, bare


def test_named_heads_give_the_same_as_chosen_ones_without_any_example(stores, tmp_path) -> None:
    whole, bare = stores
    chosen = select(whole, heads=3, readout="hec-t")
    heads = chosen.only_task().heads
    by_name = select(bare, readout="hec-t", heads=heads)
    assert by_name.only_task().examples == 0
    assert by_name.heads_from == "given by name"
    saved = load_selection(save_selection(by_name, tmp_path / "selection"))
    from_other = select(bare, readout="hec-t", heads=chosen)
    votes = []
    for store, selection in ((whole, chosen), (bare, saved), (bare, from_other)):
        assert selection.only_task().heads == heads
        found = evaluate(store, selection).predictions["votes"]
        votes.append([{v["class"]: v["score"] for v in row} for row in found])
    for row in zip(*votes, strict=True):
        for name in row[0]:
            np.testing.assert_allclose([one[name] for one in row], row[0][name], atol=1e-6)


def test_each_subtask_has_the_texts_of_its_own_classes(tmp_path) -> None:
    east, north = [1, 0], [0, 1]
    texts, images = np.float32([[[east, north, north, east]], [[east, north, east, north]]])
    store = make_text_store(
        tmp_path / "s",
        {"train": images[:, :0], "test": images, "classes": texts},
        {"train": [], "test": list("abba"), "classes": list("abab")},
        ["file"] * 4,
        scale=None,
        subtasks={"test": list("xxyy"), "classes": list("xxyy")},
    )
    found = evaluate(store, select(store, readout="hec-t", heads=[(0, 0)]))
    assert found.predictions["prediction"].to_list() == list("abba")
    assert found.cost["forwards"] == 4 + 4


def test_without_examples_heads_must_be_given(stores) -> None:
    _, bare = stores
    with pytest.raises(SelectionError, match="no training examples to choose heads by"):
        select(bare, readout="hec-t")
    with pytest.raises(SelectionError, match="'vote' needs training examples"):
        select(bare, heads=[(0, 1)])
    with pytest.raises(SelectionError, match="'hec-vt' needs training examples"):
        select(bare, readout="hec-vt", heads=[(0, 1)])
    by_name = select(bare, readout="hec-t", heads=[(0, 1)])
    for learns in (lambda: sweep(bare, draws=1), lambda: evaluate(bare, by_name, on="folds")):
        with pytest.raises(SelectionError, match="no training examples, only the names"):
            learns()
    with pytest.raises(HeadNotFoundError, match=r"no head L7\.H0"):
        select(bare, readout="hec-t", heads=[(7, 0)])
