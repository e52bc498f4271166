"""`lda`: each head's Gaussian discriminant with one shrunk covariance, probabilities averaged.

Source: HEC-V, arXiv 2603.24181. With unit features x, class means mu and the centred rows X of N
examples, S = X^T X / (N - 1) and P = d inv((N - 1) S + reg trace(S) I); the logit of class c is
-1/2 (x - mu_c)^T P (x - mu_c) + log prior_c. With x and mu_c measured from the mean m of the class
means, -1/2 (x - m)^T P (x - m) is the same for all classes, so a fit is linear: weights
P (mu_c - m), and a bias. Features that differ little make P large, and P mu_c all rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import class_centroids, normalise
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.pipeline.heads.head_scores import HeadScores, require_pairs
from savs.pipeline.readouts.probabilities import softmax
from savs.pipeline.readouts.readout import ClassScores, Readout, Widths

TAU = 10.0
"""Temperature of the logits."""
SHRINKAGE = 1.0
"""`reg`: how much of the covariance's trace is added to its diagonal."""


@dataclass(frozen=True, slots=True)
class FittedLda:
    """One linear discriminant per head."""

    weights: Array
    """`(heads, classes, d)` float32."""
    bias: Array
    """`(heads, classes)` float32."""

    def scores(self, features: Array) -> ClassScores:
        """Return probabilities averaged over heads; of equal ones the first class wins."""
        mean = np.zeros((features.shape[1], self.bias.shape[1]), np.float32)
        for head, weights, bias in zip(features, self.weights, self.bias, strict=True):
            mean += softmax(normalise(head) @ weights.T + bias, TAU) / len(self.bias)
        return ClassScores(mean, mean.argmax(axis=1), mean)


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedLda:
    """Fit each head's discriminant."""
    counts = np.bincount(labels, minlength=len(classes))
    means = class_centroids(normalise(features), labels, len(classes))
    weights = np.empty_like(means)
    bias = np.empty(means.shape[:2], np.float32)
    for head, mean in enumerate(means.astype(np.float64)):
        centred = normalise(features[head]).astype(np.float64) - mean[labels]
        middle = mean.mean(axis=0)
        apart = mean - middle
        weights[head] = precise = _precision_times(centred, apart, widths[head])
        bias[head] = np.log(counts / len(labels)) - ((apart / 2 + middle) * precise).sum(axis=1)
    return FittedLda(weights, bias)


def _precision_times(centred: Array, means: Array, width: int) -> Array:
    """Return P m for each row m, `(classes, d)`, by the smaller of two systems of equations."""
    n, d = centred.shape
    ridge = SHRINKAGE * float((centred**2).sum()) / max(n - 1, 1)
    if ridge == 0:  # one example a class: nothing is known of the spread
        return means
    if n >= d:
        system = centred.T @ centred + ridge * np.eye(d)
        return width * np.linalg.solve(system, means.T).T
    gram = centred @ centred.T + ridge * np.eye(n)  # Woodbury's identity
    inner = np.linalg.solve(gram, centred @ means.T)
    return width * (means.T - centred.T @ inner).T / ridge


def score_heads(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, scoring: str
) -> HeadScores:
    """Score heads by the sum of the probabilities that they give to the right classes.

    With `loo` and `kfold` the discriminants are fitted without the examples that they score.
    """
    folds = _folds(labels, classes, scoring)
    score, margin = np.zeros(len(features)), np.zeros(len(features))
    for fold in np.unique(folds):
        out = folds == fold
        kept = ~out if scoring != "resubstitution" else out
        fitted = fit(features[:, kept], labels[kept], classes, widths)
        for head, (weights, bias) in enumerate(zip(fitted.weights, fitted.bias, strict=True)):
            p = softmax(normalise(features[head, out]) @ weights.T + bias, TAU)
            rows, own = np.arange(len(p)), labels[out]
            true = p[rows, own]
            p[rows, own] = -np.inf
            score[head] += true.sum(dtype=np.float64)
            margin[head] += (true - p.max(axis=1)).sum(dtype=np.float64)
    return HeadScores(score, margin / len(labels))


def _folds(labels: Array, classes: Sequence[str], scoring: str) -> Array:
    if scoring == "resubstitution":
        return np.zeros(len(labels), np.int64)
    require_pairs(labels, classes, {"loo": "leave-one-out", "kfold": "k-fold"}[scoring])
    return (
        np.arange(len(labels)) if scoring == "loo" else stratified_folds(labels, fold_count(labels))
    )


LDA = Readout(
    name="lda",
    summary="mean over heads of a shrunk linear discriminant's probabilities (arXiv 2603.24181)",
    score_heads=score_heads,
    fit=fit,
    load=FittedLda,
    arrays={"weights": ("heads", "classes", "width"), "bias": ("heads", "classes")},
)
