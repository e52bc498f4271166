"""`knn`: the nearest training examples in every chosen head vote for their classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import (
    TIE,
    first_of_best,
    normalise,
    not_finite,
    row_blocks,
)
from savs.pipeline.heads.few_threads import few_threads
from savs.pipeline.readouts.readout import ClassScores, Readout, Widths

NEIGHBOURS = 5
"""Neighbours that each head takes; fewer where the smallest class has fewer examples."""
WHOLE = 256
"""Training examples up to which all cosines are ordered; of more, those of parts."""
TABLE = 2**23
"""Cosines of one head in a table, queries x training examples: 32 MB."""


@dataclass(frozen=True, slots=True)
class FittedKnn:
    """The training examples themselves."""

    features: Array
    """`(heads, n, d)` float32 of unit length."""
    labels: Array
    """`(n,)` class numbers."""

    def scores(self, features: Array) -> ClassScores:
        """Count the neighbours of each class over all heads.

        Each head takes its min(5, size of the smallest class) nearest training examples. Examples
        whose cosine is within `TIE` of the last neighbour's are equally near: the earlier ones are
        taken. Of equal counts the class with the greatest mean cosine wins, and where these tie the
        first.
        """
        classes = int(self.labels.max()) + 1
        k = min(NEIGHBOURS, int(np.bincount(self.labels).min()))
        n = features.shape[1]
        counts, sums = np.zeros((2, n, classes))
        rows = np.repeat(np.arange(n), k)
        for base, queries in zip(self.features, features, strict=True):
            cosines, neighbours = _nearest(base, normalise(queries), k)
            named = self.labels[neighbours].ravel()
            np.add.at(counts, (rows, named), 1)
            np.add.at(sums, (rows, named), cosines.ravel())
        most = counts.max(axis=1, keepdims=True)
        choice = first_of_best(np.where(counts == most, sums / most, -np.inf))
        soft = counts + sums / (2 * k * len(features) + 1)
        return ClassScores(counts.astype(np.float32), choice, soft.astype(np.float32))


def _nearest(base: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """Return the cosines and the indices of the `k` nearest examples, `(n, k)` each.

    Raises
    ------
    ParameterError
        A feature is not finite.
    """
    cosines = np.empty((len(queries), k), np.float32)
    found = np.empty((len(queries), k), np.int64)
    with few_threads(len(queries) * base.size):
        for rows in row_blocks(len(queries), len(base), TABLE):
            cosines[rows], found[rows] = _nearest_in(queries[rows] @ base.T, k)
    return cosines, found


def _nearest_in(table: Array, k: int) -> tuple[Array, Array]:
    """Return the `k` neighbours of each row of a table of cosines."""
    rows, columns = _candidates(table, k)
    values = table[rows, columns]
    counts = np.bincount(rows, minlength=len(table))
    chosen = (np.cumsum(counts) - counts)[:, None] + np.arange(k)  # all candidates of most rows
    if (several := counts > k).any():
        here = np.flatnonzero(several[rows])
        chosen[several] = here[_nearest_of(rows[here], columns[here], values[here], k)]
    return values[chosen], columns[chosen]


def _nearest_of(rows: Array, columns: Array, values: Array, k: int) -> Array:
    """Return the positions of each row's `k` neighbours among its more candidates, `(rows, k)`."""
    _, starts, number = np.unique(rows, return_index=True, return_inverse=True)
    last = values[np.lexsort((-values, rows))][starts + k - 1][number]  # the k-th of each row
    rank = (values <= last + TIE).astype(int) + (values < last - TIE)  # nearer, tied, farther
    return np.lexsort((columns, rank, rows))[starts[:, None] + np.arange(k)]


def _candidates(table: Array, k: int) -> tuple[Array, Array]:
    """Return rows and columns of all cosines that may be among the `k` greatest, or tie with them.

    Of p parts, example j is in part j modulo p. The k-th greatest of the parts' greatest cosines is
    no greater than the k-th greatest of all, so parts whose greatest is clearly below it have none.
    """
    n, m = table.shape
    greatest, count, layers = table, m, 1
    if m > WHOLE:
        count = math.isqrt(8 * m)  # some parts of a few layers: both are cheap to look through
        layers, whole = -(-m // count), m // count * count
        greatest = table[:, :whole].reshape(n, -1, count).max(axis=1)
        np.maximum(greatest[:, : m - whole], table[:, whole:], out=greatest[:, : m - whole])
    floor = np.partition(greatest, -k, axis=1)[:, -k, None] - TIE
    if np.isnan(floor).any():
        raise not_finite()
    rows, parts = np.nonzero(greatest >= floor)
    columns = parts[:, None] + count * np.arange(layers)
    inside = columns < m
    columns[~inside] = 0
    kept = inside & (table[rows[:, None], columns] >= floor[rows])
    return np.broadcast_to(rows[:, None], kept.shape)[kept], columns[kept]


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedKnn:
    """Keep the training examples."""
    return FittedKnn(normalise(features), labels.astype(np.int64))


KNN = Readout(
    name="knn",
    summary="min(5, smallest class) nearest training examples a head, votes summed",
    fit=fit,
    load=FittedKnn,
    arrays={"features": ("heads", "examples", "width"), "labels": ("examples",)},
)
