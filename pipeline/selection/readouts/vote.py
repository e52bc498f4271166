"""`vote`: every chosen head votes for its nearest class centroid, the majority wins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import (
    class_centroids,
    few_threads,
    first_of_best,
    normalise,
)
from savs.pipeline.selection.readouts.readout import ClassScores, MarginTerms, Readout, Widths


@dataclass(frozen=True, slots=True)
class FittedVote:
    """The centroids that the heads vote for."""

    centroids: Array
    """`(heads, classes, d)` float32, heads best first."""
    directions: Array = field(init=False, repr=False, compare=False)
    """The centroids, normalised."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", normalise(self.centroids))

    def scores(self, features: Array) -> ClassScores:
        """Count the heads' votes for each class; `elect` decides. `soft` is the mean cosine."""
        return next(self.nested(features, [len(self.centroids)]))

    def terms(self) -> MarginTerms:
        """Return the terms whose mean is the margin of two classes."""
        apart = self.directions[:, 1] - self.directions[:, 0]
        return MarginTerms(apart, np.zeros(len(apart), np.float32), is_bent=False)

    def nested(self, features: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
        """Yield the scores of the first heads alone, as many as each of `counts`, ascending."""
        n, (_, classes, d) = features.shape[1], self.centroids.shape
        votes = np.empty((counts[-1], n), np.int64)
        soft = np.zeros((n, classes), np.float32)
        with few_threads(n * classes * d):
            for head in range(counts[-1]):  # one at a time: with many classes a table is large
                table = normalise(features[head]) @ self.directions[head].T
                votes[head] = first_of_best(table)
                soft += table
                if head + 1 in counts:
                    tally = count_votes(votes[: head + 1], classes)
                    choice = elect(tally, votes[: head + 1])
                    yield ClassScores(tally, choice, soft / np.float32(head + 1))


def count_votes(votes: Array, classes: int) -> Array:
    """Return how many heads vote for each class, `(heads, n)` -> `(n, classes)` float32."""
    n = votes.shape[1]
    cells = (votes + classes * np.arange(n)).ravel()
    return np.bincount(cells, minlength=n * classes).reshape(n, classes).astype(np.float32)


def elect(counts: Array, votes: Array) -> Array:
    """Return the class with the most votes; of equal counts that of the best-ranked head.

    `(n, classes)` counts of `(heads, n)` votes, heads best first, give `(n,)` class numbers. This
    is the order of `Counter.most_common`, which the public reference relies on. The program of a
    bundle, which knows no `savs`, has the rule too (`classifying/bundle/files/predict.py`).

    >>> elect(np.array([[0, 1, 1]]), np.array([[2], [1]]))
    array([2])
    """
    most = counts == counts.max(axis=1, keepdims=True)  # (n, classes)
    choice = most.argmax(axis=1)
    tied = np.flatnonzero(most.sum(axis=1) > 1)
    head = most[tied, votes[:, tied]].argmax(axis=0)  # the first that voted for such a class
    choice[tied] = votes[head, tied]
    return choice


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedVote:
    """Take each class's centroid in each chosen head."""
    return FittedVote(class_centroids(features, labels, len(classes)))


VOTE = Readout(
    name="vote",
    summary="nearest class centroid a head, majority over heads (SAVs, arXiv 2412.00142)",
    fit=fit,
    load=FittedVote,
    arrays={"centroids": ("heads", "classes", "width")},
)
