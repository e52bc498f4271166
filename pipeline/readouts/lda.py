"""`lda` and `hec-v`: each head's Gaussian discriminant with one shrunk covariance, averaged.

Source: HEC-V, arXiv 2603.24181. With unit features x, class means mu and the centred rows X of N
examples, S = X^T X / (N - 1) and P = d inv((N - 1) S + reg trace(S) I); the logit of class c is
-1/2 (x - mu_c)^T P (x - mu_c) + log prior_c. With x and mu_c measured from the mean m of the class
means, -1/2 (x - m)^T P (x - m) is the same for all classes, so a fit is linear: weights
P (mu_c - m), and a bias. Features that differ little make P large, and P mu_c all rounding.

Classes of unequal numbers n_c need two things that the source has not:

* Its prior, n_c / N, counts in full in each head, while an average of probabilities collects no
  evidence: heads that are unsure each name the largest class, and so does their mean. It does not
  shrink with P, either, whose entries fall as 1 / N. `lda` has equal priors.
* A mean of n_c examples is off by tr(P Sigma) / n_c in the square, and its class looks that much
  further away (Moran and Murphy, Applied Statistics 28, 1979). `lda` takes it off the square, so
  that half of it goes to the logit. The trace is measured on left-out examples: r being an example
  less its class's mean, r^T P_-i r is d h / (1 - h n_c / (n_c - 1)) with
  h = r^T inv((N - 1) S + reg trace(S) I) r; their sum over N - classes estimates it. (The ridge is
  not fitted again.)

`hec-v` is the source as it is. Where classes are equal in number both are the same, bit by bit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import TIE, class_centroids, few_threads, normalise, row_blocks
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.pipeline.heads.head_scores import HeadScores, require_pairs
from savs.pipeline.readouts.heads_fit import HeadsFit, softmax
from savs.pipeline.readouts.readout import Readout, Widths

TAU = 10.0
"""Temperature of the logits."""
SHRINKAGE = 1.0
"""`reg`: how much of the covariance's trace is added to its diagonal."""
BLOCK = 2**22
"""Values of features, or probabilities, that are in work at a time: 32 MB in float64."""


def fit(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    *,
    as_published: bool = False,
) -> HeadsFit:
    """Fit each head's discriminant, with equal priors and no advantage for a larger class.

    `as_published` instead takes the shares of the training examples as priors.
    """
    heads, n, d = features.shape
    weights = np.empty((heads, len(classes), d), np.float32)
    bias = np.empty((heads, len(classes)), np.float32)

    def regularise(some: slice, centred: Array) -> tuple[Array, Array]:
        ridges = SHRINKAGE * np.square(centred).sum(axis=(1, 2)) / max(n - 1, 1)
        return ridges, np.asarray(widths[some], np.float64)

    with few_threads(n * d * min(n, d)):
        for some in row_blocks(heads, n * d, BLOCK):
            weights[some], bias[some] = discriminants(
                normalise(features[some]),
                labels,
                len(classes),
                partial(regularise, some),
                as_published=as_published,
            )
    return of_weights(weights, bias)


def of_weights(weights: Array, bias: Array) -> HeadsFit:
    """Return the fit of `(heads, classes, d)` weights and `(heads, classes)` biases, float32.

    A logit is a product with a unit feature, so its rounding grows with the weights. Two logits
    that tie have probabilities of at most a half, so twice p (1 - p) covers them.
    """
    lengths = [np.linalg.norm(head, axis=1).max() for head in weights]
    rounding = np.float32(TIE / TAU) * np.array(lengths, np.float32)
    tau = np.float32(TAU)
    return HeadsFit.of("mean", weights / tau, bias / tau, slack=0, steepness=2 * rounding)


