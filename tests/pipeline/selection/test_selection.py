import re

import numpy as np
import oracle
import pytest

from savs.pipeline import load_selection, reference_dictionary, save_selection, select
from savs.pipeline.errors import SelectionError
from savs.stores import ResultError
from stores import make_store


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    labels = list("bababacacb")
    pull = rng.normal(size=(8, 3, 6)) * np.linspace(0, 2, 8)[:, None, None]
    numbers = ["bac".index(label) for label in labels]  # order of first appearance: b, a, c
    train = (pull[:, numbers] + rng.normal(size=(8, 10, 6))).astype(np.float32)
    test = rng.normal(size=(8, 4, 6)).astype(np.float32)
    return train, labels, test, list("abca")


@pytest.mark.parametrize("scoring", ["resubstitution", "loo"])
@pytest.mark.parametrize("heads", [1, 3, 8])
def test_chosen_heads_equal_the_slow_method(tmp_path, arrays, scoring, heads):
    train, labels, *test = arrays
    store = make_store(tmp_path / "s", train, labels, *test)
    task = select(store, heads=heads, scoring=scoring).only_task()
    numbers = ["bac".index(label) for label in labels]
    expected = oracle.ranking(train.astype(float).tolist(), numbers, 3, scoring)
    assert task.heads == tuple((0, head) for head in expected[:heads])
    assert task.classes == ("b", "a", "c")
    assert task.examples == 10


def test_all_heads(tmp_path, arrays):
    store = make_store(tmp_path / "s", *arrays)
    assert len(select(store, heads="all").top_heads) == 8


@pytest.mark.parametrize("heads", ["20", 2.0, [1]])
def test_a_number_of_heads_is_a_whole_number(tmp_path, arrays, heads):
    store = make_store(tmp_path / "s", *arrays)
    problem = f"heads is {heads!r}, expected a whole number or 'all'"
    with pytest.raises(SelectionError, match=f"^{re.escape(problem)}$"):
        select(store, heads=heads)


def test_a_store_of_few_heads_gives_all_by_default(tmp_path, arrays):
    store = make_store(tmp_path / "s", *arrays)
    assert len(select(store).top_heads) == 8


@pytest.mark.parametrize("heads", [0, 9, -1])
def test_a_number_of_heads_that_cannot_be(tmp_path, arrays, heads):
    store = make_store(tmp_path / "s", *arrays)
    with pytest.raises(SelectionError, match=f"^{heads!r} heads were requested, but there are 8"):
        select(store, heads=heads)


def test_unknown_readout_and_scoring_list_those_there_are(tmp_path, arrays):
    store = make_store(tmp_path / "s", *arrays)
    with pytest.raises(SelectionError, match="no readout is called 'wote'; expected one of: vote"):
        select(store, heads=2, readout="wote")
    with pytest.raises(SelectionError, match="expected: resubstitution, loo"):
        select(store, heads=2, scoring="k")


def test_one_class_only(tmp_path, arrays):
    train, _, *test = arrays
    store = make_store(tmp_path / "s", train, ["x"] * 10, *test)
    with pytest.raises(SelectionError, match="one class only, 'x'"):
        select(store, heads=2)


def test_subtasks_are_selected_by_themselves(tmp_path):
    # head 0 tells a from b, head 1 tells c from d; each is noise-free for its own subtask only
    one, other = np.float32([[1, 0], [0, 1]] * 2), np.float32([[1, 1]] * 4)
    train = np.stack([np.concatenate([one, other]), np.concatenate([other, one])])
    rows = [{"subtask": "first"}] * 4 + [{"subtask": "second"}] * 4
    store = make_store(
        tmp_path / "s", train, list("ababcdcd"), train, list("ababcdcd"),
        train_rows=rows, test_rows=rows,
    )  # fmt: skip
    selection = select(store, heads=1)
    assert [(t.subtask, t.classes, t.heads) for t in selection.tasks] == [
        ("first", ("a", "b"), ((0, 0),)),
        ("second", ("c", "d"), ((0, 1),)),
    ]
    with pytest.raises(SelectionError, match="2 subtasks were selected"):
        selection.top_heads  # noqa: B018 - the property raises


def test_a_saved_selection_is_the_same_classifier(tmp_path, arrays):
    selection = select(make_store(tmp_path / "s", *arrays), heads=3)
    again = load_selection(save_selection(selection, tmp_path / "saved"))
    assert (again.model, again.train, again.readout) == (
        selection.model,
        selection.train,
        selection.readout,
    )
    ours, theirs = selection.only_task(), again.only_task()
    assert (theirs.heads, theirs.classes, theirs.scores, theirs.margins) == (
        ours.heads,
        ours.classes,
        ours.scores,
        ours.margins,
    )
    x = np.random.default_rng(0).normal(size=(3, 9, 6)).astype(np.float32)
    assert (theirs.fitted.scores(x).scores == ours.fitted.scores(x).scores).all()


def test_a_selection_that_is_not_there(tmp_path):
    with pytest.raises(ResultError, match=r"none does not exist; run `savs select`"):
        load_selection(tmp_path / "none")


def test_the_reference_dictionary(tmp_path, arrays):
    train, labels, *test = arrays
    selection = select(make_store(tmp_path / "s", train, labels, *test), heads=2)
    found = reference_dictionary(selection)
    assert found["int_to_str"] == {0: "b", 1: "a", 2: "c"}
    assert found["top_heads"] == [(0, head, -1) for _, head in selection.only_task().heads]
    assert found["activations"].shape == (3, 2, 6)  # (classes, heads, head_dim)
    best = selection.only_task().heads[0][1]
    mean_of_a = train[best, [i for i, label in enumerate(labels) if label == "a"]].mean(axis=0)
    np.testing.assert_allclose(found["activations"][1, 0], mean_of_a, rtol=1e-5)
