"""The order of suggestions, on numbers."""

import numpy as np

from savs.pipeline.evaluation.suggest import (
    farthest_first,
    least_sure,
    sureness,
    unit_features,
)
from savs.pipeline.selection.readouts import ClassScores


def test_the_first_key_decides_then_the_next_then_the_order():
    margins = np.float32([[2, 0], [1, 5], [1, 4], [1, 4], [0, 9]])
    assert least_sure(margins, 9).tolist() == [4, 2, 3, 1, 0]


def test_each_next_row_is_the_farthest_from_all_before():
    rng = np.random.default_rng(0)
    found = rng.normal(size=(40, 5)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    chosen = farthest_first(found, 12)
    assert chosen[0] == 0
    for step in range(1, 12):
        nearest = (found @ found[chosen[:step]].T).max(axis=1)
        nearest[chosen[:step]] = np.inf
        assert nearest[chosen[step]] <= nearest.min() + 1e-6


def test_no_row_comes_twice_even_where_all_are_equal():
    assert farthest_first(np.ones((3, 1), np.float32), 5) == [0, 1, 2]


def test_sureness_is_the_lead_of_the_choice():
    scores, soft = np.float32([[3, 1, 0], [2, 2, 0]]), np.float32([[0.5, 0.1, 0.4], [0.1, 0.3, 0]])
    found = sureness(ClassScores(scores, np.array([0, 1]), soft))
    np.testing.assert_allclose(found, [[2, 0.1], [0, 0.2]], rtol=1e-6)


def test_products_of_unit_features_are_mean_cosines():
    features = np.random.default_rng(1).normal(size=(3, 4, 6)).astype(np.float32)
    features[1, 2] = 0
    units = unit_features(features)
    a, b = features[:, 0], features[:, 1]
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(units[0] @ units[1], cosines.mean(), rtol=1e-5)
