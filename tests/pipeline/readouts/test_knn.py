"""Neighbours that tie, and many of them; `test_readouts.py` has the formula."""

import numpy as np
import oracle as slowly
import pytest

from savs.pipeline.readouts.knn import KNN, NEIGHBOURS, SPARE, FittedKnn


@pytest.mark.parametrize("queries", [1, 19, 20, 300], ids=lambda n: f"{n} queries")
@pytest.mark.parametrize("copies", [NEIGHBOURS, 14, 60, SPARE + NEIGHBOURS, 300, 2000])
def test_the_earlier_of_exact_duplicates_are_the_neighbours(copies, queries):
    # Far examples first, then `copies` of one example, labelled 0 1 0 1 ...: of the nearest, the
    # first five count, however many there are: three of class 0, two of class 1.
    rng = np.random.default_rng(copies)
    twin, far = rng.normal(size=(1, 16)), rng.normal(size=(7, 16))
    base = np.concatenate([far, np.repeat(twin, copies, axis=0), far]).astype(np.float32)
    labels = np.array([1, 0] * 3 + [1] + [0, 1] * (copies // 2) + [0] * (copies % 2) + [1] * 7)
    x = (twin + 0.05 * rng.normal(size=(queries, 16))).astype(np.float32)
    found = KNN.fit(base[None], labels, ["a", "b"], [16]).scores(x[None])
    assert found.scores.tolist() == [[3, 2]] * queries
    assert (found.choice == 0).all()


@pytest.mark.parametrize("queries", [1, 19, 20, 300], ids=lambda n: f"{n} queries")
@pytest.mark.parametrize("copies", [8, SPARE + 1, 60, 300, 2000])
def test_nearer_examples_leave_the_earliest_duplicate_in(copies, queries):
    # four later examples are nearer than the copies, of which the first alone is of class 0
    rng = np.random.default_rng(copies)
    near, off = rng.normal(size=(1, 16)), rng.normal(size=(1, 16))
    base = np.concatenate([np.repeat(near + off, copies, axis=0), np.repeat(near, 4, axis=0)])
    labels = np.array([0] + [1] * (copies - 1) + [2] * 4)
    fitted = KNN.fit(base[None].astype(np.float32), labels, ["a", "b", "c"], [16])
    several = FittedKnn(
        np.concatenate([fitted.features, np.tile(-near, (1, 12, 1)).astype(np.float32)], axis=1),
        np.concatenate([labels, [0] * 4, [1] * 4, [2] * 4]),  # five of each class: k = 5
    )
    x = (near + 0.02 * rng.normal(size=(queries, 16))).astype(np.float32)
    assert several.scores(x[None]).scores.tolist() == [[1, 0, 4]] * queries


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("near", [3, 17])
def test_scaled_copies_are_equally_near_and_the_earlier_counts(seed, near):
    # copies of one direction in several lengths: float32 rounds their cosines differently
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.1, 9, size=(2, 40, 1))
    rays = rng.normal(size=(2, 40, 24))
    rays[:, rng.permutation(40)[:near]] = rng.normal(size=(2, 1, 24))
    train, labels = (rays * scales).astype(np.float32), rng.permutation(np.arange(40) % 4)
    test = (rays[:, :30] + 0.1 * rng.normal(size=(2, 30, 24))).astype(np.float32)
    found = KNN.fit(train, labels, list("abcd"), [24, 24]).scores(test)
    slow = slowly.knn(train, labels.tolist(), 4, test, NEIGHBOURS)
    assert found.scores.tolist() == [counts for _, counts in slow]
    assert found.choice.tolist() == [choice for choice, _ in slow]


@pytest.mark.parametrize("rows", [60, 300, 2000])
def test_integer_examples_tie_by_the_written_rule(rows):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(-1, 2, size=(3, n, 4)).astype(np.float32) for n in (rows, 20))
    labels = rng.permutation(np.arange(rows) % 3)
    found = KNN.fit(train, labels, list("abc"), [4] * 3).scores(test)
    slow = slowly.knn(train, labels.tolist(), 3, test, NEIGHBOURS)
    assert found.scores.tolist() == [counts for _, counts in slow]
    assert found.choice.tolist() == [choice for choice, _ in slow]


def test_equal_counts_go_to_the_greatest_sum_of_cosines_then_to_the_first_class():
    # one neighbour a head. Head 0 sees (4, 3): class 0 at .8; head 1 sees (5, 12): class 1 at 12/13
    axes = np.tile(np.eye(2, dtype=np.float32), (2, 1, 1))
    fitted = KNN.fit(axes, np.array([0, 1]), ["a", "b"], [2, 2])
    found = fitted.scores(np.float32([[[4, 3], [4, 3]], [[5, 12], [3, 4]]]))
    assert found.scores.tolist() == [[1, 1], [1, 1]]
    assert found.choice.tolist() == [1, 0]  # 12/13 > .8; .8 = .8
    # soft: count + sum / (2 k heads + 1)
    np.testing.assert_allclose(found.soft[0], [1 + 0.8 / 5, 1 + 12 / 13 / 5], rtol=1e-6)


@pytest.mark.parametrize("rows", [256, 257, 2048, 7000])
def test_thousands_of_examples_have_the_neighbours_that_sorting_finds(rows):
    rng = np.random.default_rng(rows)
    train, test = (rng.normal(size=(2, n, 12)).astype(np.float32) for n in (rows, 90))
    labels = rng.permutation(np.arange(rows) % 9)
    found = KNN.fit(train, labels, list("abcdefghi"), [12, 12]).scores(test)
    counts = np.zeros((90, 9))
    for head, x in zip(train.astype(float), test.astype(float), strict=True):
        cosines = x @ (head / np.linalg.norm(head, axis=1, keepdims=True)).T
        for i, order in enumerate(np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]):
            counts[i] += np.bincount(labels[order], minlength=9)
    assert found.scores.tolist() == counts.tolist()
