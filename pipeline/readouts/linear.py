"""One linear classifier on the chosen heads side by side, and `logistic`, its usual fit."""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import TIE, normalise
from savs.pipeline.readouts.heads_fit import HeadsFit
from savs.pipeline.readouts.readout import Readout, Widths

STRENGTH = 1.0
"""scikit-learn's C: the inverse of the penalty on squared weights."""


def side_by_side(features: Array) -> Array:
    """Return `(n, heads * d)` rows of `(heads, n, d)` features: each head normalised."""
    heads, n, d = features.shape
    return normalise(features).transpose(1, 0, 2).reshape(n, heads * d)


def by_head(rows: Array, bias: Array, heads: int) -> HeadsFit:
    """Return the classifier of `(classes, heads * d)` weights and the bias of each class.

    The first head has the bias as its offset. Heads side by side have the length sqrt(heads), and
    the rounding of their product with weights grows with both lengths: logits tie within `TIE` of
    these, of the longest weights.
    """
    directions = rows.reshape(len(rows), heads, -1).transpose(1, 0, 2).astype(np.float32)
    longest = np.sqrt(np.square(directions).sum(axis=(0, 2)).max())
    offsets = np.zeros(directions.shape[:2])
    offsets[0] = bias
    return HeadsFit.of("sum", directions, offsets, slack=TIE * longest / np.sqrt(heads))


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> HeadsFit:
    """Fit scikit-learn's `LogisticRegression` on features of unit length, head by head.

    Two classes make one row of weights there, and two here: the first class's logit is 0.
    """
    from sklearn.linear_model import LogisticRegression  # a second to import

    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(side_by_side(features), labels)
    weights, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(classes) == 2:
        weights, bias = np.stack([0 * weights[0], weights[0]]), np.array([0.0, bias[0]])
    return by_head(weights, bias, len(features))


LOGISTIC = Readout(
    name="logistic",
    summary="logistic regression on the chosen heads side by side (a linear probe)",
    fit=fit,
)
