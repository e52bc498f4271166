"""Parts of the training examples for cross-validation: every class in every part."""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array

FOLDS = 5
"""Parts, or fewer where the smallest class has fewer examples."""


def stratified_folds(labels: Array, folds: int, clusters: Sequence[str] | None = None) -> Array:
    """Return the part of each example: classes spread evenly, clusters whole.

    Clusters go, largest first, where their classes are fewest so far; where each example is its own
    cluster, the i-th example of a class goes to part i modulo `folds`.

    Parameters
    ----------
    labels
        `(n,)` class numbers.
    folds
        Number of parts, at least 2.
    clusters
        For each example, the name of its cluster; by default each is its own.

    Returns
    -------
    ndarray
        `(n,)` numbers from 0 to `folds` - 1.

    Examples
    --------
    >>> stratified_folds(np.array([0, 0, 1, 1, 0]), 2).tolist()
    [0, 1, 0, 1, 0]
    >>> stratified_folds(np.array([0, 1, 0, 1]), 2, ["a", "a", "b", "b"]).tolist()
    [0, 0, 1, 1]
    """
    if clusters is None or len(set(clusters)) == len(labels):
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels)
        number = np.empty(len(labels), np.int64)
        number[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
        return number % folds
    members: dict[str, list[int]] = {}
    for row, name in enumerate(clusters):
        members.setdefault(name, []).append(row)
    held = np.zeros((folds, int(labels.max()) + 1), np.int64)
    found = np.zeros(len(labels), np.int64)
    for rows in sorted(members.values(), key=lambda m: -len(m)):  # stable: then by first row
        own = labels[rows]
        part = min(
            range(folds),
            key=lambda f: (held[f, own].sum(), held[f].sum() if len(own) > 1 else 0, f),
        )
        found[rows] = part
        np.add.at(held[part], own, 1)
    return found


def fold_count(labels: Array, most: int = FOLDS) -> int:
    """Return how many parts there can be: `most`, or the number of examples of the rarest class."""
    return min(most, int(np.bincount(labels).min()))
