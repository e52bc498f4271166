"""How well each head tells the training classes apart, and the order that follows."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import (
    TIE,
    class_centroids,
    class_sums,
    few_threads,
    nearest_centroids,
    normalise,
    not_finite,
    row_blocks,
)
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.stores import Head

TABLE = 2**21
"""Cosines in a table, heads x examples x classes: 8 MB. As many features of those examples at
most."""
EQUAL = 1e-6
"""Scores that differ by less, as a share, are equal: sums of probabilities that are nearly 1 differ
in their last bits by the order of additions alone."""
LEFT = 2**16
"""Values of centroids without an example that are made at a time: 512 kB. That much memory is used
again; of larger arrays each page is asked of the system anew, which takes most of the time."""

PAIRS = 2**19
"""Flags of tasks, classes and examples that `score_pairs` takes at a time."""
CANCELLED = 1 / 8
"""Squared length of what is left of a sum of length 1, up to which it is made value by value: the
float32 of a cosine would be off by more than `TIE` / 3."""


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Train-side scores of heads. They choose heads; they do not estimate performance."""

    score: Array
    """`(heads,)` float64: what heads are ranked by. The number of training examples that the head
    puts in the right class, or by readouts of probabilities the sum of those of the right class."""
    margin: Array
    """`(heads,)` float64, decides between equal scores: mean over training examples of the cosine
    with the own class's centroid minus the best other one, 0 if the two tie; or of such logits."""
    named: Array | None = None
    """`(heads, n)` class that each head names of each example, for `pursuit` alone."""
    sets: tuple["HeadScores", ...] = ()
    """Scores by each part of a readout whose parts have a set of heads each; empty if one set
    serves the whole readout."""


