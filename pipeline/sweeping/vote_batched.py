"""The vote of many fits on the same examples at once; most of a sweep's time is spent here."""

from collections.abc import Iterator, Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import first_of_best, normalise
from savs.pipeline.readouts import ClassScores
from savs.pipeline.readouts.vote import count_votes, elect

TABLE = 2**25
"""Cosines held at a time, heads x examples x fits x classes: 128 MB."""


def many_votes(
    features: Array,
    centroids: Sequence[Array],
    orders: Sequence[Sequence[int]],
    counts: Sequence[int],
) -> Iterator[list[ClassScores]]:
    """Yield, fit by fit, the scores of `FittedVote` with each number of heads.

    Parameters
    ----------
    features
        `(heads, n, d)`.
    centroids
        For each fit, `(heads, classes, d)` in the order of the features.
    orders
        For each fit, the indices of its heads in the features, best first.
    counts
        Numbers of heads, ascending, none above the length of an order.

    Yields
    ------
    list of ClassScores
        One for each of `counts`.
    """
    heads, n, d = features.shape
    classes = centroids[0].shape[1]
    queries = np.ascontiguousarray(normalise(features).swapaxes(1, 2))
    step = max(1, TABLE // (heads * n * classes))
    for start in range(0, len(centroids), step):
        some = np.stack(centroids[start : start + step], axis=1)  # (heads, fits, classes, d)
        table = normalise(some).reshape(heads, -1, d) @ queries
        table = table.reshape(heads, -1, classes, n)  # numpy is fast along n, not along few classes
        for fit, order in enumerate(orders[start : start + step]):
            ranked = table[list(order[: counts[-1]]), fit].swapaxes(1, 2)
            yield list(_cumulated(ranked, counts))


def _cumulated(cosines: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
    """Yield the scores of the first heads, more and more of them, `(heads, n, classes)`."""
    n, classes = cosines.shape[1:]
    votes = first_of_best(cosines)  # (heads, n)
    tally, soft, done = np.zeros((n, classes), np.float32), np.zeros((n, classes), np.float32), 0
    for count in counts:
        tally = tally + count_votes(votes[done:count], classes)
        soft = soft + cosines[done:count].sum(axis=0)
        done = count
        yield ClassScores(tally, elect(tally, votes[:count]), soft / count)
