"""`lda`: each head's Gaussian discriminant with one shrunk covariance, probabilities averaged.

Source: HEC-V, arXiv 2603.24181. With unit features x, class means mu and the centred rows X of N
examples, S = X^T X / (N - 1) and P = d inv((N - 1) S + reg trace(S) I); the logit of class c is
-1/2 (x - mu_c)^T P (x - mu_c) + log prior_c. With x and mu_c measured from the mean m of the class
means, -1/2 (x - m)^T P (x - m) is the same for all classes, so a fit is linear: weights
P (mu_c - m), and a bias. Features that differ little make P large, and P mu_c all rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import (
    class_centroids,
    few_threads,
    normalise,
    row_blocks,
)
from savs.pipeline.selection.heads.folds import fold_count, stratified_folds
from savs.pipeline.selection.heads.head_scores import HeadScores, require_pairs
from savs.pipeline.selection.readouts.readout import (
    MeanOfProbabilities,
    Readout,
    Widths,
    softmax,
)

TAU = 10.0
"""Temperature of the logits."""
TIE = 2.0**-13
"""Logits that differ by at most this, about 1e-4, are tied: in float32 those of ordinary features,
of some hundred, are off by a tenth of it."""
SHRINKAGE = 1.0
"""`reg`: how much of the covariance's trace is added to its diagonal."""
BLOCK = 2**22
"""Values of features, or probabilities, that are in work at a time: 32 MB in float64."""


@dataclass(frozen=True, slots=True)
class FittedLda(MeanOfProbabilities):
    """One linear discriminant per head."""

    tau: ClassVar[float] = TAU
    tie: ClassVar[float] = TIE
    weights: Array
    """`(heads, classes, d)` float32."""
    bias: Array
    """`(heads, classes)` float32."""
    offsets: Array = field(init=False, repr=False, compare=False)
    """The bias, divided by the temperature."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", self.weights / np.float32(TAU))
        object.__setattr__(self, "offsets", self.bias / np.float32(TAU))


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedLda:
    """Fit each head's discriminant."""
    heads, n, d = features.shape
    weights = np.empty((heads, len(classes), d), np.float32)
    bias = np.empty((heads, len(classes)), np.float32)
    with few_threads(n * d * min(n, d)):
        for some in row_blocks(heads, n * d, BLOCK):
            widths_of = np.asarray(widths[some], np.float64)
            weights[some], bias[some] = _discriminants(
                features[some], labels, len(classes), widths_of
            )
    return FittedLda(weights, bias)


def _discriminants(
    features: Array, labels: Array, classes: int, widths: Array
) -> tuple[Array, Array]:
    """Return the weights and the bias of some heads, in float64."""
    units = normalise(features)
    means = class_centroids(units, labels, classes).astype(np.float64)  # (heads, classes, d)
    middle = means.mean(axis=1, keepdims=True)
    apart = means - middle
    precise = _precision_times(units.astype(np.float64) - means[:, labels], apart, widths)
    prior = np.log(np.bincount(labels, minlength=classes) / len(labels))
    return precise, prior - ((apart / 2 + middle) * precise).sum(axis=2)


def _precision_times(centred: Array, means: Array, widths: Array) -> Array:
    """Return P m for each row m, `(heads, classes, d)`, by the smaller of two systems."""
    n, d = centred.shape[1:]
    spread = SHRINKAGE * np.square(centred).sum(axis=(1, 2)) / max(n - 1, 1)
    ridge = np.where(spread > 0, spread, 1)[:, None, None]
    across, rows = centred.swapaxes(1, 2), means.swapaxes(1, 2)
    if n >= d:
        solved = np.linalg.solve(across @ centred + ridge * np.eye(d), rows)
    else:  # Woodbury's identity
        inner = np.linalg.solve(centred @ across + ridge * np.eye(n), centred @ rows)
        solved = (rows - across @ inner) / ridge
    precise = widths[:, None, None] * solved.swapaxes(1, 2)
    precise[spread == 0] = means[spread == 0]  # one example a class: nothing is known of the spread
    return precise


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
        for true, best in _probabilities(fitted, features[:, out], labels[out]):
            score += true.sum(axis=1, dtype=np.float64)
            margin += (true - best).sum(axis=1, dtype=np.float64)
    return HeadScores(score, margin / len(labels))


def _probabilities(
    fitted: FittedLda, features: Array, labels: Array
) -> Iterator[tuple[Array, Array]]:
    """Yield p of the right class and of the best other one, `(heads, rows)`, block by block."""
    heads, classes, d = fitted.weights.shape
    across = fitted.directions.swapaxes(1, 2)
    for rows in row_blocks(len(labels), heads * max(classes, d), BLOCK):
        own = labels[rows]
        with few_threads(len(own) * classes * d):
            logits = normalise(features[:, rows]) @ across
        logits += fitted.offsets[:, None]
        places = (slice(None), np.arange(len(own)), own)
        p = softmax(logits)
        true = p[places]
        p[places] = -np.inf
        yield true, p.max(axis=2)


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
