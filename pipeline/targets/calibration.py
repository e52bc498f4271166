"""From the scores of left-out training examples: how sure a classifier is, and when not to answer.

* A temperature makes honest probabilities of scores (Guo et al., *On calibration of modern neural
  networks*, arXiv 1706.04599, section 4.2).
* Prediction sets have a chosen risk: P(truth outside the set) is at most that. The nonconformity of
  an example is 1 - p(its class), by a classifier that was not fitted on it. A set holds each class
  whose nonconformity is at most the ceil((n + 1)(1 - risk))-th smallest of n left-out training
  examples. Where these are pooled over folds this is cross-conformal prediction (Vovk, arXiv
  1208.0806), which in practice is rather too careful than too bold.
* Typicality is how much an example is like any of the training ones, by the chosen heads.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.heads.centroids import class_centroids, few_threads, normalise
from savs.pipeline.readouts import ClassScores, Fitted, Readout
from savs.pipeline.readouts.heads_fit import HeadsFit, softmax
from savs.pipeline.targets.tasks import Decision, TrainingTask

NONCONFORMITY = "nonconformity"
CENTROIDS = "centroids"
"""The class means, an array of the calibration where the fit has none."""
AXES = ("heads", "classes", "width")
LEAST = 2.0**-20
"""Added to probabilities before their logarithm is taken."""
ROUNDING = 2.0**-10
"""What rounding may add to a cosine."""
RANGE = (2.0**-20, 2.0**6)
"""Temperatures that are tried. At the upper end all classes are about as likely; the lower one is
for means of probabilities that hardly differ, as `lda` has them of narrow heads or of thousands of
examples."""
EQUAL = 2.0**-20
"""Probabilities that differ by at most this share, eight steps of float32, are equal."""
ENDS = 2.0**-24
"""Probabilities that differ by at most this are equal: 1 - p has no finer steps in float32."""
CLOSE = 1e-4
"""The search ends when the temperature is known up to this share."""
MOST = 2**21
"""Logits that the search looks at, examples x classes; of more, every n-th example."""
TOTAL = 1.01
"""Scores of an example that add up to more are votes; else they are probabilities."""
SHARE = 0.01
"""Share of the left-out training examples that are flagged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig(Decision):
    """The numbers of a calibration, as config.json has them."""

    kind: Literal["classes"] = "classes"  # pyrefly: ignore[bad-override]
    temperature: Annotated[float, Meta(ge=RANGE[0] / 2, le=RANGE[1] * 2)]
    """Divides the logits, log(score + `smoothing`)."""
    smoothing: Annotated[float, Meta(gt=0, le=1)]
    """Added to each score: of votes one that all classes share, of probabilities `LEAST`."""
    typical: Annotated[float, Meta(ge=-1 - ROUNDING, le=1 + ROUNDING)]
    """Typicality below which an example is flagged."""

    def array_axes(self, rule: Readout) -> dict[str, tuple[str, ...]]:
        """Return the axes of `nonconformity`, and of `centroids` where the fit has none."""
        axes: dict[str, tuple[str, ...]] = {NONCONFORMITY: ("examples",)}
        return axes if rule.has_centroids else axes | {CENTROIDS: AXES}

    def check_array(self, name: str, array: Array) -> None:
        """Raise ValueError unless nonconformity goes from 0 to 1, ascending."""
        is_rising = (array >= 0).all() and (array <= 1).all() and (array[1:] >= array[:-1]).all()
        if name == NONCONFORMITY and not is_rising:
            raise ValueError(f"{name}: expected numbers from 0 to 1, ascending")

    def with_arrays(self, arrays: Mapping[str, Array]) -> "Calibration":
        """Return the calibration."""
        return Calibration(
            temperature=self.temperature,
            smoothing=self.smoothing,
            typical=self.typical,
            nonconformity=arrays[NONCONFORMITY],
            centroids=arrays.get(CENTROIDS),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(CalibrationConfig):
    """How sure the classifier of a task is, by its predictions of left-out training examples."""

    nonconformity: Array
    """`(examples,)` float32, ascending: 1 - p(the right class) of each left-out example."""
    centroids: Array | None
    """`(heads, classes, d)` float32 class means; None if they are the directions of the fit."""

    def without_arrays(self) -> CalibrationConfig:
        """Return the numbers alone."""
        return CalibrationConfig(
            temperature=self.temperature, smoothing=self.smoothing, typical=self.typical
        )

    def probabilities(self, scores: ClassScores) -> Array:
        """Return `(n, classes)` float32 probabilities in the order of the scores."""
        return tempered(_logits(scores.scores, self.smoothing), self.temperature)

    def sets(self, probabilities: Array, risk: float) -> Array:
        """Return whether each class is in the prediction set, `(n, classes)`; see `in_set`."""
        return in_set(probabilities, self.nonconformity, risk)

    def typicality(self, features: Array, fitted: Fitted, scores: ClassScores) -> Array:
        """Return how much `(heads, n, d)` features are like those of any class, `(n,)`.

        `scores` are those that the readout gives them.
        """
        return typicality_of(features, self.centroids, fitted, scores)


def calibration_of(decision: Decision | None) -> Calibration | None:
    """Return the calibration that a decision is, or that it has; None without."""
    known = getattr(decision, "calibration", decision)
    return known if isinstance(known, Calibration) else None


def class_probabilities(scores: ClassScores, calibration: Calibration | None) -> Array:
    """Return `(n, classes)` float32 probabilities; without a calibration, shares of the scores.

    The shares of an example are NaN if a score is negative or all are 0, as a user's readout may
    have it.

    >>> votes = np.float32([[15, 5], [0, 20], [-1, 2]])
    >>> class_probabilities(ClassScores(votes, np.array([0, 1, 1]), votes), None).tolist()
    [[0.75, 0.25], [0.0, 1.0], [nan, nan]]
    """
    if calibration is not None:
        return calibration.probabilities(scores)
    values = scores.scores
    total = values.sum(axis=1, keepdims=True)
    are_shares = (values >= 0).all(axis=1, keepdims=True) & (total > 0)
    return np.where(are_shares, values / np.where(total > 0, total, 1), np.nan)


def calibrate_task(
    scores: Array,
    labels: Array,
    typical: Array,
    centroids: Array | None = None,
    seen: tuple[Array, Array] | None = None,
) -> Calibration | None:
    """Return the calibration that left-out training examples give; None if a score is negative.

    Negative scores are neither votes nor probabilities. `scores`, `(n, classes)`, and `typical`,
    `(n,)`, are by readouts, heads and centroids that were made without the example; `seen` are
    `(m, classes)` scores of examples that the readouts were fitted on: those of folds, and of all.

    A readout of all examples may be sharper or flatter than one of a fold: the logits of `lda`
    shrink as examples grow in number. How much so is seen on examples that each was fitted on, and
    the temperature of the whole is multiplied by it. Not of votes: few distinct values must stay
    those that the nonconformity has. Their number is made that of the whole: a head of `knn` casts
    fewer in a small fold.
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
        folds, whole = (_sharpness(_logits(part, smoothing)) for part in seen)
        temperature = float(np.clip(temperature * whole / folds, *RANGE)) if folds else temperature
    return Calibration(
        temperature=temperature,
        smoothing=smoothing,
        typical=float(np.quantile(typical, SHARE)),
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


def tempered(logits: Array, temperature: float) -> Array:
    """Return softmax(logits / temperature), `(n, classes)` float32.

    >>> tempered(np.log(np.float32([[1, 3]])), 0.5).round(3).tolist()
    [[0.10000000149011612, 0.8999999761581421]]
    """
    return softmax(logits.astype(np.float32) / np.float32(temperature))


def vote_temperature(votes: Sequence[Any], labels: Sequence[Any]) -> float | None:
    """Return the temperature of left-out examples' `votes`; None where no probabilities are there.

    `labels` are the classes by name; an example whose votes lack its class says nothing.

    >>> votes = [[{"class": "cat", "score": 0.9}, {"class": "dog", "score": 0.1}]] * 10
    >>> round(vote_temperature(votes, ["cat"] * 7 + ["dog"] * 3), 2)
    3.17
    """
    scores, places = [], []
    for of_example, label in zip(votes, labels, strict=True):
        names = [vote["class"] for vote in of_example or ()]
        if label in names and not are_counts(of_example):
            scores.append([vote["score"] for vote in of_example])
            places.append(names.index(label))
    if not scores or min(map(min, scores)) < 0:
        return None
    return fit_temperature(_logits(np.array(scores, np.float32), LEAST), np.array(places))


def vote_shares(
    votes: Sequence[Mapping[str, Any]], probability: float | None, temperature: float | None
) -> list[float]:
    """Return the probability of each class of an example's `votes`, in their order.

    `probability` is that of the first one, where it is known: classes that are not among the votes
    have the rest. Without a temperature they are the shares of the scores.

    >>> votes = [{"class": "cat", "score": 0.75}, {"class": "dog", "score": 0.25}]
    >>> [round(share, 3) for share in vote_shares(votes, None, 0.5)]
    [0.9, 0.1]
    >>> [round(share, 3) for share in vote_shares(votes, 0.45, 0.5)]
    [0.45, 0.05]
    """
    scores = np.array([vote["score"] for vote in votes], np.float32)
    if temperature is None or not len(votes):
        total = float(scores.sum()) if are_counts(votes) else 1.0
        return [float(score) / total for score in scores]
    shares = tempered(_logits(scores[None], LEAST), temperature)[0]
    whole = 1.0 if probability is None else probability / float(shares[0])
    return [float(share) * whole for share in shares]


def are_counts(votes: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the scores of an example are votes: else they are probabilities."""
    return sum(vote["score"] for vote in votes) > TOTAL


def fit_temperature(logits: Array, labels: Array) -> float:
    """Return the temperature at which `(n, classes)` logits of left-out examples are likeliest.

    The negative log-likelihood is convex in 1 / temperature, so the root of its slope is found by
    halving. The target is 1 - 1 / (n + 2) for the right class and the rest for the others (Platt,
    1999): where all n examples are right, a target of 1 would ask for a temperature of 0.

    >>> logits = np.log(np.float32([[0.9, 0.1]] * 10))
    >>> labels = np.array([0] * 7 + [1] * 3)  # .9 is right in .7, and targets say 2/3
    >>> round(fit_temperature(logits, labels), 2)
    3.17
    """
    step = -(-logits.size // MOST)
    centred = logits[::step].astype(np.float64)
    centred -= centred.max(axis=1, keepdims=True)
    wanted = _wanted(centred, labels[::step])
    low, high = (math.log(1 / end) for end in reversed(RANGE))
    while high - low > CLOSE:
        middle = (low + high) / 2
        if _slope(centred, wanted, math.exp(middle)) < 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def _wanted(logits: Array, labels: Array) -> float:
    """Return the sum of the logits, each weighted by its target."""
    n, classes = logits.shape
    rest = 1 / (n + 2) / (classes - 1)
    right = logits[np.arange(n), labels].sum()
    return float((1 - classes * rest) * right + rest * logits.sum())


def _slope(logits: Array, wanted: float, sharpness: float) -> float:
    """Return the derivative of the negative log-likelihood by 1 / temperature."""
    powers = np.exp(logits * sharpness)
    expected = (powers * logits).sum(axis=1) / powers.sum(axis=1)
    return float(expected.sum()) - wanted


def require_risk(risk: float) -> None:
    """Raise ParameterError unless a risk lies between 0 and 1."""
    if not 0 < risk < 1:
        raise ParameterError(f"`risk` is {risk}, expected a number between 0 and 1, such as 0.05")


def least_examples(risk: float) -> int:
    """Return the smallest number of left-out examples with which a set can lack a class.

    >>> least_examples(0.05), least_examples(0.1)
    (19, 9)
    """
    return math.ceil(1 / Fraction(str(risk))) - 1


def most_nonconformity(nonconformity: Array, risk: float) -> float:
    """Return the greatest nonconformity that a class in a set may have, of `(n,)` ascending ones.

    Infinity, so that all classes are in it, where the examples are fewer than `least_examples`.

    >>> scores = np.arange(1, 11) / 10
    >>> most_nonconformity(scores, 0.2), most_nonconformity(scores, 0.05)
    (0.9, inf)
    """
    require_risk(risk)
    place = math.ceil((len(nonconformity) + 1) * (1 - Fraction(str(risk))))
    return math.inf if place > len(nonconformity) else float(nonconformity[place - 1])


def in_set(probabilities: Array, nonconformity: Array, risk: float) -> Array:
    """Return whether each class is in the set of each example, `(n, classes)` -> the same shape.

    A probability that equals the least one but for rounding is in.
    """
    least = 1 - most_nonconformity(nonconformity, risk)
    if least == -math.inf:
        return np.ones(probabilities.shape, bool)
    # equal votes of other classes have the same probability but for the order of its sum
    return probabilities.astype(np.float64) >= least - (abs(least) * EQUAL + ENDS)


def centroids_of(rule: Readout, task: TrainingTask, features: Array) -> Array | None:
    """Return the class means of training features; None where the fit has them."""
    if rule.has_centroids:
        return None
    return class_centroids(features, task.labels, len(task.classes))


def typicality_of(
    features: Array, centroids: Array | None, fitted: Fitted, scores: ClassScores
) -> Array:
    """Return `typicality`; without centroids they are the directions of the fit.

    Of a vote the soft scores are the mean cosines with these, of neurons the mean closeness.
    """
    if centroids is None:
        if not isinstance(fitted, HeadsFit) or fitted.pool == "vote":
            return scores.soft.max(axis=1)
        centroids = fitted.directions
    return typicality(features, centroids)


def typicality(features: Array, centroids: Array) -> Array:
    """Return the greatest mean cosine over the heads to the centroids of one class, `(n,)` float32.

    An image that is like none of the classes gets votes all the same: something is nearest.
    `(heads, n, d)` features are compared with `(heads, classes, d)` centroids.

    >>> centroids = np.float32([[[1, 0], [0, 1]], [[1, 0], [0, 1]]])
    >>> typicality(np.float32([[[3, 0], [2, 0]], [[5, 0], [0, 7]]]), centroids).tolist()
    [1.0, 0.5]
    """
    heads, n, d = features.shape
    total = np.zeros((n, centroids.shape[1]), np.float32)
    with few_threads(n * centroids.shape[1] * d):
        for head, base in zip(features, normalise(centroids), strict=True):
            total += normalise(head) @ base.T
    return total.max(axis=1) / np.float32(heads)
