"""`mahalanobis`: the class whose mean is nearest, by one covariance of all chosen heads together.

Source: Lee et al., arXiv 1807.03888: classes are Gaussians with their own means and one covariance,
the logit of class c is -1/2 (x - mu_c)^T inv(S) (x - mu_c). There S is the plain covariance of many
examples; here it is shrunk, (1 - s) S + s tr(S) / D I, with the s that Ledoit and Wolf estimate
(doi 10.1016/S0047-259X(03)00096-4), as scikit-learn does.

`lda` has the same Gaussians in each head alone, a fixed shrinkage, and a mean over heads of
probabilities. Here x are the heads side by side, so that heads that say the same count once.
Priors are equal, and classes of unequal size are corrected as in `lda`. The logits are divided by
the number of heads, which changes no class: of twenty heads, all probabilities would be 0 or 1.
"""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import few_threads
from savs.pipeline.readouts.heads_fit import HeadsFit
from savs.pipeline.readouts.lda import discriminants
from savs.pipeline.readouts.linear import by_head, side_by_side
from savs.pipeline.readouts.readout import Readout, Widths

LEAST = 2.0**-20
"""Least share of the shrunk covariance that either part has, so that it can be inverted."""


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> HeadsFit:
    """Take the class means and the covariance; with one example a class that is I."""
    rows, count = side_by_side(features)[None], len(classes)

    def regularise(centred: Array) -> tuple[Array, Array]:
        n, total = centred.shape[1], float(np.square(centred).sum())
        if not total:
            return np.zeros(1), np.ones(1)
        share = ledoit_wolf(centred[0], sum(widths))
        # inv((1 - s) S + s t I) = (N - classes) / (1 - s) inv(X^T X + ridge I)
        ridge = share / (1 - share) * total / sum(widths)
        return np.array([ridge]), np.array([(n - count) / (1 - share)])

    with few_threads(rows.size * min(rows.shape[1:])):
        weights, bias = discriminants(rows, labels, count, regularise)
    return by_head(weights[0] / len(features), bias[0] / len(features), len(features))


def ledoit_wolf(centred: Array, dimensions: int) -> float:
    """Return the share of tr(S) / D I in the shrunk covariance of `(n, D)` rows of mean 0.

    Columns beyond `dimensions` in all are padding, and zero. At least `LEAST`, at most 1 less it.
    """
    n = len(centred)
    gram = centred @ centred.T if n <= centred.shape[1] else centred.T @ centred
    size = np.square(gram / n).sum()  # of S, the same by either Gram matrix
    spread = size - (np.trace(gram) / n) ** 2 / dimensions
    noise = (np.square(np.square(centred).sum(axis=1)).sum() / n - size) / n
    share = noise / spread if spread > 0 else 1.0
    return float(np.clip(share, LEAST, 1 - LEAST))


MAHALANOBIS = Readout(
    name="mahalanobis",
    summary="nearest class mean by one shrunk covariance of all chosen heads (arXiv 1807.03888)",
    fit=fit,
)
