"""The vote of many fits on the same examples at once: what a sweep spends its time on."""

from collections.abc import Iterator, Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import first_twins, unit
from savs.pipeline.readouts import ClassScores

TABLE = 2**25
"""Cosines held at a time, heads x examples x fits x classes: 128 MB."""


def many_votes(
    features: Array,
    centroids: Sequence[Array],
    orders: Sequence[Sequence[int]],
    counts: Sequence[int],
) -> Iterator[list[ClassScores]]:
    """Yield, fit by fit, what `vote` says with each number of heads.

    The rules are those of `FittedVote`: equal cosines go to the first class, equal votes to the
    class that the best-ranked head voted for.

    Parameters
    ----------
    features
        `(heads, n, d)`.
    centroids
        For each fit, `(heads, classes, d)` in the order of the features.
    orders
        For each fit, its heads, best first, as places in the features.
    counts
        Numbers of heads, ascending, none above the length of an order.

    Yields
    ------
    list of ClassScores
        One for each of `counts`.
    """
    heads, n, d = features.shape
    classes = centroids[0].shape[1]
    directions = unit(features)
    step = max(1, TABLE // (heads * n * classes))
    for start in range(0, len(centroids), step):
        some = np.stack(centroids[start : start + step])  # (fits, heads, classes, d)
        first = np.stack([[first_twins(c) for c in own] for own in some])  # (fits, heads, classes)
        targets = unit(some).transpose(1, 3, 0, 2).reshape(heads, d, -1)
        table = (directions @ targets).reshape(heads, n, len(some), classes)
        for fit, order in enumerate(orders[start : start + step]):
            ranked = list(order[: counts[-1]])
            cosines = table[ranked, :, fit]  # (count, n, classes)
            votes = np.take_along_axis(first[fit, ranked], cosines.argmax(axis=2), axis=1)
            yield list(_cumulated(votes, cosines, counts))


def _cumulated(votes: Array, cosines: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
    """Yield the scores of the first heads, more and more of them; votes are `(heads, n)`."""
    n, classes = cosines.shape[1:]
    cells = votes + classes * np.arange(n)
    tally, soft, done = np.zeros((n, classes), np.float32), np.zeros((n, classes), np.float32), 0
    for count in counts:
        more = np.bincount(cells[done:count].ravel(), minlength=n * classes)
        tally += more.reshape(n, classes)
        soft += cosines[done:count].sum(axis=0)
        done = count
        leads = tally == tally.max(axis=1, keepdims=True)
        choice = leads.argmax(axis=1)
        tied = np.flatnonzero(leads.sum(axis=1) > 1)
        best = leads[tied, votes[:count, tied]].argmax(axis=0)  # first head that named a leader
        choice[tied] = votes[best, tied]
        yield ClassScores(tally.copy(), choice, soft / count)
