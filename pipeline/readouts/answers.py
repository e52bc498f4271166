"""Readouts of the model's own answers: as they are, fitted to labels, and next to heads.

The features of `ANSWERS_HEAD` are the log-likelihoods a_c of the classes, each of its whole label.

    answers         a_c
    answers-fitted  s a_c + b_c: a scale s and an offset b_c for each class
    answers-lda     w log p_c + v a_c, p_c being the probability that `lda` gives by the heads

Scale and offsets, and the weights w and v, maximise the likelihood of the training labels with a
normal prior: on log s and on each b_c around 0, on w and v around `WEIGHTS`. Labels that the model
has never seen would else be followed without limit. For w and v the heads' p_c are those of
examples that were left out; where a class has one example, w and v are `WEIGHTS`.

An offset of unlabelled examples is the mean of a_c over them, taken off: batch calibration, Zhou et
al., arXiv 2309.17249. It assumes that classes are about equally frequent there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.readouts import lda
from savs.pipeline.readouts.heads_fit import ClassScores, HeadsFit
from savs.pipeline.readouts.readout import HEADS_FIT, Readout, Widths

ALONE, NEXT = "alone", "next to heads"
"""Whether a readout has the answers alone, or next to heads."""
SPREAD = 2.0
"""Standard deviation of the prior of an offset, in nats."""
SCALE_SPREAD = 1.0
"""That of the logarithm of the scale."""
WEIGHTS = (1.0, 1.0)
"""w and v before any label."""
WEIGHTS_SPREAD = (5.0, 1.0)
"""Their standard deviations: the mean of heads' probabilities is far flatter than one of them."""
LEAST = 2.0**-20
"""Added to probabilities before their logarithm is taken."""


