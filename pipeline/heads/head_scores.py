"""How well each head tells the training classes apart, and the order that follows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import (
    class_centroids,
    class_sums,
    first_of_best,
    leads,
    nearest_centroids,
    normalise,
)
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.stores import Head

TABLE = 2**23
"""Cosines in a table, heads x examples x classes: 32 MB, and two tables are there at a time. As
many features of those examples at most."""


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Train-side scores of heads. They choose heads; they are no estimate of performance."""

    score: Array
    """`(heads,)` float64: number of training examples that the head puts in the right class."""
    margin: Array
    """`(heads,)` float64: mean over training examples of the cosine with the own class's centroid
    minus the best other one, 0 where the two tie; decides between equal scores."""


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
    require_pairs(labels, classes, "leave-one-out")
    centroids = class_centroids(features, labels, len(classes))
    right, margin = np.zeros((2, len(features)))
    for rows, table in held_out_cosines(features, labels, centroids):
        right += (first_of_best(table) == labels[rows]).sum(axis=1)
        margin += leads(table, labels[rows]).sum(axis=1, dtype=np.float64)
    return HeadScores(right, margin / len(labels))


def k_fold(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count right examples where a fifth of each class is left out of all centroids at a time.

    Raises
    ------
    SelectionError
        A class has one example only.
    """
    require_pairs(labels, classes, "k-fold")
    folds = stratified_folds(labels, fold_count(labels))
    right = np.zeros(len(features))
    for fold in range(fold_count(labels)):
        out = folds == fold
        centroids = class_centroids(features[:, ~out], labels[~out], len(classes))
        right += (nearest_centroids(features[:, out], centroids) == labels[out]).sum(axis=1)
    centroids = class_centroids(features, labels, len(classes))
    return HeadScores(right, _margins(features, labels, centroids))


SCORINGS: dict[str, Scoring] = {
    "resubstitution": resubstitution,
    "loo": leave_one_out,
    "kfold": k_fold,
}
"""Name on the command line -> scoring."""


def require_pairs(labels: Array, classes: Sequence[str], what: str) -> None:
    """Raise SelectionError where a class has one example, which `what` would leave out."""
    counts = np.bincount(labels, minlength=len(classes))
    if (counts < 2).any():
        raise SelectionError(
            f"class {classes[int(np.argmin(counts))]!r} has one training example, but {what}"
            " scoring needs two of each class; use --scoring resubstitution"
        )


def held_out_cosines(
    features: Array, labels: Array, centroids: Array
) -> Iterator[tuple[slice, Array]]:
    """Yield examples and their cosines with all centroids; the own one lacks the example.

    A class with one example keeps it.

    Yields
    ------
    tuple
        Rows, and `(heads, rows, classes)` float32; at most `TABLE` cosines at a time.
    """
    heads, classes = centroids.shape[:2]
    directions = normalise(centroids).transpose(0, 2, 1)
    sums = [class_sums(head, labels, classes) for head in features]
    others = np.bincount(labels, minlength=classes)[labels][:, None] - 1  # (n, 1)
    step = max(1, TABLE // (heads * max(classes, features.shape[2])))
    for start in range(0, len(labels), step):
        rows = slice(start, start + step)
        part, own = normalise(features[:, rows]), labels[rows]
        table = part @ directions
        for head, cosines in enumerate(table):
            # from the sum in float64: what little is left of a centroid may be all rounding
            left = (sums[head][own] - features[head, rows]) / np.maximum(others[rows], 1)
            without = normalise(np.where(others[rows] > 0, left, centroids[head, own]))
            cosines[np.arange(len(own)), own] = (part[head] * without).sum(axis=1)
        yield rows, table


def _margins(features: Array, labels: Array, centroids: Array) -> Array:
    total = np.zeros(len(features))
    for rows, table in held_out_cosines(features, labels, centroids):
        total += leads(table, labels[rows]).sum(axis=1, dtype=np.float64)
    return total / len(labels)


def rank_heads(scores: HeadScores, heads: Sequence[Head]) -> list[int]:
    """Return the indices of the heads, best first: by score, then margin, then (layer, head).

    Examples
    --------
    >>> scores = HeadScores(np.array([3.0, 4.0, 4.0]), np.array([0.9, 0.1, 0.2]))
    >>> rank_heads(scores, [(0, 0), (0, 1), (1, 0)])
    [2, 1, 0]
    """
    return sorted(range(len(heads)), key=lambda i: (-scores.score[i], -scores.margin[i], *heads[i]))
