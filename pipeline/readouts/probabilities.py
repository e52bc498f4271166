"""From class scores to probabilities."""

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import TIE


def softmax(values: Array, tau: float) -> Array:
    """Return exp(values / tau) normalised along the last axis, in the type of the values.

    Examples
    --------
    >>> softmax(np.array([0.0, np.log(3)]), 1.0).round(3).tolist()
    [0.25, 0.75]
    """
    scaled = values / tau
    scaled -= scaled.max(axis=-1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=-1, keepdims=True)
    return scaled


def likeliest(probabilities: Array, tau: float) -> Array:
    """Return the class of greatest probability; of classes whose cosines tie the first.

    Cosines that differ by `TIE` give probabilities that differ by a factor of exp(TIE / tau).

    Parameters
    ----------
    probabilities
        `(n, classes)` means over heads of softmax(cosine / tau).
    tau
        Temperature of the cosines.

    Returns
    -------
    ndarray
        `(n,)` class numbers.

    Examples
    --------
    >>> likeliest(np.array([[0.2, 0.4, 0.4000001]]), 0.07)
    array([1])
    """
    best = probabilities.max(axis=1, keepdims=True)
    return (probabilities >= best * np.exp(-TIE / tau)).argmax(axis=1)
