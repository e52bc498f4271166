"""Many fits on the same examples at once; most of a sweep's time is spent here.

With few classes numpy is fast along the examples, not along the classes: tables are `(heads,
classes, n)` here.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import TIE, few_threads, lengths_of, not_finite
from savs.pipeline.selection.readouts import ClassScores
from savs.pipeline.selection.readouts.lda import FittedLda
from savs.pipeline.selection.readouts.posterior import FittedPosterior
from savs.pipeline.selection.readouts.readout import softmax
from savs.pipeline.selection.readouts.vote import FittedVote, elect

TABLE = 2**25
"""Products held at a time, heads x examples x fits x classes: 128 MB."""
Headwise = FittedVote | FittedPosterior | FittedLda
"""Fits whose scores are sums over heads of what each head makes of its own products."""


class Batch:
    """Several fits, whose heads are any of a store's."""

    def __init__(self, fits: Sequence[Headwise], orders: Sequence[Sequence[int]]) -> None:
        """Keep fits of one type, and the index of each one's heads in the features, best first."""
        self._fits = fits
        self._orders = [np.asarray(order) for order in orders]

    def scores(self, features: Array, counts: Sequence[int]) -> Iterator[list[ClassScores]]:
        """Yield, fit by fit, the scores with each number of heads.

        Parameters
        ----------
        features
            `(heads, n, d)`: all heads of some examples.
        counts
            Numbers of heads, ascending, none above the number of a fit's heads.

        Yields
        ------
        list of ClassScores
            One for each of `counts`, equal to those of the fit on its first heads.
        """
        values, lengths = lengths_of(features)
        heads, classes, d = self._fits[0].directions.shape
        step = max(1, TABLE // (heads * features.shape[1] * classes))
        with few_threads(features.shape[1] * d * classes * step):
            for start in range(0, len(self._fits), step):
                some = slice(start, start + step)
                tables = self._tables(values, lengths, some)
                for fit, table in zip(self._fits[some], tables, strict=True):
                    yield list(_tally(fit, table, counts))

    def _tables(self, values: Array, lengths: Array, some: slice) -> Iterator[Array]:
        """Yield each fit's products with unit features, `(heads, classes, n)`, best head first."""
        fits, orders = self._fits[some], self._orders[some]
        heads, classes, d = fits[0].directions.shape
        if heads < len(values):  # each fit has its own few heads
            for fit, order in zip(fits, orders, strict=True):
                columns = np.ascontiguousarray(fit.directions.swapaxes(1, 2))
                yield _normalised(_products(columns, values[order]), lengths[order], fit)
            return
        columns = np.empty((heads, d, len(fits) * classes), np.float32)
        for number, (fit, order) in enumerate(zip(fits, orders, strict=True)):
            own = slice(number * classes, (number + 1) * classes)
            columns[order, :, own] = fit.directions.swapaxes(1, 2)
        products = _products(columns, values)  # all fits at once: features are read once
        for number, (fit, order) in enumerate(zip(fits, orders, strict=True)):
            own = slice(number * classes, (number + 1) * classes)
            yield _normalised(products[order, own], lengths[order], fit)


def _products(columns: Array, values: Array) -> Array:
    """Return `(heads, columns, n)` products of `(heads, d, columns)` and `(heads, n, d)`.

    That way BLAS takes two thirds of the time of `(heads, columns, d)`.
    """
    return columns.swapaxes(1, 2) @ values.swapaxes(1, 2)


def _normalised(products: Array, lengths: Array, fit: Headwise) -> Array:
    """Divide `(heads, classes, n)` products by the features' lengths, in place."""
    products /= lengths[:, None]
    if isinstance(fit, FittedLda):
        products += fit.offsets[:, :, None]
    return products


def _tally(fit: Headwise, table: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
    """Yield the scores of the first heads, more and more of them."""
    if isinstance(fit, FittedVote):
        yield from _votes(table, counts)
        return
    softmax(table[: counts[-1]], axis=1)
    for count, total in _sums(table, counts):
        yield fit.chosen(total / np.float32(count))


def _votes(table: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
    heads, classes, n = table.shape
    floor = table.max(axis=1) - np.float32(TIE)
    if np.isnan(floor).any():
        raise not_finite()
    votes = np.empty((heads, n), np.int64)
    for number in reversed(range(classes)):  # the first class that is near enough stays
        np.copyto(votes, number, where=table[:, number] >= floor)
    tally, done = np.zeros((n, classes), np.float32), 0
    for count, total in _sums(table, counts):
        new = votes[done:count]
        tally = tally + np.stack([(new == c).sum(axis=0) for c in range(classes)], axis=1)
        tally, done = tally.astype(np.float32), count
        yield ClassScores(tally, elect(tally, votes[:count]), total / np.float32(count))


def _sums(table: Array, counts: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """Yield each count with the sum over that many heads, `(n, classes)`."""
    total, done = np.zeros(table.shape[1:], np.float32), 0
    for count in counts:
        total = total + table[done:count].sum(axis=0)
        done = count
        yield count, np.ascontiguousarray(total.T)
