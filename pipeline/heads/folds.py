"""Folds of training examples, with every class in every fold, and settings chosen by them."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from savs.foundation.arrays import Array

FOLDS = 5
"""Parts, or fewer where the smallest class has fewer examples."""


def stratified_folds(labels: Array, folds: int, clusters: Sequence[str] | None = None) -> Array:
    """Return the part of each example, 0 to `folds` - 1: classes spread evenly, clusters whole.

    Clusters go, largest first, where their classes are fewest so far; where each example is its own
    cluster, the i-th example of a class goes to part i modulo `folds`.

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
    # Greedy: the largest cluster is the hardest to fit, so it goes first, to the fold that has the
    # fewest examples of its classes; of these to the smallest fold, then to the first. Single
    # examples ignore the size of folds: they are dealt out in turn, as where nothing is shared.
    counts = np.zeros((folds, int(labels.max()) + 1), np.int64)
    parts = np.zeros(len(labels), np.int64)
    for rows in sorted(members.values(), key=lambda m: -len(m)):  # stable: then by first row
        classes = labels[rows]
        part = min(
            range(folds),
            key=lambda f: (counts[f, classes].sum(), counts[f].sum() if len(rows) > 1 else 0, f),
        )
        parts[rows] = part
        np.add.at(counts[part], classes, 1)
    return parts


def number_folds(numbers: Array, folds: int, clusters: Sequence[str] | Array) -> Array:
    """Return the part of each example with a number: small and large ones in each, clusters whole.

    What is spread evenly are ten ranges of numbers, or fewer, with equally many examples each.

    >>> number_folds(np.array([1.0, 9, 2, 8]), 2, ["a", "b", "c", "d"]).tolist()
    [0, 0, 1, 1]
    """
    count, n = min(folds, len(set(clusters))), len(numbers)
    ranks = np.argsort(np.argsort(numbers, kind="stable"))
    in_range = count * math.ceil(n / (10 * count))  # so many in each fold, of every range
    return stratified_folds(ranks // in_range, count, list(clusters))


def label_folds(states: Array, folds: int, clusters: Sequence[str]) -> Array:
    """Return the part of each row of many labels, 0 to `folds` - 1: clusters stay whole.

    `(labels, rows)` states are 1 if a label is there, 0 if it is absent. Both sides of each
    label are spread over the parts, the rarest first: its largest clusters go where it is rarest so
    far, of these to the smallest part, then to the first (iterative stratification: Sechidis et
    al., 2011, doi 10.1007/978-3-642-23808-6_10).

    >>> label_folds(np.array([[1, 1, 0, 0], [0, 1, 0, 1]]), 2, ["a", "b", "c", "d"]).tolist()
    [0, 1, 1, 0]
    """
    numbers = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sizes = np.bincount(numbers)
    sides = np.concatenate([states == 1, states == 0])
    held = np.stack([np.bincount(numbers, side) for side in sides])  # (sides, clusters) rows
    part = np.full(len(sizes), -1)
    rows_in = np.zeros(folds, np.int64)
    for of_side in held[np.argsort((held > 0).sum(axis=1), kind="stable")]:
        is_dealt = part >= 0
        count = np.bincount(part[is_dealt], of_side[is_dealt], folds)
        waiting = np.flatnonzero((of_side > 0) & ~is_dealt)
        for cluster in waiting[np.argsort(-of_side[waiting], kind="stable")]:
            fold = min(range(folds), key=lambda f: (count[f], rows_in[f], f))
            part[cluster] = fold
            count[fold] += of_side[cluster]
            rows_in[fold] += sizes[cluster]
    part[part < 0] = 0  # of rows that know of no label
    return part[numbers]


def fold_count(labels: Array, most: int = FOLDS) -> int:
    """Return how many parts there can be: `most`, or the number of examples of the rarest class."""
    return min(most, int(np.bincount(labels).min()))


def best_setting(labels: Array, settings: int, choices: Callable[[Array, Array], Array]) -> int:
    """Return the number of the setting that is right most often; of equals the first.

    `choices` gets the `(n,)` flags of the examples to fit, and of those to classify, and returns
    `(settings, classified)` class numbers. 0 if a class has one example, so that none can be
    left out.
    """
    folds = fold_count(labels)
    if folds < 2:
        return 0
    part = stratified_folds(labels, folds)
    right = np.zeros(settings, np.int64)
    for fold in range(folds):
        out = part == fold
        right += (choices(~out, out) == labels[out]).sum(axis=1)
    return int(right.argmax())