def discriminants(
    units: Array,
    labels: Array,
    classes: int,
    regularise: Callable[[Array], tuple[Array, Array]],
    *,
    as_published: bool = False,
) -> tuple[Array, Array]:
    """Return `(heads, classes, d)` weights and `(heads, classes)` biases, float64.

    `regularise` gets the `(heads, n, d)` centred rows X, and returns `(heads,)` ridges, 0 where
    nothing spreads, and factors: P = factor inv(X^T X + ridge I), and I without any spread.
    """
    means = class_centroids(units, labels, classes).astype(np.float64)  # (heads, classes, d)
    middle = means.mean(axis=1, keepdims=True)
    apart = means - middle
    centred = units.astype(np.float64) - means[:, labels]
    spread, factors = regularise(centred)
    ridge = np.where(spread > 0, spread, 1)[:, None, None]
    precise = factors[:, None, None] * inverse_times(centred, ridge, apart)
    precise[spread == 0] = apart[spread == 0]  # one example a class: nothing is known of the spread
    counts = np.bincount(labels, minlength=classes)
    if as_published:
        ahead = np.log(counts / len(labels))[None]
    else:
        ahead = np.log(np.full(classes, 1 / classes))[None]
        if (counts != counts[0]).any():
            sizes = counts[labels]
            h = np.vecdot(centred, inverse_times(centred, ridge, centred))  # 0 of an only example
            squares = (h / (1 - h * sizes / np.maximum(sizes - 1, 1))).sum(axis=1)
            trace = factors * squares / (len(labels) - classes)
            ahead = ahead + trace[:, None] / 2 * (1 / counts - 1 / counts.max())
    return precise, ahead - ((apart / 2 + middle) * precise).sum(axis=2)


def inverse_times(centred: Array, ridge: Array | float, rows: Array) -> Array:
    """Return inv(X^T X + ridge I) r for each row r, `(heads, rows, d)`, by the smaller system."""
    n, d = centred.shape[1:]
    across, columns = centred.swapaxes(1, 2), rows.swapaxes(1, 2)
    if n >= d:
        solved = np.linalg.solve(across @ centred + ridge * np.eye(d), columns)
    else:  # Woodbury's identity
        inner = np.linalg.solve(centred @ across + ridge * np.eye(n), centred @ columns)
        solved = (columns - across @ inner) / ridge
    return solved.swapaxes(1, 2)


def score_heads(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    scoring: str,
    *,
    as_published: bool = False,
) -> HeadScores:
    """Score heads by the sum of the probabilities that they give to the right classes.

    Margins are of logits, which still differ where probabilities are all nearly 1. With `loo` and
    `kfold` the discriminants are fitted without the examples that they score.
    """
    folds = _folds(labels, classes, scoring)
    score, margin = np.zeros(len(features)), np.zeros(len(features))
    for fold in np.unique(folds):
        out = folds == fold
        train = ~out if scoring != "resubstitution" else out
        rows = features[:, train]
        fitted = fit(rows, labels[train], classes, widths, as_published=as_published)
        for true, leads in _of_right_classes(fitted, features[:, out], labels[out]):
            score += true.sum(axis=1, dtype=np.float64)
            margin += leads.sum(axis=1, dtype=np.float64)
    return HeadScores(score, margin / len(labels))


def _of_right_classes(
    fitted: HeadsFit, features: Array, labels: Array
) -> Iterator[tuple[Array, Array]]:
    """Yield p of the right class, and by how much its logit leads, `(heads, rows)` in blocks."""
    heads, classes, d = fitted.directions.shape
    across = fitted.directions.swapaxes(1, 2)
    for rows in row_blocks(len(labels), heads * max(classes, d), BLOCK):
        own_class = labels[rows]
        with few_threads(len(own_class) * classes * d):
            logits = normalise(features[:, rows]) @ across
        logits += fitted.offsets[:, None]
        places = (slice(None), np.arange(len(own_class)), own_class)
        own_logits = logits[places]
        logits[places] = -np.inf
        leads = own_logits - logits.max(axis=2)
        logits[places] = own_logits
        yield softmax(logits)[places], leads


def _folds(labels: Array, classes: Sequence[str], scoring: str) -> Array:
    if scoring == "resubstitution":
        return np.zeros(len(labels), np.int64)
    require_pairs(labels, classes, {"loo": "leave-one-out", "kfold": "k-fold"}[scoring])
    return (
        np.arange(len(labels)) if scoring == "loo" else stratified_folds(labels, fold_count(labels))
    )


LDA = Readout(
    name="lda",
    summary="mean over heads of a shrunk linear discriminant's probabilities, equal priors",
    score_heads=score_heads,
    fit=fit,
    is_nested=True,
)
HEC_V = replace(
    LDA,
    name="hec-v",
    summary="the same with the priors of the training examples (HEC-V, arXiv 2603.24181)",
    score_heads=partial(score_heads, as_published=True),
    fit=partial(fit, as_published=True),
)
