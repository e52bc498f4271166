"""Ranking metrics of scores: average precision, ROC-AUC, FPR at 95 % TPR and equal error rate.

None is a mean over examples, so each becomes one by its influence values (infinitesimal
jackknife: Jaeckel 1972; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982): with
weights w on the examples, all 1, unit i scores T + n dT/dw_i. Their mean is the metric T, since it
does not change when all weights are scaled, and their clustered standard error is that of T to
first order. For ROC-AUC these are DeLong's placements (Biometrics 44, 1988).
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.datasets.metrics.metrics import Classes, Units, balanced_accuracy, class_margin
from savs.foundation.arrays import Array

RANKED = ("average precision", "ROC-AUC", "FPR at 95 % TPR", "balanced accuracy")
"""What `ranking_metrics` returns, in this order."""
TPR = 0.95
"""Share of positive examples that the threshold of the false positive rate finds."""
FEWEST = 40
"""With fewer positive examples than this, its interval is too narrow, and a note says so."""
ROUNDING = 1e-9
"""A number of examples above a whole one by less is that."""


def roc_auc_units(scores: Array, positive: Array) -> Array:
    """Return values whose mean is the area under the ROC curve.

    The area is the share of pairs of a positive and a negative example whose positive one scores
    higher; equal scores count half.

    Parameters
    ----------
    scores
        `(n,)` float; infinite ones are allowed, NaN is not.
    positive
        `(n,)` bool, with both values.

    Returns
    -------
    array
        `(n,)` float64, not confined to 0 to 1.

    Examples
    --------
    >>> positive = np.array([True, True, False, False])
    >>> float(roc_auc_units(np.array([3.0, 1.0, 2.0, 0.0]), positive).mean())
    0.75
    """
    above, below = scores[positive], scores[~positive]
    placements = np.empty(len(scores))
    placements[positive] = _share_below(above, below)
    placements[~positive] = 1 - _share_below(below, above)
    area = float(placements[positive].mean())
    sizes = np.where(positive, len(above), len(below))
    return area + len(scores) / sizes * (placements - area)


def _share_below(of: Array, among: Array) -> Array:
    """Return the share of `among` that is below each score, equal ones counted half."""
    ordered = np.sort(among)
    ranks = [np.searchsorted(ordered, of, side) for side in ("left", "right")]
    return (ranks[0] + ranks[1]) / (2 * len(among))


def average_precision_units(scores: Array, positive: Array) -> Array:
    """Return values whose mean is the average precision; arguments as of `roc_auc_units`.

    That is the mean, over positive examples, of the precision among all examples that score at
    least as high; equal scores are one step, as in scikit-learn.

    Examples
    --------
    The precisions at the two positive examples are 1/1 and 2/3:

    >>> positive = np.array([True, True, False, False])
    >>> round(float(average_precision_units(np.array([3.0, 1.0, 2.0, 0.0]), positive).mean()), 6)
    0.833333
    """
    steps = PrecisionSteps.of(scores[positive])
    place = steps.places(scores)
    steps.count(place, positive)
    average, if_negative, if_positive = steps.slopes()
    return average + len(scores) * np.where(positive, if_positive[place], if_negative[place])


def expected_precision(scores: Array, positive: Array) -> float:
    """Return the average precision to expect if examples had these scores in random order.

    The exact mean over all permutations of the finite scores; infinite ones, which mark skipped
    examples, stay. Without ties k positive ones of n expect ((k-1)/(n-1) (n - H_n) + H_n) / n, H_n
    the n-th harmonic number, which is more than their share k / n: each counts itself. Arguments
    as of `roc_auc_units`, but at least one example is positive.

    Examples
    --------
    >>> round(expected_precision(np.arange(100.0), np.arange(100) < 5), 4)
    0.0902
    """
    dealt = np.isfinite(scores)
    first = int((scores == np.inf).sum())  # negative ones that stay before all others
    n, hits = int(dealt.sum()), int(positive[dealt].sum())
    ordered = np.sort(-scores[dealt])
    # An example at a score that N reach, `first` less N of them dealt, is positive with hits / n;
    # if it is, each of the other dealt ones is with (hits - 1) / (n - 1).
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[:n]) + 1  # N of each tie
    sizes, others = np.diff(ends, prepend=0), (hits - 1) / max(n - 1, 1)
    total = float((sizes * (1 + (ends - 1) * others) / (first + ends)).sum()) * hits / max(n, 1)
    last = int(positive.sum()) - hits  # positive ones that stay after all others
    return (total + last * float(positive.mean())) / (hits + last)


def equal_error_units(scores: Array, positive: Array) -> Array:
    """Return values whose mean is the equal error rate; arguments as of `roc_auc_units`.

    That is the mean of two shares, of positive examples below a threshold and of negative ones that
    reach it, at the score where they differ least; the lowest one of several, as the ASVspoof
    challenges compute it. The threshold moves with the examples: by the densities of both classes
    there, which a Gaussian kernel with Silverman's width estimates.

    Examples
    --------
    At the threshold 2 one of three positive examples is below, and one of three negative ones not:

    >>> positive = np.array([True, True, True, False, False, False])
    >>> units = equal_error_units(np.array([4.0, 3.0, 1.0, 2.0, 0.5, 0.0]), positive)
    >>> round(float(units.mean()), 6)
    0.333333
    """
    levels = np.append(np.unique(scores), np.inf)
    above, below = (np.sort(scores[of]) for of in (positive, ~positive))
    missed = np.searchsorted(above, levels) / len(above)
    passed = 1 - np.searchsorted(below, levels) / len(below)
    best = int(np.abs(missed - passed).argmin())
    threshold = levels[best]
    dense, other = _density(above, threshold), _density(below, threshold)
    weight = other / (dense + other) if dense + other else 0.5  # of the positive class's share
    slopes = np.where(
        positive,
        weight / len(above) * ((scores < threshold) - missed[best]),
        (1 - weight) / len(below) * ((scores >= threshold) - passed[best]),
    )
    return (missed[best] + passed[best]) / 2 + len(scores) * slopes


def _density(scores: Array, at: float) -> float:
    """Return the density of finite scores, up to a constant; 0 if they are all equal."""
    finite = scores[np.isfinite(scores)]
    width = 1.06 * float(finite.std()) * len(finite) ** -0.2 if len(finite) else 0.0
    return float(np.exp(-(((finite - at) / width) ** 2) / 2).mean() / width) if width else 0.0


def false_positive_units(scores: Array, positive: Array) -> Array:
    """Return values whose mean is the FPR at 95 % TPR; arguments as of `roc_auc_units`.

    That is the share of negative examples that score at least as high as the greatest threshold
    that 95 % of the positive ones reach. Lower is better.

    A positive example moves the threshold, and so the rate by the slope of the ROC curve there,
    the ratio of the densities of both sides. It is taken between the thresholds that are two
    standard errors of the TPR apart from this one.

    Examples
    --------
    All positive examples are needed, and one of two negative ones scores higher than the last:

    >>> positive = np.array([True, True, False, False])
    >>> float(false_positive_units(np.array([3.0, 1.0, 2.0, 0.0]), positive).mean())
    0.5
    """
    above, below = np.sort(scores[positive])[::-1], np.sort(scores[~positive])
    count = len(above)
    needed = math.ceil(TPR * count - ROUNDING)

    def rate(place: int) -> float:
        return 1 - float(np.searchsorted(below, above[place])) / len(below)

    reach = math.ceil(2 * math.sqrt(TPR * (1 - TPR) * count))
    first, last = max(0, needed - 1 - reach), min(count - 1, needed - 1 + reach)
    slope = (rate(last) - rate(first)) * count / max(1, last - first)
    threshold, value = above[needed - 1], rate(needed - 1)
    reached = scores >= threshold
    apart = np.where(
        positive,
        slope * (float((above >= threshold).mean()) - reached) / count,
        (reached - value) / len(below),
    )
    return value + len(scores) * apart


@dataclass(slots=True)
class PrecisionSteps:
    """The steps of average precision: the scores of positive examples.

    Only there does it change, so that negative examples need not be sorted. Examples may be counted
    part by part.
    """

    levels: Array
    """`(levels,)` scores of positive examples, ascending."""
    examples: Array
    """`(1 + levels,)` number of those whose place is one less; the first is below all levels."""
    hits: Array
    """`(1 + levels,)` number of positive ones, in the same order."""

    @classmethod
    def of(cls, positive_scores: Array) -> "PrecisionSteps":
        """Return the steps at these scores, with no example counted yet."""
        levels = np.unique(positive_scores)
        return cls(levels, *np.zeros((2, len(levels) + 1), np.int64))

    def places(self, scores: Array) -> Array:
        """Return the number of levels that each score reaches."""
        return np.searchsorted(self.levels, scores, side="right")

    def count(self, places: Array, positive: Array) -> None:
        """Count examples with their places and whether they are positive."""
        length = len(self.examples)
        self.examples += np.bincount(places, minlength=length)
        self.hits += np.bincount(places[positive], minlength=length)

    def slopes(self) -> tuple[float, Array, Array]:
        """Return the average precision, and how it changes with the weight of an example.

        Of the examples that were counted; `(1 + levels,)` by place, of negative and of positive
        ones.
        """
        # One more example at a score changes the precision of every positive one at or below it.
        hits_from, all_from = (np.cumsum(n[::-1])[::-1] for n in (self.hits, self.examples))
        precision, count = hits_from / all_from, self.hits.sum()
        average = float((self.hits * precision).sum() / count)
        if_negative = -np.cumsum(self.hits * hits_from / all_from**2)
        if_positive = if_negative + np.cumsum(self.hits / all_from) + precision - average
        return average, if_negative / count, if_positive / count


def ranking_metrics(
    predictions: pl.DataFrame, classes: Classes, positive: str, of: str = ""
) -> list[Units]:
    """Return the metrics `RANKED` of a two-class task.

    Examples are ranked by the margin of the positive class. A skipped example, or one without a
    finite score, gets the worst rank for its label.

    Empty if all labels are positive, or none is. Chance is `expected_precision` for average
    precision, 0.95 for the FPR, 0.5 for the others.

    Parameters
    ----------
    predictions
        One row per example with `votes` and the columns `SCORED`.
    classes
        The classes of each subtask.
    positive
        The class that examples are ranked by.
    of
        What the metrics' names end with; nothing for all examples.
    """
    ranked = _ranked(predictions, positive)
    if ranked is None:
        return []
    scores, is_positive = ranked
    precision, area, rate, balanced = (name + (f", {of}" if of else "") for name in RANKED)
    few = int(is_positive.sum())
    note = (
        f"{rate} rests on {few} positive examples: with fewer than {FEWEST} its interval is too"
        " narrow"
    )
    chance = expected_precision(scores, is_positive)
    notes = [note] if few < FEWEST else []
    return [
        _units(predictions, precision, average_precision_units(scores, is_positive), chance),
        _units(predictions, area, roc_auc_units(scores, is_positive), 0.5),
        _units(predictions, rate, false_positive_units(scores, is_positive), TPR, *notes),
        balanced_accuracy(predictions, classes, balanced),
    ]


def equal_error_rate(predictions: pl.DataFrame, positive: str, name: str) -> list[Units]:
    """Return the equal error rate of a two-class task; lower is better.

    Arguments, ranks of skipped examples, and an empty list as in `ranking_metrics`.
    """
    ranked = _ranked(predictions, positive)
    return [] if ranked is None else [_units(predictions, name, equal_error_units(*ranked), 0.5)]


def _ranked(predictions: pl.DataFrame, positive: str) -> tuple[Array, Array] | None:
    """Return scores by which examples are ranked, and which are positive; None if all or none."""
    is_positive = (predictions["label"] == positive).to_numpy()
    if is_positive.all() or not is_positive.any():
        return None
    scores = predictions.select(class_margin(positive).cast(pl.Float64)).to_series().to_numpy()
    worst = np.where(is_positive, -np.inf, np.inf)
    return np.where(np.isfinite(scores), scores, worst), is_positive


def _units(
    predictions: pl.DataFrame, name: str, values: Array, chance: float, *notes: str
) -> Units:
    scores = pl.DataFrame({"score": values, "cluster": predictions["cluster"], "stratum": "all"})
    return Units(name, scores, chance, notes=notes)
