"""A fitted readout: a linear map of each chosen head, and a pool of what the heads say.

Of a unit feature x of a head the logit of class c is `direction_c . x + offset_c`. Readouts differ
in how they fit these, and in the pool:

    vote  each head votes for its best class: vote
    mean  the weighted mean of softmax(logits): posterior, calm, lda, hec-v, hec-t, hec-vt
    sum   the softmax of the summed logits: mahalanobis, logistic, ridge, clip, lp-plus-plus

Only `knn` and `tip-adapter` are no linear map and have classes of their own, see `Fitted`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import (
    TIE,
    class_centroids,
    few_threads,
    first_of_best,
    lengths_of,
    normalise,
    not_finite,
    row_blocks,
)

Pool = Literal["vote", "mean", "sum"]
UNIT = 2.0**-24
"""Rounding of one operation in float32, as a share."""
CLOSE_BLOCK = 2**18
"""Probabilities of close examples that are in work at a time: 2 MB in float64."""
LARGEST_TABLE = 2**27
"""Logits of one fit, heads x examples x classes, up to which several fits are scored together."""
TABLE = 2**25
"""Logits of several fits in memory at a time: 128 MB."""
BLOCK = 2**18
"""Probabilities that are in work at a time: 1 MB, which stays in a cache."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """A readout's scores and choices for n examples."""

    scores: Array
    """`(n, classes)` float32: votes, or probabilities."""
    choice: Array
    """`(n,)` number of the predicted class, by the readout's tie rule."""
    soft: Array
    """`(n, classes)` float32 without ties in practice, for metrics that compare examples."""

    def part(self, rows: Array | slice) -> "ClassScores":
        """Return those of some examples."""
        return ClassScores(self.scores[rows], self.choice[rows], self.soft[rows])

    @classmethod
    def joined(cls, parts: Sequence["ClassScores"]) -> "ClassScores":
        """Return those of all examples of one part or more, in their order."""
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.choice for part in parts]),
            np.concatenate([part.soft for part in parts]),
        )


class Pooled(NamedTuple):
    """What the first rows of a fit say together."""

    rows: int
    total: Array
    """`(n, classes)`: the sum of logits of a vote, else of weighted probabilities or logits."""
    votes: Array
    """`(rows, n)` class numbers of a vote, else `(0, n)`."""
    tally: Array
    """`(n, classes)`: what these count."""


LogitsOf = Callable[[Array], Array]
"""Returns the logits of some examples: `(m,)` numbers of these -> `(rows, m, classes)` float32."""


