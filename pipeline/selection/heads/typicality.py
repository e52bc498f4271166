"""How much an example is like any of the training ones, by the chosen heads."""

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import normalise
from savs.pipeline.selection.heads.few_threads import few_threads

SHARE = 0.01
"""Share of the left-out training examples that are flagged."""


def typicality(features: Array, centroids: Array) -> Array:
    """Return the greatest mean cosine over the heads to the centroids of one class.

    An image that is like none of the classes gets votes all the same: something is nearest.

    Parameters
    ----------
    features
        `(heads, n, d)`.
    centroids
        `(heads, classes, d)`.

    Returns
    -------
    ndarray
        `(n,)` float32, -1 to 1.

    Examples
    --------
    >>> centroids = np.float32([[[1, 0], [0, 1]], [[1, 0], [0, 1]]])
    >>> typicality(np.float32([[[3, 0], [2, 0]], [[5, 0], [0, 7]]]), centroids).tolist()
    [1.0, 0.5]
    """
    heads, n, d = features.shape
    total = np.zeros((n, centroids.shape[1]), np.float32)
    with few_threads(n * centroids.shape[1] * d):
        for own, base in zip(features, normalise(centroids), strict=True):
            total += normalise(own) @ base.T
    return total.max(axis=1) / np.float32(heads)


def typical_threshold(left_out: Array) -> float:
    """Return the typicality below which an example is flagged: the 1 % quantile of `(n,)` ones."""
    return float(np.quantile(left_out, SHARE))