def among_classes(log_likelihoods: Array) -> Array:
    """Return `(n, classes)` log-likelihoods as float32 probabilities of the classes alone."""
    powers = np.exp(log_likelihoods - log_likelihoods.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def answer_scores(logits: Array) -> ClassScores:
    """Return probabilities, the likeliest class, of equal ones the first, and the logits."""
    return ClassScores(among_classes(logits), logits.argmax(axis=1), logits)


@dataclass(frozen=True, slots=True)
class AnswersFit:
    """The model's own answers, scaled and moved."""

    scale: Array
    """`(1,)` float32."""
    offsets: Array
    """`(classes,)` float32, in nats."""

    @classmethod
    def of(cls, scale: float, offsets: Array) -> "AnswersFit":
        """Return the fit of a scale and of `(classes,)` offsets."""
        return cls(np.array([scale], np.float32), np.asarray(offsets, np.float32))

    def scores(self, features: Array) -> ClassScores:
        """Score the `(1, n, d)` answers."""
        answers = features[0, :, : len(self.offsets)]
        return answer_scores(answers * self.scale + self.offsets)


@dataclass(frozen=True, slots=True)
class AnswersAndHeadsFit:
    """The fit of heads, and the model's own answers, the last of the features."""

    directions: Array
    offsets: Array
    weights: Array
    ties: Array
    mix: Array
    """`(2,)` float32: w and v."""

    def scores(self, features: Array) -> ClassScores:
        """Score `(heads + 1, n, d)` features, the answers last."""
        fit = HeadsFit(
            "mean", self.directions[:-1], self.offsets[:-1], self.weights[:-1], self.ties[:-1]
        )
        of_heads = np.log(fit.scores(features[:-1]).scores + np.float32(LEAST))
        answers = features[-1, :, : of_heads.shape[1]]
        return answer_scores(self.mix[0] * of_heads + self.mix[1] * answers)


def score_answers(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Count the right ones of `(1, n, d)` answers; the margin is the mean lead of the label."""
    if not len(labels):
        return HeadScores(np.zeros(1), np.zeros(1))
    answers = features[:, :, : len(classes)].astype(np.float64)
    at_label = np.take_along_axis(answers, labels[None, :, None], axis=2)[..., 0]
    others = answers.copy()
    np.put_along_axis(others, labels[None, :, None], -np.inf, axis=2)
    right = (answers.argmax(axis=2) == labels).sum(axis=1)
    return HeadScores(right.astype(float), (at_label - others.max(axis=2)).mean(axis=1))


def as_they_are(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths
) -> AnswersFit:
    """Look at no label."""
    return AnswersFit.of(1, np.zeros(len(classes)))


def fitted(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> AnswersFit:
    """Fit the scale and the offsets."""
    answers = features[0, :, : len(classes)].astype(np.float64)
    answers -= answers.max(axis=1, keepdims=True)

    def loss(values: Array) -> tuple[float, Array]:
        scale, offsets = np.exp(values[0]), values[1:]
        cost, slope = _cross_entropy(scale * answers + offsets, labels)
        spreads = np.array([SCALE_SPREAD, *[SPREAD] * len(classes)])
        gradient = np.array([scale * (slope * answers).sum(), *slope.sum(axis=0)])
        return cost + np.square(values / spreads).sum() / 2, gradient + values / spreads**2

    best = _minimum(loss, np.zeros(1 + len(classes)))
    return AnswersFit.of(float(np.exp(best[0])), best[1:])


def fit_next_to_heads(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths
) -> AnswersAndHeadsFit:
    """Fit `lda` to the heads, and the weights to the labels of left-out examples."""
    heads, of_heads = features[:-1], widths[:-1]
    answers = features[-1, :, : len(classes)].astype(np.float64)
    answers -= answers.max(axis=1, keepdims=True)
    mix, folds = np.array(WEIGHTS), fold_count(labels)
    if folds > 1:
        part = stratified_folds(labels, folds)
        left_out = np.empty((len(labels), len(classes)))
        for fold in range(folds):
            out = part == fold
            fit = lda.fit(heads[:, ~out], labels[~out], classes, of_heads)
            left_out[out] = np.log(fit.scores(heads[:, out]).scores + LEAST)

        def loss(values: Array) -> tuple[float, Array]:
            cost, slope = _cross_entropy(values[0] * left_out + values[1] * answers, labels)
            away = (values - WEIGHTS) / WEIGHTS_SPREAD
            gradient = np.array([(slope * left_out).sum(), (slope * answers).sum()])
            return cost + np.square(away).sum() / 2, gradient + away / WEIGHTS_SPREAD

        mix = _minimum(loss, mix, bounds=[(0, None)] * 2)
    whole = lda.fit(heads, labels, classes, of_heads)
    width = features.shape[2]
    arrays = {name: getattr(whole, name) for name in HEADS_FIT}
    directions = np.zeros((len(features), len(classes), width), np.float32)
    directions[:-1, :, : arrays["directions"].shape[2]] = arrays["directions"]
    rest = {n: np.concatenate([a, np.zeros_like(a[:1])]) for n, a in arrays.items()}
    return AnswersAndHeadsFit(**{**rest, "directions": directions}, mix=mix.astype(np.float32))


def _cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Return the sum of -log p of the labels, and its slope in the `(n, classes)` logits."""
    rows = np.arange(len(labels))
    logits = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(logits)
    total = powers.sum(axis=1, keepdims=True)
    slope = powers / total
    slope[rows, labels] -= 1
    return float((np.log(total[:, 0]) - logits[rows, labels]).sum()), slope


def _minimum(loss: Callable[[Array], tuple[float, Array]], start: Array, **options: Any) -> Array:
    from scipy.optimize import minimize  # a third of a second to import

    return minimize(loss, start, jac=True, method="L-BFGS-B", **options).x


def _readout(name: str, summary: str, fit: Callable[..., Any], **others: Any) -> Readout:
    arrays = {"scale": (1,), "offsets": ("classes",)}
    given: dict[str, Any] = {"load": AnswersFit, "arrays": arrays, "answers": ALONE}
    return Readout(name=name, summary=summary, fit=fit, **given | others)


ANSWERS = _readout("answers", "the model's own answers, as they are", as_they_are, learns=False)
ANSWERS_FITTED = _readout(
    "answers-fitted", "the model's own answers, with a scale and offsets by labels", fitted
)
ANSWERS_LDA = _readout(
    "answers-lda",
    "lda of the heads and the model's own answers, with weights by labels",
    fit_next_to_heads,
    load=AnswersAndHeadsFit,
    arrays={**{n: ("heads", *a[1:]) for n, a in HEADS_FIT.items()}, "mix": (2,)},
    answers=NEXT,
    score_heads=lda.score_heads,
)
