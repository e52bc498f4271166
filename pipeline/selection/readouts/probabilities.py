"""From class scores to probabilities."""

from collections.abc import Iterator, Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import TIE, normalise
from savs.pipeline.selection.heads.few_threads import few_threads


def softmax(values: Array, *, axis: int = -1) -> Array:
    """Return exp(values) normalised along an axis; `values` are overwritten and returned.

    Examples
    --------
    >>> softmax(np.array([0.0, np.log(3)])).round(3).tolist()
    [0.25, 0.75]
    """
    values -= values.max(axis=axis, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=axis, keepdims=True)
    return values


def likeliest(probabilities: Array, tau: float, tie: float = TIE) -> Array:
    """Return the class of greatest probability; of classes whose logits tie the first.

    Logits that differ by `tie` give probabilities that differ by a factor of exp(tie / tau).

    Parameters
    ----------
    probabilities
        `(n, classes)` means over heads of softmax(logits / tau).
    tau
        Temperature of the logits, which may be cosines.
    tie
        Logits that differ by at most this are tied.

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
    return (probabilities >= best * float(np.exp(-tie / tau))).argmax(axis=1)


def mean_probabilities(
    features: Array, directions: Array, offsets: Array | None, counts: Sequence[int]
) -> Iterator[Array]:
    """Yield `(n, classes)` means over the first heads of each head's class probabilities.

    Parameters
    ----------
    features
        `(heads, n, d)`, normalised here.
    directions
        `(heads, classes, d)`: a logit is the product of a direction and a unit feature.
    offsets
        `(heads, classes)`, added to the logits.
    counts
        How many heads, ascending; a mean for each.
    """
    n, (_, classes, d) = features.shape[1], directions.shape
    total = np.zeros((n, classes), np.float32)
    with few_threads(n * classes * d):
        for head in range(counts[-1]):  # one at a time: with many classes a table is large
            logits = normalise(features[head]) @ directions[head].T
            if offsets is not None:
                logits += offsets[head]
            total += softmax(logits)
            if head + 1 in counts:
                yield total / np.float32(head + 1)
