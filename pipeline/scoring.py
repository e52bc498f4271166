"""How well each head tells the training classes apart, and the order that follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from savs.pipeline.centroids import Array, class_centroids, cosines, nearest_centroids, unit
from savs.pipeline.errors import SelectionError
from savs.stores import Head


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Train-side scores of heads. They choose heads; they are no estimate of performance."""

    score: Array
    """`(heads,)` float64: number of training examples that the head puts in the right class."""
    margin: Array
    """`(heads,)` float64: mean over training examples of the cosine with the own class's centroid
    minus the best other one; decides between equal scores."""


Scoring = Callable[[Array, Array, Sequence[str]], HeadScores]
"""`(heads, n, d)` features, `(n,)` class numbers, the classes -> scores."""


def resubstitution(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count right examples where each example is part of its own class's centroid, as SAVs do.

    Source: SAVs, arXiv 2412.00142, section 3.
    """
    centroids = class_centroids(features, labels, len(classes))
    right = nearest_centroids(features, centroids) == labels
    return HeadScores(right.sum(axis=1).astype(np.float64), _margins(features, labels, centroids))


def leave_one_out(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count right examples where each example is left out of its own class's centroid.

    In closed form: with n examples in the class, the centroid without x is (n mu - x) / (n - 1).

    Raises
    ------
    SelectionError
        A class has one example only, so nothing is left to make its centroid of.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if (counts < 2).any():
        raise SelectionError(
            f"class {classes[int(np.argmin(counts))]!r} has one training example, and leave-one-out"
            " scoring needs two of each class; use --scoring resubstitution"
        )
    centroids = class_centroids(features, labels, len(classes))
    right = _held_out_cosines(features, labels, centroids).argmax(axis=2) == labels
    return HeadScores(right.sum(axis=1).astype(np.float64), _margins(features, labels, centroids))


SCORINGS: dict[str, Scoring] = {"resubstitution": resubstitution, "loo": leave_one_out}
"""Name on the command line -> scoring."""


def _held_out_cosines(features: Array, labels: Array, centroids: Array) -> Array:
    """Return `(heads, n, classes)` cosines; the own centroid lacks the example where it can."""
    table = cosines(features, centroids)
    counts = np.bincount(labels, minlength=centroids.shape[1])[labels].astype(np.float32)  # (n,)
    own = centroids[:, labels]  # (heads, n, d)
    weight = counts[None, :, None]
    without = np.where(weight > 1, (weight * own - features) / np.maximum(weight - 1, 1), own)
    table[:, np.arange(len(labels)), labels] = (unit(features) * unit(without)).sum(axis=2)
    return table


def _margins(features: Array, labels: Array, centroids: Array) -> Array:
    table = _held_out_cosines(features, labels, centroids)
    rows = np.arange(len(labels))
    own = table[:, rows, labels]  # (heads, n)
    table[:, rows, labels] = -np.inf
    return (own - table.max(axis=2)).mean(axis=1, dtype=np.float64)


def rank_heads(scores: HeadScores, heads: Sequence[Head]) -> list[int]:
    """Return the places of the heads, best first: by score, then margin, then (layer, head).

    Examples
    --------
    >>> scores = HeadScores(np.array([3.0, 4.0, 4.0]), np.array([0.9, 0.1, 0.2]))
    >>> rank_heads(scores, [(0, 0), (0, 1), (1, 0)])
    [2, 1, 0]
    """
    return sorted(range(len(heads)), key=lambda i: (-scores.score[i], -scores.margin[i], *heads[i]))