@dataclass(frozen=True, slots=True)
class HeadsFit:
    """A readout fitted to training examples. Pool and arrays are all that is saved of it.

    A head has one row of the arrays, or as many as there are `parts`: rows of a head lie together.
    """

    pool: Pool
    directions: Array
    """`(rows, classes, d)` float32, best head first."""
    offsets: Array
    """`(rows, classes)` float32."""
    weights: Array
    """`(rows, classes)` float32: what a vote counts, a probability, or a logit."""
    ties: Array
    """`(rows, 2)` float32, a and b. Logits of a vote that differ by a tie, and of a sum by the sum
    of a. Of a mean, a probability p may be off by p (a + b (1 - p))."""

    def __post_init__(self) -> None:
        if self.pool not in ("vote", "mean", "sum"):
            raise ValueError(f"the pool is {self.pool!r}, expected 'vote', 'mean' or 'sum'")

    @classmethod
    def of(
        cls,
        pool: Pool,
        directions: Array,
        offsets: Array | float = 0,
        weights: Array | float = 1,
        *,
        slack: Array | float | None = None,
        steepness: Array | float = 0,
    ) -> "HeadsFit":
        """Return a fit of `(rows, classes, d)` directions; the others are repeated where needed.

        `slack` and `steepness` are the columns of `ties`. By default logits tie within `TIE` times
        the length of the head's longest direction, which is the rounding of the product.
        """
        shape = directions.shape[:2]
        ties = np.empty((len(directions), 2), np.float32)
        if slack is None:
            slack = TIE * np.linalg.norm(directions, axis=2).max(axis=1)
        ties[:, 0], ties[:, 1] = slack, steepness
        return cls(
            pool,
            directions.astype(np.float32, copy=False),
            np.broadcast_to(offsets, shape).astype(np.float32),
            np.broadcast_to(weights, shape).astype(np.float32),
            ties,
        )

    @classmethod
    def of_centroids(
        cls,
        pool: Pool,
        features: Array,
        labels: Array,
        classes: int,
        tau: float = 1.0,
        weights: Array | float = 1,
    ) -> "HeadsFit":
        """Return the fit whose logits are cosines with the class centroids, divided by `tau`."""
        directions = normalise(class_centroids(features, labels, classes)) / np.float32(tau)
        return cls.of(pool, directions, weights=weights, slack=TIE / tau)

    def scores(self, features: Array) -> ClassScores:
        """Score `(heads, n, d)` features, heads in the order of the fit, best first."""
        return next(self.nested(features, [len(features)]))

    def nested(self, features: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
        """Yield the scores of the first heads alone, as many as each of `counts`, ascending."""
        parts, n = len(self.directions) // len(features), features.shape[1]
        _, classes, d = self.directions.shape
        ends = [count * parts for count in counts]
        votes = np.empty((ends[-1] if self.pool == "vote" else 0, n), np.int64)
        total = np.zeros((n, classes), np.float32)
        has_offsets = np.asarray(self.offsets.any(axis=1))
        is_weighted = np.asarray((self.weights != 1).any(axis=1)) & (self.pool != "vote")
        units = features[:0]
        with few_threads(n * classes * d):
            for row in range(ends[-1]):  # one at a time: with many classes a table is large
                if row % parts == 0:
                    units = normalise(features[row // parts])
                table = units @ self.directions[row].T
                if has_offsets[row]:
                    table += self.offsets[row]
                if self.pool == "vote":
                    votes[row] = first_of_best(table, self.ties[row, 0])
                elif self.pool == "mean":
                    table = shares(table)
                if is_weighted[row]:
                    table *= self.weights[row]
                total += table
                if row + 1 in ends:
                    so_far, tally = votes[: row + 1], total
                    if self.pool == "vote":
                        tally = count_votes(so_far, classes, self.weights[: row + 1])
                    pooled = Pooled(row + 1, total, so_far, tally)
                    yield self._choose(pooled, partial(self._logits, features, row + 1))

    def _logits(self, features: Array, rows: int, chosen: Array) -> Array:
        """Return the logits of some examples, as `LogitsOf`, by the first rows of the fit."""
        parts, (_, classes, d) = len(self.directions) // len(features), self.directions.shape
        with few_threads(len(chosen) * classes * d):
            units = normalise(features[: -(-rows // parts), chosen])
            units = units if parts == 1 else np.repeat(units, parts, axis=0)
            logits = units @ self.directions[:rows].swapaxes(1, 2)
        return logits + self.offsets[:rows, None]

    def _choose(self, pooled: Pooled, logits_of: LogitsOf) -> ClassScores:
        """Return the scores, and the first class of those that tie with the best one."""
        rows, total = pooled.rows, pooled.total
        if self.pool == "vote":
            choice = elect(pooled.tally, pooled.votes)
            return ClassScores(pooled.tally, choice, total / np.float32(rows))
        if self.pool == "mean":
            mean = total / self.weights[:rows].sum(axis=0)
            return ClassScores(mean, self._first_of_close(mean, rows, logits_of), mean)
        choice = first_of_best(total, self.ties[:rows, 0].sum(dtype=np.float64))
        return ClassScores(softmax(total.copy()), choice, total.copy())

    def _first_of_close(self, mean: Array, rows: int, logits_of: LogitsOf) -> Array:
        """Return the class of greatest mean probability; of classes that tie the first.

        `mean` are `(n, classes)`. The derivative of a softmax is p (1 - p): where a head is sure,
        rounding of its logits changes little. So a tie can be narrower than float32, as where
        logits are small, those of thousands of examples. float64 takes twice the time: examples
        with a second class near the greatest probability are computed again.
        """
        slack, steepness = self.ties[:rows].T[:, :, None, None]
        # each mean is off by half a rounding for each head that is added, and by eight at most of
        # the exponential and the division
        share = float(self.ties[:rows].sum(axis=1).max()) + (rows + 16) * UNIT
        choice = mean.argmax(axis=1)
        best = mean[np.arange(len(mean)), choice, None]
        if np.isnan(best).any():
            raise not_finite()
        close = np.flatnonzero(np.count_nonzero(mean >= best * np.float32(1 - share), axis=1) > 1)
        if not len(close):
            return choice
        weights = self.weights[:rows, None] / self.weights[:rows].sum(axis=0, dtype=np.float64)
        for some in row_blocks(len(close), rows * mean.shape[1], CLOSE_BLOCK):
            p = softmax(logits_of(close[some]).astype(np.float64))
            errors = (weights * p * (slack + steepness * (1 - p))).sum(axis=0)
            values = (weights * p).sum(axis=0)
            first = values.argmax(axis=1)[:, None]
            least = np.take_along_axis(values - errors, first, axis=1)
            choice[close[some]] = (values >= least).argmax(axis=1)
        return choice

    def binary(self) -> "HeadsFit":
        """Return the fit of one class for a fit of two: how much the second is preferred.

        Its soft score is that of the second class less that of the first; the weights of a mean say
        so where those of each class have the same sum. Each row adds its weight times its
        logit, or of a mean times the difference of two probabilities, see `shares`.
        """
        directions, offsets = self.directions, self.offsets
        weights: Array | float = 1
        if self.pool == "sum":
            directions = self.weights[:, :, None] * directions
            offsets = self.weights * offsets
        elif self.pool == "vote":
            weights = 1 / len(directions)
        else:
            of_class = self.weights / self.weights.sum(axis=0)
            weights = of_class.mean(axis=1, keepdims=True)
        return HeadsFit.of(
            "mean" if self.pool == "mean" else "sum",
            directions[:, 1:] - directions[:, :1],
            offsets[:, 1:] - offsets[:, :1],
            weights,
            slack=self.ties[:, 0],
            steepness=self.ties[:, 1],
        )

    def pooled(self, table: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
        """Yield what `nested` does, from all logits, `(rows, classes, n)`; a row is a head here."""
        _, classes, n = table.shape
        is_plain = bool((self.weights == 1).all())
        votes = self._votes(table) if self.pool == "vote" else np.zeros((0, n), np.int64)
        total, tally = np.zeros((classes, n), np.float32), np.zeros((n, classes), np.float32)
        for start, end in pairwise([0, *counts]):
            if self.pool == "vote":
                total = total + table[start:end].sum(axis=0)
                new, weights = votes[start:end], self.weights[start:end]
                told = (new == number for number in range(classes))
                of_new = [
                    one.sum(axis=0) if is_plain else weights[:, number] @ one
                    for number, one in enumerate(told)
                ]
                tally = (tally + np.stack(of_new, axis=1)).astype(np.float32)
            else:
                step = max(1, BLOCK // table[0].size)
                for head in range(start, end, step):
                    some = slice(head, min(head + step, end))
                    part = (
                        shares(table[some].copy(), axis=1) if self.pool == "mean" else table[some]
                    )
                    part = part if is_plain else part * self.weights[some, :, None]
                    total += part.sum(axis=0)
            so_far = Pooled(end, np.ascontiguousarray(total.T), votes[:end], tally)
            yield self._choose(so_far, partial(_logits_in, table[:end]))

    def _votes(self, table: Array) -> Array:
        """Return the votes of `(rows, classes, n)` logits, `(rows, n)`."""
        floor = table.max(axis=1) - self.ties[: len(table), :1]
        if np.isnan(floor).any():
            raise not_finite()
        votes = np.empty(floor.shape, np.int64)
        for number in reversed(range(table.shape[1])):  # the first class that is near enough stays
            np.copyto(votes, number, where=table[:, number] >= floor)
        return votes


def score_fits(
    fits: Sequence[HeadsFit],
    orders: Sequence[Sequence[int]],
    features: Array,
    counts: Sequence[int],
) -> Iterator[list[ClassScores]]:
    """Yield, fit by fit, the scores with each number of heads: those of its first heads.

    Fits have one shape, and a row for each head: `orders` are the indices of these in the `(all
    heads, n, d)` features, best first. `counts` ascend, none above the number of a fit's heads.
    With few classes numpy is fast along the examples, not along the classes: tables are `(heads,
    classes, n)` here, and the products of all fits with a head are one.
    """
    heads, classes, d = fits[0].directions.shape
    n = features.shape[1]
    if heads * n * classes > LARGEST_TABLE:
        for fit, order in zip(fits, orders, strict=True):
            yield list(fit.nested(features[np.asarray(order)], counts))
        return
    values, lengths = lengths_of(features)
    step = max(1, TABLE // (heads * n * classes))
    with few_threads(n * d * classes * step):
        for start in range(0, len(fits), step):
            some = fits[start : start + step]
            own = [np.asarray(order) for order in orders[start : start + step]]
            for fit, table in zip(some, _tables(some, own, values, lengths), strict=True):
                yield list(fit.pooled(table, counts))


def _tables(
    fits: Sequence[HeadsFit], orders: Sequence[Array], values: Array, lengths: Array
) -> Iterator[Array]:
    """Yield each fit's logits, `(heads, classes, n)`, best head first."""
    heads, classes, d = fits[0].directions.shape
    if heads < len(values):  # each fit has its own few heads
        for fit, order in zip(fits, orders, strict=True):
            columns = np.ascontiguousarray(fit.directions.swapaxes(1, 2))
            yield _divided(_products(columns, values[order]), lengths[order], fit)
        return
    columns = np.empty((heads, d, len(fits) * classes), np.float32)
    for number, (fit, order) in enumerate(zip(fits, orders, strict=True)):
        places = slice(number * classes, (number + 1) * classes)
        columns[order, :, places] = fit.directions.swapaxes(1, 2)
    products = _products(columns, values)  # all fits at once: features are read once
    for number, (fit, order) in enumerate(zip(fits, orders, strict=True)):
        places = slice(number * classes, (number + 1) * classes)
        yield _divided(products[order, places], lengths[order], fit)


def _products(columns: Array, values: Array) -> Array:
    """Return `(heads, columns, n)` products of `(heads, d, columns)` and `(heads, n, d)`.

    That way BLAS takes two thirds of the time of `(heads, columns, d)`.
    """
    return columns.swapaxes(1, 2) @ values.swapaxes(1, 2)


def _divided(products: Array, lengths: Array, fit: HeadsFit) -> Array:
    """Divide `(heads, classes, n)` products by the features' lengths, in place, and add offsets."""
    products /= lengths[:, None]
    if fit.offsets.any():
        products += fit.offsets[:, :, None]
    return products


def _logits_in(table: Array, chosen: Array) -> Array:
    return table[:, :, chosen].swapaxes(1, 2)


def softmax(values: Array, *, axis: int = -1) -> Array:
    """Return exp(values) normalised along an axis; `values` are overwritten and returned.

    >>> softmax(np.array([0.0, np.log(3)])).round(3).tolist()
    [0.25, 0.75]
    """
    values -= values.max(axis=axis, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=axis, keepdims=True)
    return values


def shares(logits: Array, *, axis: int = -1) -> Array:
    """Return the probabilities of classes; `logits` are overwritten.

    One class stands for the second of two less the first: of it the difference of probabilities.

    >>> shares(np.array([[np.log(3)]])).round(3).tolist()
    [[0.5]]
    """
    if logits.shape[axis] > 1:
        return softmax(logits, axis=axis)
    logits *= np.float32(0.5)
    return np.tanh(logits, out=logits)


def count_votes(votes: Array, classes: int, weights: Array | None = None) -> Array:
    """Return how many heads vote for each class, `(heads, n)` -> `(n, classes)` float32.

    Or the sum of what their votes count, with `(heads, classes)` weights.
    """
    n, counting = votes.shape[1], None
    cells = (votes + classes * np.arange(n)).ravel()
    if weights is not None and (weights != 1).any():
        counting = np.take_along_axis(weights, votes, axis=1).ravel()
    tally = np.bincount(cells, counting, minlength=n * classes)
    return tally.reshape(n, classes).astype(np.float32)


def elect(tally: Array, votes: Array) -> Array:
    """Return the class with the most votes; of equal counts that of the best-ranked head.

    `(n, classes)` counts of `(heads, n)` votes, heads best first, give `(n,)` class numbers. This
    is the order of `Counter.most_common`, which the public reference relies on. The program of a
    bundle, which knows no `savs`, has the rule too (`classifying/bundle/files/predict.py`).

    >>> elect(np.array([[0, 1, 1]]), np.array([[2], [1]]))
    array([2])
    """
    most = tally == tally.max(axis=1, keepdims=True)  # (n, classes)
    choice = most.argmax(axis=1)
    tied = np.flatnonzero(most.sum(axis=1) > 1)
    head = most[tied, votes[:, tied]].argmax(axis=0)  # the first that voted for such a class
    choice[tied] = votes[head, tied]
    return choice
