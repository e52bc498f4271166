"""`ridge`: ridge regression of one-hot labels on the chosen heads side by side.

Source: Hoerl and Kennard, doi 10.1080/00401706.1970.10488634; a class's target is 1 for its own
examples and 0 for others, and the greatest output wins, as in scikit-learn's `RidgeClassifier`.
The strength is the one with the least squared error on left-out examples, which need no fit of
their own: with hat matrix H an example's left-out error is its error / (1 - H_ii) (Allen's PRESS,
doi 10.1080/00401706.1974.10489157).

Plain least squares prefers large classes. Here an example of a class of n_c counts N / (classes
n_c), so that classes count alike, and, where they are not equal in number, a class's intercept is
such that its outputs of left-out examples have the mean 1 / classes, of classes that count alike:
an output of few examples shrinks more on new images than one of many. With equal classes nothing
changes.

Of numbers it is plain ridge regression, whose strength comes from folds that keep clusters whole:
`fit_numbers`. Heads are scored by the same on each alone.
"""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import LARGE, few_threads, normalise, row_blocks
from savs.pipeline.heads.folds import FOLDS, number_folds
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.readouts.heads_fit import HeadsFit
from savs.pipeline.readouts.lda import BLOCK
from savs.pipeline.readouts.linear import by_head, side_by_side
from savs.pipeline.readouts.readout import Readout, Widths

STRENGTHS = 10.0 ** np.arange(-3, 4)
"""Penalties that left-out examples choose from, in units of the mean squared length of an example's
features less their mean."""
NUMBER_STRENGTHS = 10.0 ** np.arange(-6, 2.5, 0.5)
"""Penalties of a regression, in units of the summed squared lengths of rows less their mean."""
TAU = 0.1
"""Temperature that makes probabilities of outputs, which lie between 0 and 1."""
TIE = 1e-9
"""Errors that differ by less, as a share, are equal: with one example of each class all are."""


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> HeadsFit:
    """Fit with the best strength; of strengths that are equally good the greatest."""
    count = len(classes)
    rows = side_by_side(features).astype(np.float64)
    shares = 1 / (count * np.bincount(labels, minlength=count)[labels])  # they sum to 1
    middle = shares @ rows
    weighted = np.sqrt(shares)[:, None] * (rows - middle)
    unit = np.square(weighted).sum()
    if unit <= len(features) * (len(rows) * np.finfo(float).eps) ** 2:
        weighted, unit = np.zeros_like(weighted), 1.0  # features that are all the same
    with few_threads(weighted.size * min(weighted.shape)):
        slopes, short = best_slopes(weighted, shares, labels, unit * STRENGTHS)
    level = 1 / count - slopes @ middle
    if (shares != shares[0]).any():
        level += short
    return by_head(slopes / TAU, level / TAU, len(features))


def best_slopes(
    weighted: Array, shares: Array, labels: Array, strengths: Array
) -> tuple[Array, Array]:
    """Return `(classes, features)` slopes of the strength with the least left-out error.

    And by how much its outputs of left-out examples fall short of the targets, the mean for each
    class. Of strengths whose errors tie the last counts. `weighted` are `(n, features)` rows less
    their mean, each times the root of its share. One decomposition serves all strengths.
    """
    # (n, rank) orthonormal directions with their squared lengths, by the smaller Gram matrix
    n, d = weighted.shape
    is_wide = n <= d
    squares, axes = np.linalg.eigh(weighted @ weighted.T if is_wide else weighted.T @ weighted)
    nonzero = squares > squares[-1] * n * np.finfo(float).eps  # the others are rounding
    squares, axes = squares[nonzero], axes[:, nonzero]
    if is_wide:
        directions, axes = axes, weighted.T @ axes / np.sqrt(squares)
    else:
        directions = weighted @ axes / np.sqrt(squares)
    shrink = squares / (squares + strengths[:, None])  # (strengths, rank)
    left = 1 - shares - shrink @ np.square(directions).T  # 1 - H_ii; the mean is fitted, too
    roots, classes = np.sqrt(shares), int(labels.max()) + 1
    along = np.zeros((len(squares), classes))  # directions.T @ targets: rows sum to 0
    np.add.at(along.T, labels, roots[:, None] * directions)
    errors = _left_out_errors(directions, along, shrink, left, roots, labels)
    best = int(np.flatnonzero(errors <= errors.min() * (1 + TIE))[-1])
    far = roots / left[best]
    short = np.bincount(labels, far * roots, classes) - far @ roots / classes
    short -= (far @ directions * shrink[best]) @ along
    return (axes @ (along * (shrink[best] / np.sqrt(squares))[:, None])).T, short


