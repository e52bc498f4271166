"""`posterior`: the mean over the chosen heads of each head's class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import class_centroids, normalise
from savs.pipeline.selection.readouts.readout import MeanOfProbabilities, Readout, Widths

TAU = 0.07
"""Temperature of the cosines. Source: CALM, arXiv 2602.07077."""


@dataclass(frozen=True, slots=True)
class FittedPosterior(MeanOfProbabilities):
    """The centroids that probabilities are taken from."""

    tau: ClassVar[float] = TAU
    centroids: Array
    """`(heads, classes, d)` float32."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", normalise(self.centroids) / np.float32(TAU))


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
