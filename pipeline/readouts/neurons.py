"""`neurons`: single values of heads vote for the class whose mean is nearest.

Super Neurons (arXiv 2603.10781) are raw scalars of the language model that classify the probing
examples best, from the first layers on. What follows here is ours: the paper turns scalars into
classes by thresholds, and its text was not at hand. With two classes the nearest mean is a
threshold, halfway between the means; it serves any number of classes, and has no parameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import row_blocks
from savs.pipeline.heads.neurons import BLOCK, class_means, closeness, nearest_means, score_neurons
from savs.pipeline.readouts.heads_fit import ClassScores, count_votes, elect
from savs.pipeline.readouts.readout import Readout, Widths


@dataclass(frozen=True, slots=True)
class FittedNeurons:
    """The class means of each neuron."""

    centroids: Array
    """`(neurons, classes, 1)` float32, best neuron first."""

    def scores(self, features: Array) -> ClassScores:
        """Count the neurons whose nearest mean each class has, from `(neurons, n, 1)` values.

        Of classes whose means are equally near the first gets the vote, of equal counts the class
        of the best-ranked neuron wins. Soft scores are the mean closeness, see `closeness`.
        """
        n, classes = features.shape[1], self.centroids.shape[1]
        votes, total = np.empty((len(features), n), np.int64), np.zeros((n, classes))
        for some in row_blocks(len(features), n * classes, BLOCK):
            votes[some] = nearest_means(features[some], self.centroids[some])
            total += closeness(features[some], self.centroids[some]).sum(axis=0, dtype=np.float64)
        tally = count_votes(votes, classes)
        return ClassScores(tally, elect(tally, votes), (total / len(features)).astype(np.float32))


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedNeurons:
    """Take the class means of each chosen neuron."""
    return FittedNeurons(class_means(features, labels, len(classes)))


NEURONS = Readout(
    name="neurons",
    summary="nearest class mean a single value of a head, majority (after arXiv 2603.10781)",
    fit=fit,
    load=FittedNeurons,
    arrays={"centroids": ("heads", "classes", "width")},
    has_centroids=True,
    score_heads=score_neurons,
)
