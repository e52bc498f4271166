"""Which of some examples are suggested, and in which order: pure functions."""

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.readouts import ClassScores

CANDIDATES = 5
"""Least sure examples that are looked at for each one that is suggested."""


def least_sure(margins: Array, count: int) -> Array:
    """Return the rows of which a classifier is least sure, the least sure one first.

    Parameters
    ----------
    margins
        `(n, keys)`: the first key decides, then the next; equal rows keep their order.
    count
        How many; all, if there are fewer.

    Examples
    --------
    >>> least_sure(np.float32([[3, 0], [0, 2], [0, 1]]), 2).tolist()
    [2, 1]
    """
    return np.lexsort(margins.T[::-1])[:count]


def farthest_first(features: Array, count: int) -> list[int]:
    """Return rows that are spread out: the first, then each time the one farthest from all before.

    Of equally far ones the first is taken. Source: the greedy k-centre choice of Sener and
    Savarese, arXiv 1708.00489.

    Parameters
    ----------
    features
        `(n, d)` float32 of unit length, so that a small product is a large distance.
    count
        How many; all, if there are fewer.

    Examples
    --------
    >>> angle = np.float32([0, 0.1, 1.5, 0.7])
    >>> farthest_first(np.stack([np.cos(angle), np.sin(angle)], axis=1), 3)
    [0, 2, 3]
    """
    nearest = np.full(len(features), -np.inf, np.float32)
    chosen: list[int] = []
    for _ in range(min(count, len(features))):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, features @ features[chosen[-1]])
    return chosen


def sureness(found: ClassScores) -> Array:
    """Return `(n, 2)` float32: the lead of the choice by score, and by soft score.

    The lead is its score less the best other one.
    """
    rows = np.arange(len(found.choice))
    leads = []
    for scores in (found.scores, found.soft):
        others = scores.copy()
        others[rows, found.choice] = -np.inf
        leads.append(scores[rows, found.choice] - others.max(axis=1))
    return np.stack(leads, axis=1).astype(np.float32)


def unit_features(features: Array) -> Array:
    """Return `(n, heads x d)` float32 of unit length from `(heads, n, d)`, each head alike.

    The product of two rows is then the mean cosine of their heads.
    """
    lengths = np.linalg.norm(features, axis=2, keepdims=True)
    units = features / np.where(lengths > 0, lengths, 1)
    flat = units.transpose(1, 0, 2).reshape(features.shape[1], -1)
    return (flat / np.sqrt(len(features))).astype(np.float32)
