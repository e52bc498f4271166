"""Ranking metrics of a class's scores: average precision and ROC-AUC.

Neither is a mean over examples, so each becomes one by its influence values (infinitesimal
jackknife: Jaeckel 1972; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982): with
weights w on the examples, all 1, unit i scores T + n dT/dw_i. Their mean is the metric T, since it
does not change when all weights are scaled, and their clustered standard error is that of T to
first order. For ROC-AUC these are DeLong's placements (Biometrics 44, 1988).
"""

import numpy as np
import polars as pl

from savs.datasets.metrics.metrics import Classes, Units, balanced_accuracy, class_margin
from savs.foundation.arrays import Array

RANKED = ("average precision", "ROC-AUC", "balanced accuracy")
"""What `ranking_metrics` returns, in this order."""


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
    levels, level = np.unique(scores, return_inverse=True)  # ascending
    hits = np.bincount(level, weights=positive, minlength=len(levels))
    all_from = np.cumsum(np.bincount(level, minlength=len(levels))[::-1])[::-1]
    hits_from = np.cumsum(hits[::-1])[::-1]
    precision = hits_from / all_from
    count = hits.sum()
    average = float((hits * precision).sum() / count)
    # One more example at a score changes the precision of every positive one at or below it.
    if_negative = -np.cumsum(hits * hits_from / all_from**2)
    if_positive = if_negative + np.cumsum(hits / all_from) + precision - average
    slopes = np.where(positive, if_positive[level], if_negative[level]) / count
    return average + len(scores) * slopes


def ranking_metrics(
    predictions: pl.DataFrame, classes: Classes, positive: str, of: str = ""
) -> list[Units]:
    """Return average precision, ROC-AUC and balanced accuracy of a two-class task.

    Examples are ranked by the margin of the positive class. A skipped example, or one without a
    finite score, gets the worst rank for its label.

    Empty if all labels are positive, or none is. Chance is the share of positive examples for
    average precision, 0.5 for the others.

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
    is_positive = (predictions["label"] == positive).to_numpy()
    if is_positive.all() or not is_positive.any():
        return []
    scores = predictions.select(class_margin(positive).cast(pl.Float64)).to_series().to_numpy()
    worst = np.where(is_positive, -np.inf, np.inf)
    ranked = np.where(np.isfinite(scores), scores, worst)
    precision, area, balanced = (name + (f", {of}" if of else "") for name in RANKED)

    def units(name: str, values: Array, chance: float) -> Units:
        cluster = predictions["cluster"]
        scores = pl.DataFrame({"score": values, "cluster": cluster, "stratum": "all"})
        return Units(name, scores, chance)

    return [
        units(precision, average_precision_units(ranked, is_positive), float(is_positive.mean())),
        units(area, roc_auc_units(ranked, is_positive), 0.5),
        balanced_accuracy(predictions, classes, balanced),
    ]
