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
"""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import few_threads, row_blocks
from savs.pipeline.selection.readouts.lda import BLOCK, inverse_times
from savs.pipeline.selection.readouts.linear import LINEAR, FittedLinear, by_head, side_by_side
from savs.pipeline.selection.readouts.readout import Readout, Widths

STRENGTHS = 10.0 ** np.arange(-3, 4)
"""Penalties that left-out examples choose from, in units of the mean squared length of an example's
features less their mean."""
TAU = 0.1
"""Temperature that makes probabilities of outputs, which lie between 0 and 1."""


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedLinear:
    """Fit with the best strength; of strengths that are equally good the greatest."""
    count = len(classes)
    rows = side_by_side(features).astype(np.float64)
    shares = 1 / (count * np.bincount(labels, minlength=count)[labels])  # they sum to 1
    middle = shares @ rows
    weighted = np.sqrt(shares)[:, None] * (rows - middle)
    unit = np.square(weighted).sum() or 1.0  # features that are all the same
    with few_threads(weighted.size * min(weighted.shape)):
        best, short = best_strength(weighted, shares, labels, unit * STRENGTHS)
        sums = np.zeros((count, rows.shape[1]))
        np.add.at(sums, labels, np.sqrt(shares)[:, None] * weighted)
        slopes = inverse_times(weighted[None], unit * STRENGTHS[best], sums[None])[0]
    level = 1 / count - slopes @ middle
    if (shares != shares[0]).any():
        level += short
    return by_head(slopes / TAU, level / TAU, len(features))


def best_strength(
    weighted: Array, shares: Array, labels: Array, strengths: Array
) -> tuple[int, Array]:
    """Return the index of the strength with the least left-out error, of equals the last.

    And by how much its outputs of left-out examples fall short of the targets, the mean for each
    class. `weighted` are `(n, features)` rows less their mean, each times the root of its share.
    """
    # (n, rank) orthonormal directions with their squared lengths, by the smaller Gram matrix
    n, d = weighted.shape
    if n <= d:
        squares, directions = np.linalg.eigh(weighted @ weighted.T)
    else:
        squares, axes = np.linalg.eigh(weighted.T @ weighted)
        directions = weighted @ axes / np.sqrt(np.where(squares > 0, squares, 1))
    kept = squares > squares[-1] * n * np.finfo(float).eps  # the others are rounding
    squares, directions = squares[kept], directions[:, kept]
    shrink = squares / (squares + strengths[:, None])  # (strengths, rank)
    left = 1 - shares - shrink @ np.square(directions).T  # 1 - H_ii; the mean is fitted, too
    classes = int(labels.max()) + 1
    errors, short = np.zeros(len(strengths)), np.zeros((len(strengths), classes))
    for some in row_blocks(classes, n, BLOCK // 4):
        numbers = np.arange(classes)[some]
        targets = np.sqrt(shares)[:, None] * ((labels[:, None] == numbers) - 1 / classes)
        along = directions.T @ targets
        for index, factors in enumerate(shrink):
            wrong = (targets - directions @ (factors[:, None] * along)) / left[index][:, None]
            errors[index] += np.square(wrong).sum()
            short[index, some] = np.sqrt(shares) @ wrong
    best = len(errors) - 1 - int(errors[::-1].argmin())
    return best, short[best]


RIDGE = Readout(
    name="ridge",
    summary="ridge regression to one-hot labels on the chosen heads side by side",
    fit=fit,
    load=FittedLinear,
    arrays=LINEAR,
)
