"""`logistic`: regularised logistic regression on the chosen heads side by side."""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.readouts.linear import LINEAR, FittedLinear, by_head, side_by_side
from savs.pipeline.selection.readouts.readout import Readout, Widths

STRENGTH = 1.0
"""scikit-learn's C: the inverse of the penalty on squared weights."""


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedLinear:
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
    load=FittedLinear,
    arrays=LINEAR,
)
