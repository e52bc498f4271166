"""What the left-out training examples say of a classifier: how sure, and when not to answer."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.typicality import typical_threshold, typicality
from savs.pipeline.selection.prediction_sets import in_set
from savs.pipeline.selection.readouts import ClassScores, Fitted, Readout
from savs.pipeline.selection.readouts.vote import FittedVote
from savs.pipeline.selection.temperature import RANGE, fit_temperature, tempered

CENTROIDS = "centroids"
"""Array of a readout that are the class means; where it has none, the calibration keeps them."""
AXES = ("heads", "classes", "width")
LEAST = 2.0**-20
"""Added to probabilities before their logarithm is taken."""
ROUNDING = 2.0**-10
"""What rounding may add to a cosine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """The numbers of a calibration, as config.json has them."""

    temperature: Annotated[float, Meta(ge=RANGE[0] / 2, le=RANGE[1] * 2)]
    """Divides the logits, log(score + `smoothing`)."""
    smoothing: Annotated[float, Meta(gt=0, le=1)]
    """Added to each score: of votes one that all classes share, of probabilities `LEAST`."""
    typical: Annotated[float, Meta(ge=-1 - ROUNDING, le=1 + ROUNDING)]
    """Typicality below which an example is flagged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(CalibrationConfig):
    """How sure the classifier of a task is, by its predictions of left-out training examples."""

    nonconformity: Array
    """`(examples,)` float32, ascending: 1 - p(the right class) of each left-out example."""
    centroids: Array | None
    """`(heads, classes, d)` float32 class means; None where the readout has them."""

    def probabilities(self, found: ClassScores) -> Array:
        """Return `(n, classes)` float32 probabilities in the order of the scores."""
        return tempered(_logits(found.scores, self.smoothing), self.temperature)

    def sets(self, probabilities: Array, risk: float) -> Array:
        """Return whether each class is in the prediction set, `(n, classes)`; see `in_set`."""
        return in_set(probabilities, self.nonconformity, risk)

    def typicality(self, features: Array, fitted: Fitted, found: ClassScores) -> Array:
        """Return how much `(heads, n, d)` features are like those of any class, `(n,)`.

        `found` are the scores that the readout gives them.
        """
        own = self.centroids
        centroids = np.asarray(getattr(fitted, CENTROIDS)) if own is None else own
        return typicality_of(features, centroids, fitted, found)


def typicality_of(features: Array, centroids: Array, fitted: Fitted, found: ClassScores) -> Array:
    """Return `typicality`; a vote has the mean cosines already, as its soft scores."""
    is_vote = isinstance(fitted, FittedVote)
    return found.soft.max(axis=1) if is_vote else typicality(features, centroids)


def has_centroids(rule: Readout) -> bool:
    """Return whether a readout's fit has the class means."""
    return rule.arrays.get(CENTROIDS) == AXES


def calibrate_task(
    scores: Array,
    labels: Array,
    typical: Array,
    centroids: Array | None,
    seen: tuple[Array, Array] | None = None,
) -> Calibration | None:
    """Return the calibration that left-out training examples give.

    A readout of all examples may be sharper or flatter than one of a fold: the logits of `lda`
    shrink as examples grow in number. How much so is seen on examples that each was fitted on, and
    the temperature of the whole is multiplied by it. Not of votes: few distinct values must stay
    those that the nonconformity has. Their number is made that of the whole: a head of `knn` casts
    fewer in a small fold.

    None where a score is negative: then scores are neither votes nor probabilities.

    Parameters
    ----------
    scores
        `(n, classes)` of a readout that was fitted without the example.
    labels
        `(n,)` class numbers.
    typical
        `(n,)` typicality by heads and centroids that were made without the example.
    centroids
        As in `Calibration`.
    seen
        `(m, classes)` scores of examples that the readout was fitted on: of folds, and of all.
    """
    if (scores < 0).any():
        return None
    are_votes = bool((scores == np.round(scores)).all())
    smoothing = 1 / scores.shape[1] if are_votes else LEAST
    if seen is not None and are_votes:
        scores = _as_many(scores, seen[1])
    logits = _logits(scores, smoothing)
    temperature = fit_temperature(logits, labels)
    right = tempered(logits, temperature)[np.arange(len(labels)), labels]
    if seen is not None and not are_votes:
        folds, whole = (_sharpness(_logits(own, smoothing)) for own in seen)
        temperature = float(np.clip(temperature * whole / folds, *RANGE)) if folds else temperature
    return Calibration(
        temperature=temperature,
        smoothing=smoothing,
        typical=typical_threshold(typical),
        nonconformity=np.sort(np.float32(1) - right),
        centroids=centroids,
    )


def _as_many(votes: Array, whole: Array) -> Array:
    """Return votes as if each example had as many as those of `whole`, which have all the same."""
    cast, total = votes.sum(axis=1, keepdims=True), whole.sum(axis=1)
    is_fixed = bool((total == total[0]).all() and cast.all())
    return votes * (total[0] / cast) if is_fixed else votes


def _sharpness(logits: Array) -> float:
    """Return how far the greatest logit lies above the mean one, on average."""
    return float((logits.max(axis=1) - logits.mean(axis=1)).mean())


def _logits(scores: Array, smoothing: float) -> Array:
    return np.log(np.maximum(scores, 0).astype(np.float32) + np.float32(smoothing))