def _left_out_errors(
    directions: Array, along: Array, shrink: Array, left: Array, roots: Array, labels: Array
) -> Array:
    """Return the sum of squared left-out errors of each strength.

    An example's outputs p sum to 0, so its error is s (1 - 1 / classes) - 2 sqrt(s) p_y + |p|^2
    with share s and class y. The outputs are nearly all of the work; of many examples and classes
    they are in float32, whose rounding is lost in the sum.
    """
    errors, count = np.zeros(len(shrink)), along.shape[1]
    kind = np.float32 if directions.size * count >= LARGE else np.float64
    directions = directions.astype(kind)
    for index, factors in enumerate(shrink):
        shrunk = (factors[:, None] * along).astype(kind)
        for some in row_blocks(len(labels), count, BLOCK // 4):
            outputs, root = directions[some] @ shrunk, roots[some]
            right = outputs[np.arange(len(root)), labels[some]]
            squares = root**2 * (1 - 1 / count) - 2 * root * right + np.vecdot(outputs, outputs)
            errors[index] += (squares / left[index, some] ** 2).sum()
    return errors


def fit_numbers(features: Array, labels: Array, clusters: Array) -> HeadsFit:
    """Fit `(n,)` numbers with the strength that is best when folds are left out, the greatest."""
    rows = side_by_side(features).astype(np.float64)
    with few_threads(rows.size * min(rows.shape)):
        errors = np.square(labels - _left_out(rows, labels, clusters)[1:]).sum(axis=1)
        best = int(np.flatnonzero(errors <= errors.min() * (1 + TIE))[-1])
        slopes, middle = _number_slopes(rows, labels)
    slope = slopes[None, best]
    return by_head(slope, labels.mean() - slope @ middle, len(features))


def score_numbers(features: Array, labels: Array, clusters: Array) -> HeadScores:
    """Score heads by the share of the variance of left-out numbers that each alone explains.

    That share is counted in examples, as scores of classes are: n times 1 - the squared error by
    that of the mean. It is negative where a head is worse than the mean.
    """
    scores = np.zeros(len(features))
    with few_threads(features[0].size * min(features[0].shape)):
        for place, head in enumerate(features):
            rows = normalise(head).astype(np.float64)
            mean, *errors = np.square(labels - _left_out(rows, labels, clusters)).sum(axis=1)
            scores[place] = len(labels) * (1 - min(errors) / mean) if mean else 0
    return HeadScores(scores, np.zeros(len(features)))


def _left_out(rows: Array, labels: Array, clusters: Array) -> Array:
    """Return predictions of left-out examples, by the mean alone and with each strength."""
    folds = number_folds(labels, FOLDS, clusters)
    predictions = np.empty((1 + len(NUMBER_STRENGTHS), len(labels)))
    for fold in np.unique(folds):
        out = folds == fold
        slopes, middle = _number_slopes(rows[~out], labels[~out])
        predictions[0, out] = labels[~out].mean()
        predictions[1:, out] = predictions[0, out] + slopes @ (rows[out] - middle).T
    return predictions


def _number_slopes(rows: Array, labels: Array) -> tuple[Array, Array]:
    """Return `(strengths, d)` slopes of ridge regressions with a free mean, and the mean row."""
    middle = rows.mean(axis=0)
    centred, apart = rows - middle, labels - labels.mean()
    strengths = NUMBER_STRENGTHS[:, None] * (np.square(centred).sum() or 1.0)
    if len(rows) <= rows.shape[1]:  # the smaller Gram matrix has the same directions
        squares, axes = np.linalg.eigh(centred @ centred.T)
        shrunk = (axes.T @ apart) / (np.maximum(squares, 0) + strengths)
        return shrunk @ axes.T @ centred, middle
    squares, axes = np.linalg.eigh(centred.T @ centred)
    shrunk = (axes.T @ (centred.T @ apart)) / (np.maximum(squares, 0) + strengths)
    return shrunk @ axes.T, middle


RIDGE = Readout(
    name="ridge",
    summary="ridge regression to one-hot labels, or to numbers, on the chosen heads side by side",
    fit=fit,
    fit_numbers=fit_numbers,
)
