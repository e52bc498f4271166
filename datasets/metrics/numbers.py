"""Metrics of predicted numbers: errors, the variance explained, rank correlations, kappa.

Only the mean absolute error and the coverage of intervals are means over examples. The units of the
others are influence values, see `ranking.py`: the metric plus n times its derivative by the weight
of the example.

Chance of an error is what the mean of the training numbers reaches, or their median for the mean
absolute error; a correlation without any knowledge is 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.datasets.metrics.metrics import Scale, Units
from savs.foundation.arrays import Array


@dataclass(frozen=True, slots=True)
class NumberPredictions:
    """Numbers of examples, and what was predicted of them; all arrays are `(n,)`."""

    truth: Array
    value: Array
    level: Array | None
    """The levels next to these; None of a regression."""
    levels: tuple[float, ...]
    """All levels of the training examples; empty of a regression."""
    inside: Array | None
    """1 if the truth lies in its interval, 0 if not, NaN if it has none; None without intervals."""


def number_metrics(
    predictions: NumberPredictions, cluster: pl.Series, mean: float, median: float, coverage: float
) -> list[Units]:
    """Return MAE, RMSE, R2 and Spearman's rho; with levels Kendall's tau-b and quadratic kappa.

    And the share of the numbers that lie in their intervals, if there are any. R2 compares with the
    mean of these numbers, and is left out where they are all equal; so are correlations and kappa
    where all numbers, or all predictions, are.

    Parameters
    ----------
    predictions
        At least one example.
    cluster
        The cluster of each example.
    mean, median
        Of the training numbers, for the chance.
    coverage
        That intervals are made for.
    """
    metrics = list(_metrics(predictions, mean, median, coverage))
    wanted = {"R2", "Spearman's rho", *(() if predictions.level is None else ("quadratic kappa",))}
    absent = wanted - {name for name, *_ in metrics}
    note = "all numbers, or all predictions, are equal: some metrics have no value"
    units = []
    for name, values, chance, scale in metrics:
        scores = pl.DataFrame({"score": values, "cluster": cluster, "stratum": "all"})
        if scale == "share":  # the coverage is that of the examples with an interval
            scores = scores.filter(pl.col("score").is_not_nan())
        notes = (note,) if absent and name == "MAE" else ()
        units.append(Units(name, scores, chance, notes=notes, scale=scale))
    return units


def _metrics(
    predictions: NumberPredictions, mean: float, median: float, coverage: float
) -> Iterator[tuple[str, Array, float, Scale]]:
    truth, value = predictions.truth, predictions.value
    squares, by_mean = np.square(truth - value), np.square(truth - mean)
    yield "MAE", np.abs(truth - value), float(np.abs(truth - median).mean()), "error"
    yield "RMSE", root_units(squares), float(np.sqrt(by_mean.mean())), "error"
    varies = bool((truth != truth[0]).any())
    if varies:
        chance = float(1 - by_mean.mean() / truth.var())
        yield "R2", explained_units(truth, value), chance, "fit"
    if varies and (value != value[0]).any():
        yield "Spearman's rho", spearman_units(truth, value), 0.0, "correlation"
        if predictions.level is not None:
            yield "Kendall's tau-b", kendall_units(truth, value), 0.0, "correlation"
    if (
        varies
        and predictions.level is not None
        and (predictions.level != predictions.level[0]).any()
    ):
        units = kappa_units(truth, predictions.level, predictions.levels)
        yield "quadratic kappa", units, 0.0, "correlation"
    if predictions.inside is not None:
        yield "interval coverage", predictions.inside.astype(np.float64), coverage, "share"


def root_units(squares: Array) -> Array:
    """Return values whose mean is the root of the mean of `(n,)` squared errors."""
    mean = squares.mean()
    return np.sqrt(mean) + (squares - mean) / (2 * np.sqrt(mean or 1.0))


def explained_units(truth: Array, value: Array) -> Array:
    """Return values whose mean is R2, 1 - squared errors by those of the mean of the truth.

    >>> explained_units(np.array([1.0, 2, 3]), np.array([1.0, 2, 2])).tolist()
    [1.25, 0.5, -0.25]
    """
    errors, spread = np.square(truth - value), np.square(truth - truth.mean())
    left = errors.mean() / spread.mean()
    return 1 - left - (errors - left * spread) / spread.mean()


def spearman_units(truth: Array, value: Array) -> Array:
    """Return values whose mean is Spearman's rho: the correlation of ranks, mean ones of ties.

    An example counts by its own two ranks, and by moving the ranks of the others.
    """
    ranks = [_standard_ranks(numbers) for numbers in (truth, value)]
    (a, _), (b, _) = ranks
    rho = float((a * b).mean())
    units = rho + a * b - rho * (a**2 + b**2) / 2
    for numbers, (own_ranks, spread), other in ((truth, ranks[0], b), (value, ranks[1], a)):
        # one more example lifts all larger numbers by one rank, and equal ones by half of one
        units += _sums_above(numbers, other - rho * own_ranks) / spread
    return units


def _standard_ranks(numbers: Array) -> tuple[Array, float]:
    """Return mean ranks less their mean in standard deviations, and the standard deviation."""
    ordered = np.sort(numbers)
    below, upto = (np.searchsorted(ordered, numbers, side) for side in ("left", "right"))
    ranks = (below + upto) / 2
    return (ranks - ranks.mean()) / ranks.std(), float(ranks.std())


def _sums_above(numbers: Array, values: Array) -> Array:
    """Return the sum of the values of larger numbers, and half of those of equal ones."""
    level = np.unique(numbers, return_inverse=True)[1]
    of_level = np.bincount(level, values)
    return (of_level[::-1].cumsum()[::-1] - of_level / 2)[level]


def kendall_units(truth: Array, value: Array) -> Array:
    """Return values whose mean is Kendall's tau-b; fast where the truth has few levels."""
    n, concordant = len(truth), np.zeros(len(truth))
    for level in np.unique(truth):
        of_level = np.sort(value[truth == level])
        below, upto = (np.searchsorted(of_level, value, side) for side in ("left", "right"))
        concordant += np.sign(truth - level) * (below + upto - len(of_level))
    differ = []
    for numbers in (truth, value):
        _, level, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        differ.append((n - counts[level]).astype(np.float64))
    pairs = [float(one.sum()) for one in differ]
    scale = np.sqrt(pairs[0] * pairs[1])
    tau = float(concordant.sum()) / scale
    shares = differ[0] / pairs[0] + differ[1] / pairs[1]
    return tau + n * (2 * concordant / scale - tau * shares)


def kappa_units(truth: Array, level: Array, levels: Sequence[float]) -> Array:
    """Return values whose mean is Cohen's kappa with quadratic weights, as scikit-learn's.

    The distance of two levels is that of their places among all levels: these, those of the truth
    and those predicted. A level that no test example has keeps its place.

    >>> round(float(kappa_units(np.array([1, 2, 5]), np.array([1, 1, 5]), [3, 4]).mean()), 4)
    0.9492
    """
    known = np.unique(np.concatenate([truth, level, levels]))
    a, b = (np.searchsorted(known, one).astype(np.float64) for one in (truth, level))
    apart = np.square(a - b)
    # to chance, each truth is compared with all predictions, and the other way round
    by_chance = a**2 - 2 * a * b.mean() + b**2 - 2 * b * a.mean() + (a**2 + b**2).mean()
    expected = float(by_chance.mean() / 2)
    left = float(apart.mean()) / expected
    return 1 - left - (apart - apart.mean() - left * (by_chance - 2 * expected)) / expected
