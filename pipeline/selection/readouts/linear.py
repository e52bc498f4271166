"""One linear classifier on the chosen heads side by side, and `logistic`, its usual fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import TIE, few_threads, normalise
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
class FittedLinear:
    """Weights over all chosen heads, each normalised."""

    weights: Array
    """`(heads, classes, d)` float32."""
    bias: Array
    """`(classes,)` float32."""

    def scores(self, features: Array) -> ClassScores:
        """Return probabilities; of logits that tie the first class wins. `soft` is the logit.

        Heads side by side have the length sqrt(heads), and the rounding of their product with
        weights grows with both lengths: logits tie within `TIE` of these, of the longest weights.
        """
        logits = np.zeros((features.shape[1], len(self.bias)), np.float32) + self.bias
        with few_threads(logits.size * features.shape[2]):
            for head, weights in zip(features, self.weights, strict=True):
                logits += normalise(head) @ weights.T
        longest = np.sqrt(np.square(self.weights).sum(axis=(0, 2)).max())
        tie = TIE * np.sqrt(len(self.weights)) * longest
        choice = (logits >= logits.max(axis=1, keepdims=True) - tie).argmax(axis=1)
        return ClassScores(softmax(logits.copy()), choice, logits)

    def terms(self) -> MarginTerms:
        """Return the terms whose mean is the margin of two classes: its summands, and biases."""
        apart = (self.weights[:, 1] - self.weights[:, 0]) * np.float32(len(self.weights))
        bias = np.repeat(self.bias[1] - self.bias[0], len(apart))
        return MarginTerms(apart, bias, is_bent=False)


LINEAR: dict[str, tuple[str | int, ...]] = {
    "weights": ("heads", "classes", "width"),
    "bias": ("classes",),
}
"""Axes of the arrays of a `FittedLinear`."""


def side_by_side(features: Array) -> Array:
    """Return `(n, heads * d)` rows of `(heads, n, d)` features: each head normalised."""
    heads, n, d = features.shape
    return normalise(features).transpose(1, 0, 2).reshape(n, heads * d)


def by_head(rows: Array, bias: Array, heads: int) -> FittedLinear:
    """Return the classifier of `(classes, heads * d)` weights and the bias of each class."""
    weights = rows.reshape(len(rows), heads, -1).transpose(1, 0, 2)
    return FittedLinear(weights.astype(np.float32), bias.astype(np.float32))


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
