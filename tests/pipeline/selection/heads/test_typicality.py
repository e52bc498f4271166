"""How like an example is to any class, and which are flagged."""

import numpy as np
import pytest

from savs.pipeline.selection.calibration import typical_threshold, typicality
from savs.pipeline.selection.heads.centroids import cosines


def test_it_is_the_greatest_mean_cosine_over_the_heads():
    rng = np.random.default_rng(0)
    features, centroids = rng.normal(size=(3, 7, 5)), rng.normal(size=(3, 4, 5))
    expected = cosines(features, centroids).mean(axis=0).max(axis=1)
    found = typicality(features.astype(np.float32), centroids.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_class_must_be_near_in_all_heads():
    centroids = np.float32([[[1, 0], [0, 1]], [[1, 0], [0, 1]]])
    split = np.float32([[[1, 0]], [[0, 1]]])  # class 0 in one head, class 1 in the other
    assert typicality(split, centroids).tolist() == [0.5]


def test_the_threshold_is_the_1_percent_quantile():
    # 101 values 0, .01 ... 1: the quantile at place 1 of 100 is .01
    assert typical_threshold(np.arange(101) / 100) == pytest.approx(0.01)
