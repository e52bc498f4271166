"""One number that makes probabilities honest: the temperature of a classifier's logits.

Source: Guo et al., *On calibration of modern neural networks*, arXiv 1706.04599, section 4.2.
"""

import math

import numpy as np

from savs.foundation.arrays import Array

RANGE = (2.0**-10, 2.0**6)
"""Temperatures that are tried. At the upper end all classes are about as likely; the lower one is
for means of probabilities that hardly differ, as `lda` has them of narrow heads."""
CLOSE = 1e-4
"""The search ends when the temperature is known up to this share."""
MOST = 2**21
"""Logits that the search looks at, examples x classes; of more, every so many-th example."""


def tempered(logits: Array, temperature: float) -> Array:
    """Return softmax(logits / temperature), `(n, classes)` float32.

    Examples
    --------
    >>> tempered(np.log(np.float32([[1, 3]])), 0.5).round(3).tolist()
    [[0.10000000149011612, 0.8999999761581421]]
    """
    scaled = logits.astype(np.float32) / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def fit_temperature(logits: Array, labels: Array) -> float:
    """Return the temperature at which the logits of left-out examples are likeliest.

    The negative log-likelihood is convex in 1 / temperature, so the root of its slope is found by
    halving. The target is 1 - 1 / (n + 2) for the right class and the rest for the others (Platt,
    1999): where all n examples are right, a target of 1 would ask for a temperature of 0.

    Parameters
    ----------
    logits
        `(n, classes)`, finite, of examples that the classifier was not fitted on.
    labels
        `(n,)` class numbers.

    Examples
    --------
    >>> logits = np.log(np.float32([[0.9, 0.1]] * 10))
    >>> labels = np.array([0] * 7 + [1] * 3)  # .9 is right in .7, and targets say 2/3
    >>> round(fit_temperature(logits, labels), 2)
    3.17
    """
    step = -(-logits.size // MOST)
    kept, own = logits[::step].astype(np.float64), labels[::step]
    kept -= kept.max(axis=1, keepdims=True)
    wanted = _wanted(kept, own)
    low, high = (math.log(1 / end) for end in reversed(RANGE))
    while high - low > CLOSE:
        middle = (low + high) / 2
        if _slope(kept, wanted, math.exp(middle)) < 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def _wanted(logits: Array, labels: Array) -> float:
    """Return the sum of the logits, each weighted by its target."""
    n, classes = logits.shape
    rest = 1 / (n + 2) / (classes - 1)
    right = logits[np.arange(n), labels].sum()
    return float((1 - classes * rest) * right + rest * logits.sum())


def _slope(logits: Array, wanted: float, sharpness: float) -> float:
    """Return the derivative of the negative log-likelihood by 1 / temperature."""
    powers = np.exp(logits * sharpness)
    expected = (powers * logits).sum(axis=1) / powers.sum(axis=1)
    return float(expected.sum()) - wanted
