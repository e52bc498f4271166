"""`posterior`: the mean over the chosen heads of each head's class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import class_centroids, cosines
from savs.pipeline.readouts.probabilities import likeliest, softmax
from savs.pipeline.readouts.readout import ClassScores, Readout, Widths

TAU = 0.07
"""Temperature of the cosines. Source: CALM, arXiv 2602.07077."""


@dataclass(frozen=True, slots=True)
class FittedPosterior:
    """The centroids that probabilities are taken from."""

    centroids: Array
    """`(heads, classes, d)` float32."""

    def scores(self, features: Array) -> ClassScores:
        """Return mean probabilities; `likeliest` chooses."""
        heads, classes = self.centroids.shape[:2]
        total = np.zeros((features.shape[1], classes), np.float32)
        for head in range(heads):  # one at a time: with many classes a table is large
            total += softmax(cosines(features[head], self.centroids[head]), TAU)
        mean = total / heads
        return ClassScores(mean, likeliest(mean, TAU), mean)


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedPosterior:
    """Take each class's centroid in each chosen head."""
    return FittedPosterior(class_centroids(features, labels, len(classes)))


POSTERIOR = Readout(
    name="posterior",
    summary="mean over heads of softmax(cosine / 0.07) (CALM's posterior, arXiv 2602.07077)",
    fit=fit,
    load=FittedPosterior,
    arrays={"centroids": ("heads", "classes", "width")},
)
