"""`vote`: every chosen head names its nearest class centroid, the majority decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import class_centroids, cosines, nearest_centroids
from savs.pipeline.heads.head_scores import SCORINGS, HeadScores
from savs.pipeline.readouts.readout import ClassScores, Readout


@dataclass(frozen=True, slots=True)
class FittedVote:
    """The centroids that the heads vote for."""

    centroids: Array
    """`(heads, classes, d)` float32, heads best first."""

    def scores(self, features: Array) -> ClassScores:
        """Count the heads' votes for each class.

        Of equal counts, the class wins that the best-ranked head voted for: the order of
        `Counter.most_common`, which the public reference relies on.
        """
        votes = nearest_centroids(features, self.centroids)  # (heads, n)
        n = votes.shape[1]
        rows = np.arange(n)
        counts = np.zeros((n, self.centroids.shape[1]), dtype=np.float32)
        for vote in votes:
            counts[rows, vote] += 1
        leads = counts == counts.max(axis=1, keepdims=True)  # (n, classes)
        best_head = leads[rows, votes].argmax(axis=0)  # (n,) first head that named a leader
        soft = np.zeros_like(counts)
        for head in range(len(votes)):  # one at a time: with many classes a table is large
            one = slice(head, head + 1)
            soft += cosines(features[one], self.centroids[one])[0]
        return ClassScores(counts, votes[best_head, rows], soft / len(votes))

    def arrays(self) -> Mapping[str, Array]:
        """Return the centroids."""
        return {"centroids": self.centroids}


def score_heads(features: Array, labels: Array, classes: Sequence[str], scoring: str) -> HeadScores:
    """Score heads by how many training examples their nearest centroid names rightly."""
    return SCORINGS[scoring](features, labels, classes)


def fit(features: Array, labels: Array, classes: Sequence[str]) -> FittedVote:
    """Take each class's centroid in each chosen head."""
    return FittedVote(class_centroids(features, labels, len(classes)))


VOTE = Readout(
    name="vote",
    summary="nearest class centroid a head, majority over heads (SAVs, arXiv 2412.00142)",
    score_heads=score_heads,
    fit=fit,
    load=lambda arrays: FittedVote(arrays["centroids"]),
)
