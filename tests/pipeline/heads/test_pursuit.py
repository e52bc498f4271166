"""Heads pursued one after the other, against least squares on whole atoms, and planted heads."""

import numpy as np
import oracle
import pytest
from readout_cases import CASES

from savs import calibrate, evaluate, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads import pursuit
from savs.pipeline.heads.head_scores import HeadScores, leave_one_out, rank_heads
from savs.pipeline.heads.pursuit import name_left_out, pursue
from stores import make_store


def slowly(named, margin, labels, classes):
    """Return the order of the heads that explain something, and what is unexplained before each."""
    eye = np.eye(classes)
    atoms = [eye[of_head].ravel() for of_head in named]
    signal = eye[labels].ravel()
    order, unexplained, rest = [], [], signal
    while len(order) < len(atoms):
        products = np.array([-np.inf if h in order else a @ rest for h, a in enumerate(atoms)])
        if products.max() <= 1e-5 * len(labels):
            break
        close = [h for h, p in enumerate(products) if p > products.max() - 1e-5 * len(labels)]
        order.append(max(close, key=lambda h: (margin[h], -h)))
        unexplained.append(rest @ rest)
        chosen = np.array([atoms[h] for h in order]).T
        rest = signal - chosen @ np.linalg.lstsq(chosen, signal)[0]
    return order, unexplained


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("classes", "n", "noise"), [(2, 12, 0.3), (3, 30, 0.5), (7, 40, 0.7)])
def test_heads_come_in_the_order_of_least_squares(classes, n, noise, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    named = np.where(rng.random((15, n)) < noise, rng.integers(0, classes, (15, n)), labels)
    named[7] = named[3]  # a copy
    margin = rng.integers(0, 3, 15) / 8  # of which many tie
    right = (named == labels).sum(axis=1).astype(float)
    found = pursue(HeadScores(right, margin, named), labels)
    order, unexplained = slowly(named, margin, labels, classes)
    assert np.argsort(-found.score, kind="stable")[: len(order)].tolist() == order
    np.testing.assert_allclose(found.score[order], unexplained, rtol=1e-6)
    assert found.score.max() == n
    assert not np.delete(found.score, order).any()
    assert 0 in (found.score[3], found.score[7])
    assert (found.margin == margin).all()


@pytest.mark.parametrize("name", ["n > d", "20 heads, 12 classes, n < d", "zero vectors"])
def test_a_head_names_the_nearest_centroid_without_the_example(name):
    case = CASES[name]()
    found = name_left_out(case.train, case.labels, case.classes)
    for head, rows in enumerate(case.train):
        alone = list(range(len(case.labels)))
        for i in alone:
            kept = np.array(alone) != i
            means = oracle.centroids_of(rows[kept], case.labels[kept], len(case.classes))
            assert found.named[head, i] == oracle.nearest(rows[i], means)
    ours = leave_one_out(case.train, case.labels, case.classes)
    assert found.score.tolist() == ours.score.tolist()
    np.testing.assert_allclose(found.margin, ours.margin, atol=1e-6)


CLASSES, SHOTS = 4, 8
LABELS = np.arange(CLASSES * SHOTS) % CLASSES


def planted(rng, labels):
    """Return `(heads, n, d)`: heads 0-4 know classes 0 and 1 alone, head 5 knows 2 and 3, less."""
    x = rng.normal(size=(12, len(labels), 6))
    for head in range(6):
        known = (0, 1) if head < 5 else (2, 3)
        for place, number in enumerate(known):
            x[head, labels == number, place] += 12 if head < 5 else 4
    return x.astype(np.float32)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    train, test = planted(rng, LABELS), planted(rng, np.arange(200) % CLASSES)
    names = [[f"c{number}" for number in of] for of in (LABELS, np.arange(200) % CLASSES)]
    return make_store(tmp_path / "s", train, names[0], test, names[1])


@pytest.mark.thorough
def test_a_head_that_says_something_else_comes_before_copies(store):
    pairs = {}
    for scoring in ("loo", "pursuit"):
        selection = select(store, heads=2, scoring=scoring)
        pairs[scoring] = {store.heads.index(head) for head in selection.only_task().heads}
    assert pairs["loo"] <= set(range(5))
    assert 5 in pairs["pursuit"]
    assert pairs["pursuit"] & set(range(5))
    right = {
        scoring: evaluate(store, select(store, heads=2, readout="mahalanobis", scoring=scoring))
        .metrics[0]
        .value
        for scoring in pairs
    }
    assert right["pursuit"] > right["loo"] + 0.1


@pytest.mark.thorough
def test_folds_pursue_heads_on_the_other_folds_alone(store):
    selection = select(store, heads=2, readout="ridge", scoring="pursuit")
    left_out = calibrate(store, selection).left_out[0]
    assert (left_out.scores.choice == left_out.labels).mean() > 0.7
    again = select(store, heads=selection, readout="vote", scoring="pursuit").only_task()
    assert again.heads == selection.only_task().heads
    assert again.scores == selection.only_task().scores  # the two are the first of all


def test_no_more_heads_than_the_limit_are_pursued(monkeypatch):
    monkeypatch.setattr(pursuit, "MOST", 2)
    named = np.array([[0, 0, 1, 0], [0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 1]])
    margin = np.array([0.1, 0.2, 0.4, 0.3])
    labels = np.array([0, 0, 1, 1])
    found = pursue(HeadScores((named == labels).sum(axis=1) * 1.0, margin, named), labels)
    # 3 of 4 right are heads 0, 1 and 3, the last by its margin; it leaves 4 - 9 / 4 = 1.75.
    # Heads 0 and 1 have 3 - 2 / 4 * 3 = 1.5 and 3 - 2 / 4 * 3 = 1.5 left: the greater margin, 1
    assert found.score.tolist() == [0, 1.75, 0, 4]
    assert rank_heads(found, [(0, h) for h in range(4)]) == [3, 1, 2, 0]


def test_a_class_with_one_example_cannot_be_pursued():
    with pytest.raises(SelectionError, match="'rare' has one training example, but pursuit"):
        name_left_out(np.ones((1, 3, 2), np.float32), np.array([0, 0, 1]), ["often", "rare"])
