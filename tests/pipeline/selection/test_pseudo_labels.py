"""Training labels by the model's own answers: against float64, without reading a label."""

from dataclasses import replace

import numpy as np
import pytest

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.pseudo_labels import AnsweredTraining
from savs.stores import LayerGrid, ResultError
from stores import identity, write_store

CLASSES = ("a", "b", "c")
GRID = (LayerGrid(0, (0, 1), 4), LayerGrid(2, (1,), 6))


def answered(folder, *, labels, sums, seed=0):
    """Write a store of random features with log-likelihoods of its training examples."""
    rng = np.random.default_rng(seed)
    what = replace(identity(grid=GRID), outputs={"answers": {key: [5, 2] for key in CLASSES}})
    rows = {"train": [{"label": label} for label in labels], "test": [{"label": "a"}] * 5}
    features = {
        split: {
            grid.layer: rng.normal(size=(len(grid.heads), len(of), grid.head_dim)).astype("f4")
            for grid in GRID
        }
        for split, of in rows.items()
    }
    outputs = {"train": {"answers": np.float32(sums)}}
    outputs["test"] = {"answers": np.full((5, 3), -1, np.float32)}
    return write_store(folder, what, features, rows, outputs=outputs)


def oracle(sums, least):
    """Return the kept rows and their classes, by exact rules in float64."""
    rows, labels = [], []
    for row, values in enumerate(np.float64(np.float32(sums))):
        powers = [np.exp(value - max(values)) for value in values]
        best = powers.index(max(powers))
        if powers[best] / sum(powers) >= least - 1e-6:
            rows.append(row)
            labels.append(best)
    return rows, labels


@pytest.mark.parametrize("least", [0, 0.5, 0.875])
def test_sure_answers_are_the_labels_and_no_label_is_read(tmp_path, least):
    rng = np.random.default_rng(7)
    sums = -rng.exponential(3, (60, 3))
    sums[:3] = -9 + 8 * np.eye(3)  # classes appear in the order a, b, c
    sums[4] = -2  # a tie of all
    sums[5] = -1, -1, -200  # of two, which have 0.5 each
    first = list("abc") + ["a"] * 57
    store = answered(tmp_path / "one", labels=first, sums=sums)
    (task,) = AnsweredTraining(store, least).tasks()
    rows, labels = oracle(sums, least)
    assert (task.rows.tolist(), task.labels.tolist()) == (rows, labels)
    # other labels of the same classes: the same selection, to the bit
    other = answered(tmp_path / "two", labels=list("abc") + ["c", "b", "a"] * 19, sums=sums)
    ours, theirs = (savs.select(one, heads=2, pseudo_labels=least) for one in (store, other))
    assert [task.heads for task in ours.tasks] == [task.heads for task in theirs.tasks]
    found, expected = (one.tasks[0].fitted.directions for one in (ours, theirs))
    np.testing.assert_array_equal(found, expected)
    # and it is the one that these labels make
    named = [CLASSES[number] for number in oracle(sums, 0)[1]]
    true = answered(tmp_path / "three", labels=named, sums=sums)
    if least == 0:
        assert savs.select(true, heads=2).tasks[0].heads == ours.tasks[0].heads


def test_a_selection_says_whose_labels_it_has(tmp_path):
    sums = np.tile([[-1, -9, -9], [-9, -1, -9], [-9, -9, -1.0]], (4, 1))
    store = answered(tmp_path / "store", labels=list("abc") * 4, sums=sums)
    exact = 0.9 + 2**-40
    assert savs.select(store, heads=2, pseudo_labels=exact).pseudo_labels == exact
    selection = savs.select(store, heads=2, pseudo_labels=0.9)
    assert selection.pseudo_labels == 0.9
    # the labels are the true ones here: what was chosen is the same, and not the selection
    plain = savs.select(store, heads=2)
    assert plain.pseudo_labels is None
    assert plain.tasks[0].heads == selection.tasks[0].heads
    folder = savs.save_selection(selection, tmp_path / "store" / "results" / "vote")
    notes = savs.evaluate(store, savs.load_selection(folder)).notes
    assert (
        "the training labels were the model's own answers to 12 examples, of probability 0.9 at"
        " least" in notes
    )
    with pytest.raises(SelectionError, match="were the model's own answers, so that left-out"):
        savs.calibrate(store, selection)


def test_a_class_that_is_no_answer_is_named(tmp_path):
    sums = [[-1, -9, -9], [-9, -1, -9], [-3, -3, -2.9]]
    store = answered(tmp_path, labels=list("abc"), sums=sums)
    with pytest.raises(SelectionError, match=r"no training example with 'c' at a prob.* 0\.8"):
        savs.select(store, pseudo_labels=0.8)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_no_probability_is_refused(tmp_path, share):
    store = answered(tmp_path, labels=list("abc"), sums=-np.ones((3, 3)))
    with pytest.raises(ParameterError, match="expected a probability from 0 to 1"):
        savs.select(store, pseudo_labels=share)


def test_a_store_without_answers_says_how_to_get_them(tmp_path):
    store = write_store(
        tmp_path,
        identity(grid=GRID[:1]),
        {"train": {0: np.ones((2, 2, 4), np.float32)}},
        {"train": [{"label": "a"}, {"label": "b"}]},
    )
    with pytest.raises(ResultError, match="--answers labels"):
        savs.select(store, pseudo_labels=0)
