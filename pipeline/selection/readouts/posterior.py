"""`posterior`: the mean over the chosen heads of each head's class probabilities."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import class_centroids, normalise
from savs.pipeline.selection.readouts.readout import (
    ClassScores,
    Readout,
    Widths,
    likeliest,
    mean_probabilities,
)

TAU = 0.07
"""Temperature of the cosines. Source: CALM, arXiv 2602.07077."""


@dataclass(frozen=True, slots=True)
class FittedPosterior:
    """The centroids that probabilities are taken from."""

    centroids: Array
    """`(heads, classes, d)` float32."""
    directions: Array = field(init=False, repr=False, compare=False)
    """The centroids, normalised and divided by the temperature."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", normalise(self.centroids) / np.float32(TAU))

    def scores(self, features: Array) -> ClassScores:
        """Return mean probabilities; `likeliest` chooses."""
        return next(self.nested(features, [len(self.centroids)]))

    def nested(self, features: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
        """Yield the scores of the first heads alone, as many as each of `counts`, ascending."""
        for mean in mean_probabilities(features, self.directions, None, counts):
            yield self.chosen(mean)

    def chosen(self, mean: Array) -> ClassScores:
        """Return the scores that `(n, classes)` mean probabilities are."""
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
