"""`calm`: heads are weighted by their confidence in each class on held-out examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import class_centroids, leads, normalise
from savs.pipeline.selection.heads.head_scores import held_out_cosines
from savs.pipeline.selection.readouts.posterior import TAU
from savs.pipeline.selection.readouts.readout import (
    ClassScores,
    Readout,
    Widths,
    likeliest,
    softmax,
)


@dataclass(frozen=True, slots=True)
class FittedCalm:
    """Centroids, and a weight for each head and class."""

    centroids: Array
    """`(heads, classes, d)` float32."""
    weights: Array
    """`(heads, classes)` float32; over the heads they sum to 1."""
    directions: Array = field(init=False, repr=False, compare=False)
    """The centroids, normalised and divided by the temperature."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", normalise(self.centroids) / np.float32(TAU))

    def scores(self, features: Array) -> ClassScores:
        """Return weighted means of probabilities; `likeliest` chooses."""
        total = np.zeros((features.shape[1], self.weights.shape[1]), np.float32)
        for head, weights in enumerate(self.weights):  # one at a time: see `FittedVote`
            logits = normalise(features[head]) @ self.directions[head].T
            total += weights * softmax(logits)
        return ClassScores(total, likeliest(total, TAU), total)


def reliability(features: Array, labels: Array, classes: int) -> Array:
    """Return how sure each head is of each class: the mean of max(0, p_true - p_best_other).

    Each example is left out of its own class's centroid. Tied cosines count 0. `(heads, classes)`
    float64; 0 for a class with one example, which nothing is left of.
    """
    total = np.zeros((len(features), classes))
    for heads, rows, table in held_out_cosines(features, labels, classes):
        own, at = labels[rows], np.arange(table.shape[1])
        ahead = leads(table, own) > 0
        p = softmax(table / np.float32(TAU))
        true = p[:, at, own]
        p[:, at, own] = -np.inf
        sure = np.where(ahead, true - p.max(axis=2), 0)  # (heads, rows)
        np.add.at(total[heads].T, own, sure.T)
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 1, total / counts, 0.0)


def fit(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    shrinkage: float = 0.0,
) -> FittedCalm:
    """Take centroids, and weights from the training examples, each left out in turn.

    `shrinkage` is how many examples' worth of trust a head's mean over classes has:
    r n / (n + s) + mean(r) s / (n + s) with n examples of the class.
    """
    centroids = class_centroids(features, labels, len(classes))
    sure = reliability(features, labels, len(classes))
    counts = np.bincount(labels, minlength=len(classes))
    trust = counts / (counts + shrinkage)
    sure = sure * trust + sure.mean(axis=1, keepdims=True) * (1 - trust)
    sums = sure.sum(axis=0)
    weights = np.where(sums > 0, sure / np.where(sums > 0, sums, 1), 1 / len(features))
    return FittedCalm(centroids, weights.astype(np.float32))


CALM = Readout(
    name="calm",
    summary="probabilities weighted by head and class on left-out examples (arXiv 2602.07077)",
    fit=fit,
    load=FittedCalm,
    arrays={"centroids": ("heads", "classes", "width"), "weights": ("heads", "classes")},
)
