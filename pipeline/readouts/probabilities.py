"""From class scores to probabilities."""

import numpy as np

from savs.foundation.arrays import Array


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
