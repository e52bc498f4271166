"""`logistic`: regularised logistic regression on the chosen heads side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import normalise
from savs.pipeline.selection.readouts.readout import (
    ClassScores,
    MarginTerms,
    Readout,
    Widths,
    softmax,
)

STRENGTH = 1.0
"""scikit-learn's C: the inverse of the penalty on squared weights."""


@dataclass(frozen=True, slots=True)
class FittedLogistic:
    """One linear classifier over all chosen heads."""

    weights: Array
    """`(heads, classes, d)` float32."""
    bias: Array
    """`(classes,)` float32."""

    def scores(self, features: Array) -> ClassScores:
        """Return probabilities; of equal ones the first class wins."""
        logits = np.zeros((features.shape[1], len(self.bias)), np.float32) + self.bias
        for head, weights in zip(features, self.weights, strict=True):
            logits += normalise(head) @ weights.T
        return ClassScores(softmax(logits.copy()), logits.argmax(axis=1), logits)

    def terms(self) -> MarginTerms:
        """Return what the margin of two classes is the mean of: its sum, and as many biases."""
        apart = (self.weights[:, 1] - self.weights[:, 0]) * np.float32(len(self.weights))
        bias = np.repeat(self.bias[1] - self.bias[0], len(apart))
        return MarginTerms(apart, bias, is_bent=False)


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedLogistic:
    """Fit scikit-learn's `LogisticRegression` on features of unit length, head by head.

    Two classes make one row of weights there, and two here: the first class's logit is 0.
    """
    from sklearn.linear_model import LogisticRegression  # a second to import

    heads, n, d = features.shape
    rows = normalise(features).transpose(1, 0, 2).reshape(n, heads * d)
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(rows, labels)
    weights, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(classes) == 2:
        weights, bias = np.stack([0 * weights[0], weights[0]]), np.array([0.0, bias[0]])
    shaped = weights.reshape(len(classes), heads, d).transpose(1, 0, 2)
    return FittedLogistic(shaped.astype(np.float32), bias.astype(np.float32))


LOGISTIC = Readout(
    name="logistic",
    summary="logistic regression on the chosen heads side by side (a linear probe)",
    fit=fit,
    load=FittedLogistic,
    arrays={"weights": ("heads", "classes", "width"), "bias": ("classes",)},
)