def resubstitution(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count right examples where each example is part of its own class's centroid, as SAVs do.

    Source: SAVs, arXiv 2412.00142, section 3.
    """
    return _count(features, labels, len(classes), lambda part: part.right(part.own_cosines))


def leave_one_out(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count right examples where each example is left out of its own class's centroid.

    In closed form: with n examples in the class, the centroid without x is (n mu - x) / (n - 1).
    SelectionError if a class has one example only: nothing is left to make its centroid of.
    """
    require_pairs(labels, classes, "leave-one-out")
    return _count(features, labels, len(classes), lambda part: part.right(part.without))


def k_fold(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count right examples where a fifth of each class is left out of all centroids at a time.

    SelectionError if a class has one example only.
    """
    require_pairs(labels, classes, "k-fold")
    folds = stratified_folds(labels, fold_count(labels))
    right = np.empty((len(features), len(labels)), bool)
    for fold in range(fold_count(labels)):
        out = folds == fold
        centroids = class_centroids(features[:, ~out], labels[~out], len(classes))
        right[:, out] = nearest_centroids(features[:, out], centroids) == labels[out]
    return _count(features, labels, len(classes), lambda part: right[part.heads, part.rows])


def _count(
    features: Array, labels: Array, classes: int, right: "Callable[[_Contest], Array]"
) -> HeadScores:
    """Count the right examples of each head, and take their margins, block by block."""
    score, margin = np.zeros((2, len(features)))
    for part in _contests(features, labels, classes):
        score[part.heads] += right(part).sum(axis=1)
        margin[part.heads] += part.margins().sum(axis=1, dtype=np.float64)
    return HeadScores(score, margin / len(labels))


def score_pairs(
    features: Array, tasks: Sequence[tuple[Array, Array]], scoring: str
) -> list[HeadScores]:
    """Score heads for many tasks of two classes among the same examples, as `BY_CENTROIDS` do each.

    `(heads, n, d)` features, and for each task its rows among the n with their class numbers, 0 and
    1, each at least once. Features are normalised once, and matrix products make the cosines of
    many tasks. `scoring` is one of `PAIR_SCORINGS`.
    """
    scores = np.zeros((2, len(tasks), len(features)))
    units, n = [normalise(values) for values in features], features.shape[1]
    for part in row_blocks(len(tasks), 2 * n, PAIRS):
        masks = np.zeros((len(tasks[part]), 2, n), bool)
        for mask, (rows, labels) in zip(masks, tasks[part], strict=True):
            mask[labels, rows] = True
        for head, values in enumerate(features):
            scores[:, part, head] = _pair_scores(values, units[head], masks, scoring)
    return [HeadScores(*of_task) for of_task in scores.swapaxes(0, 1)]


def _pair_scores(values: Array, units: Array, masks: Array, scoring: str) -> tuple[Array, Array]:
    """Return the scores and the margins of one head, `(tasks,)` each.

    `masks` are `(tasks, 2, n)` flags of the examples in each class.
    """
    second, known, counts = masks[:, 1], masks.any(axis=1), masks.sum(axis=2)
    exact = values.astype(np.float64)
    with few_threads(masks.size * units.shape[1]):
        sums = masks.reshape(-1, len(units)).astype(np.float64) @ exact
        sums = sums.reshape(*counts.shape, -1)
        of_first, of_second = (
            normalise((sums[:, number] / counts[:, number, None]).astype(np.float32)) @ units.T
            for number in (0, 1)
        )
    if np.isnan(of_first).any() or np.isnan(of_second).any():
        raise not_finite()
    own_cosines, best = _swapped(of_first, of_second, second)
    # The example left out: with the sum of its class as the unit, it is `share` long.
    with np.errstate(all="ignore"):
        shares = np.sqrt(np.vecdot(exact, exact)) / np.sqrt(np.vecdot(sums, sums))[..., None]
        shares = shares.astype(np.float32)
        share, _ = _swapped(shares[:, 0], shares[:, 1], second)
        left = (share - 2 * own_cosines) * share + 1  # its squared length; infinite of a sum of 0
        without = (own_cosines - share) / np.sqrt(left)
    is_one = known & np.where(second, counts[:, 1:] == 1, counts[:, :1] == 1)
    without[is_one] = own_cosines[is_one]
    tasks, rows = np.nonzero(known & ~is_one & ~((left > CANCELLED) & (left < np.inf)))
    for some in row_blocks(len(tasks), units.shape[1], LEFT):
        task, row = tasks[some], rows[some]
        rest = sums[task, second[task, row].astype(int)] - exact[row]
        without[task, row] = np.vecdot(units[row], normalise(rest))
    lead = (own_cosines if scoring == "resubstitution" else without) - best
    is_right = (lead > TIE) | (~second & (lead >= -TIE))
    margins = without - best
    margins[np.abs(margins) <= TIE] = 0
    margins[~known] = 0
    return (is_right & known).sum(axis=1), margins.sum(axis=1, dtype=np.float64) / known.sum(axis=1)


def _swapped(first: Array, second: Array, flags: Array) -> tuple[Array, Array]:
    """Exchange the values of two tables where `flags` are set."""
    first[flags], second[flags] = second[flags], first[flags]
    return first, second


PAIR_SCORINGS = ("resubstitution", "loo")
"""What `score_pairs` knows."""
BY_CENTROIDS = {"resubstitution": resubstitution, "loo": leave_one_out, "kfold": k_fold}
"""What is left out -> scores of each head alone by its nearest class centroids."""


def worst_of(parts: Sequence[HeadScores]) -> HeadScores:
    """Return the lowest score of each head, and its lowest margin; the formula is ours."""
    return HeadScores(
        np.minimum.reduce([part.score for part in parts]),
        np.minimum.reduce([part.margin for part in parts]),
    )


INSTABILITY = 0.5
"""What `steady_of` takes off, in standard deviations."""


def steady_of(parts: Sequence[HeadScores]) -> HeadScores:
    """Return the mean score of each head less `INSTABILITY` standard deviations; margins likewise.

    There is one part for each prompt, and the variance is divided by their number. Source:
    HeadHunt-VAD, arXiv 2512.17601, for other scores than these, and its lambda of .5.
    """

    def steady(values: Array) -> Array:
        return values.mean(axis=0) - INSTABILITY * values.std(axis=0)

    return HeadScores(
        steady(np.stack([part.score for part in parts])),
        steady(np.stack([part.margin for part in parts])),
    )


def with_sets(
    merge: Callable[[Sequence[HeadScores]], HeadScores], parts: Sequence[HeadScores]
) -> HeadScores:
    """Merge several scores of heads, and likewise those of each of their sets."""
    of_sets = zip(*(part.sets for part in parts), strict=True)
    return replace(merge(parts), sets=tuple(merge(of_set) for of_set in of_sets))


def joined(parts: Sequence[HeadScores]) -> HeadScores:
    """Return the scores of several groups of heads as one, in their order."""
    named = [part.named for part in parts if part.named is not None]
    return HeadScores(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.margin for part in parts]),
        np.concatenate(named) if named else None,
    )


def require_pairs(labels: Array, classes: Sequence[str], what: str) -> None:
    """Raise SelectionError if a class has one example, which `what` would leave out."""
    counts = np.bincount(labels, minlength=len(classes))
    if (counts < 2).any():
        raise SelectionError(
            f"class {classes[int(np.argmin(counts))]!r} has one training example, but {what}"
            " scoring needs two of each class; use `scoring` resubstitution"
        )


def held_out_cosines(
    features: Array, labels: Array, classes: int
) -> Iterator[tuple[slice, slice, Array]]:
    """Yield heads, rows, and these examples' cosines with all class centroids, `TABLE` at a time.

    The centroid of the own class lacks the example; a class with one example keeps it. Cosines are
    `(heads, rows, classes)` float32.
    """
    for part in _contests(features, labels, classes):
        np.put_along_axis(part.others, part.labels[None, :, None], part.without[..., None], axis=2)
        yield part.heads, part.rows, part.others


@dataclass(frozen=True, slots=True)
class _Contest:
    """Some examples' cosines: those with their own class's centroid against all others."""

    heads: slice
    rows: slice
    labels: Array
    """`(rows,)` class numbers."""
    own_cosines: Array
    """`(heads, rows)`: with the centroid of the own class."""
    without: Array
    """`(heads, rows)`: with that centroid without the example, if the class has another one."""
    others: Array
    """`(heads, rows, classes)`: with all centroids; -inf for the own class."""
    best: Array
    """`(heads, rows)`: the greatest of the others."""

    def right(self, own_cosines: Array) -> Array:
        """Return whether the `own_cosines` make the own class the first of the best."""
        is_right = own_cosines > self.best + TIE
        # `first_of_best` for the few rows where the own class is neither clearly ahead nor after:
        # it wins if no other class within TIE of the greater one comes before it.
        tied = np.nonzero((own_cosines >= self.best - TIE) & ~is_right)
        floor = np.maximum(own_cosines[tied], self.best[tied])[:, None] - TIE
        earliest = (self.others[tied] >= floor).argmax(axis=1)
        is_right[tied] = (self.labels[tied[1]] < earliest) | (self.best[tied] < floor[:, 0])
        return is_right

    def margins(self) -> Array:
        """Return how far the own class leads, the example left out; 0 if it ties."""
        lead = self.without - self.best
        return np.where(np.abs(lead) <= TIE, 0, lead)


def _contests(features: Array, labels: Array, classes: int) -> Iterator[_Contest]:
    """Yield heads and examples block by block, at most `TABLE` cosines at a time."""
    sums, counts = class_sums(features, labels, classes), np.bincount(labels, minlength=classes)
    centroids = (sums / counts[:, None]).astype(np.float32)
    directions = normalise(centroids).transpose(0, 2, 1)
    others = counts[labels] - 1.0
    n, d = features.shape[1:]
    for heads, rows in _blocks(len(features), n, max(classes, d), TABLE):
        units, own_class = normalise(features[heads, rows]), labels[rows]
        with few_threads(units.shape[1] * d * classes):
            table = units @ directions[heads]
        without = np.empty(units.shape[:2], np.float32)
        for some, few in _blocks(len(units), units.shape[1], d, LEFT):
            # from the sum in float64: what little is left of a centroid may be all rounding
            left = sums[heads][some][:, own_class[few]]
            left -= features[heads, rows][some, few].astype(np.float64)  # numpy mixes types slowly
            left /= np.maximum(others[rows][few], 1)[:, None]
            alone = np.flatnonzero(others[rows][few] == 0)
            left[:, alone] = centroids[heads][some][:, own_class[few][alone]]
            without[some, few] = np.vecdot(units[some, few], normalise(left))
        places = (slice(None), np.arange(len(own_class)), own_class)
        own_cosines = table[places]
        table[places] = -np.inf
        best = table.max(axis=2)
        if np.isnan(own_cosines).any() or np.isnan(best).any():
            raise not_finite()
        yield _Contest(heads, rows, own_class, own_cosines, without, table, best)


def _blocks(heads: int, rows: int, size: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Yield heads and rows with at most `most` values; a row of a head has `size`.

    Many rows of few heads are multiplied faster than few rows of many.
    """
    for some in row_blocks(heads, rows * size, most):
        for few in row_blocks(rows, min(heads, some.stop - some.start) * size, most):
            yield some, few


def rank_heads(scores: HeadScores, heads: Sequence[Head]) -> list[int]:
    """Return the indices of the heads, best first: by score, then margin, then (layer, head).

    Scores less than the greatest by a share of `EQUAL` at most tie with it, and so on with the
    greatest of the others.

    >>> scores = HeadScores(np.array([3.0, 4.0, 4.000001]), np.array([0.9, 0.2, 0.1]))
    >>> rank_heads(scores, [(0, 0), (0, 1), (1, 0)])
    [1, 2, 0]
    """
    values, which = np.unique(-scores.score, return_inverse=True)  # ascending: the best first
    groups, least, number = np.empty(len(values), np.int64), np.inf, 0
    for place, score in enumerate((-values).tolist()):
        if score < least:
            number, least = number + 1, score - EQUAL * abs(score)
        groups[place] = number
    layers, numbers = np.array(heads).T
    return np.lexsort((numbers, layers, -scores.margin, groups[which])).tolist()


class Best(NamedTuple):
    """The best heads by their indices, best first."""

    order: list[int]
    members: Array | None
    """`(heads, sets)` flags: which set has which head; None if there is one."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Heads by their indices, best first."""

    order: list[int]
    sets: list[list[int]]
    """The same by the scores of each set."""

    @classmethod
    def of(cls, scores: HeadScores, heads: Sequence[Head]) -> "Ranking":
        """Rank heads by `rank_heads`."""
        return cls(rank_heads(scores, heads), [rank_heads(part, heads) for part in scores.sets])

    def among(self, some: Collection[int]) -> "Ranking":
        """Return the ranking of some of the heads."""
        order, *sets = ([i for i in one if i in some] for one in (self.order, *self.sets))
        return Ranking(order, sets)

    def best(self, count: int) -> Best:
        """Return the `count` best heads; of several sets, those that are among the best of any.

        >>> Ranking([0, 1, 2, 3], [[0, 2, 1, 3], [3, 0, 1, 2]]).best(2)
        Best(order=[0, 2, 3], members=array([[ True,  True],
               [ True, False],
               [False,  True]]))
        """
        if not self.sets:
            return Best(self.order[:count], None)
        best = [set(of_set[:count]) for of_set in self.sets]
        order = [i for i in self.order if any(i in of_set for of_set in best)]
        return Best(order, np.array([[i in of_set for of_set in best] for i in order]))
