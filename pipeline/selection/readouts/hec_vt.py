"""`hec-vt`: the probabilities of `hec-t` and of `lda`, weighted and added.

Source: HEC-VT, arXiv 2603.24181. One set of heads serves both parts: those that give the right
classes most in both together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import TIE
from savs.pipeline.selection.heads.folds import best_setting
from savs.pipeline.selection.heads.head_scores import HeadScores
from savs.pipeline.selection.readouts import lda
from savs.pipeline.selection.readouts.hec_t import FittedHecT, score_by_texts
from savs.pipeline.selection.readouts.readout import (
    ClassScores,
    Readout,
    Widths,
    require_examples,
)
from savs.pipeline.selection.training_data import TEXTS, ClassTexts

ALPHAS = (1.0, 0.25, 0.5, 2.0, 4.0)
"""Weights of `lda` that cross-validation chooses from; of equals the first."""


@dataclass(frozen=True, slots=True)
class FittedHecVt:
    """Class texts and a linear discriminant of each chosen head."""

    directions: Array
    """`(heads, classes, d)` float32, as in `FittedHecT`."""
    weights: Array
    """`(heads, classes, d)` float32, as in `FittedLda`."""
    bias: Array
    """`(heads, classes)` float32."""
    alpha: Array
    """`(1,)` float32: weight of the discriminant's probabilities."""

    def scores(self, features: Array) -> ClassScores:
        """Return probabilities; of those that tie the first class wins."""
        by_text = FittedHecT(self.directions).scores(features).scores
        vision = lda.FittedLda(self.weights, self.bias)
        mean = self._mix(by_text, vision.scores(features).scores)

        def exactly(rows: Array) -> tuple[Array, Array]:
            by_vision, errors = vision.exactly(vision.logits(features, rows))
            of_text = by_text[rows].astype(np.float64)
            return self._mix(of_text, by_vision), self._mix(TIE * of_text, errors)

        heads = len(self.weights)
        choice = lda.first_of_close(mean, vision.closeness(heads) + TIE, heads, exactly)
        return ClassScores(mean, choice, mean)

    def _mix(self, by_text: Array, by_vision: Array) -> Array:
        return (by_text + self.alpha * by_vision) / (1 + self.alpha)


def fit(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> FittedHecVt:
    """Fit each head's discriminant, and take its class texts; both weigh the same."""
    require_examples(labels, "hec-vt")
    fitted = lda.fit(features, labels, classes, widths)
    alpha = np.array(ALPHAS[:1], np.float32)
    return FittedHecVt(texts.directions, fitted.weights, fitted.bias, alpha)


def fit_tuned(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> FittedHecVt:
    """Fit, with the weight that classifies left-out training examples best."""
    alphas = [np.array([alpha], np.float32) for alpha in ALPHAS]

    def choices(train: Array, out: Array) -> Array:
        part = fit(features[:, train], labels[train], classes, widths, texts)
        return np.stack([replace(part, alpha=a).scores(features[:, out]).choice for a in alphas])

    fitted = fit(features, labels, classes, widths, texts)
    return replace(fitted, alpha=alphas[best_setting(labels, len(ALPHAS), choices)])


def score_heads(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    scoring: str,
    texts: ClassTexts,
) -> HeadScores:
    """Score heads by the sum of both probabilities of the right classes."""
    require_examples(labels, "hec-vt")
    by_text = score_by_texts(features, labels, classes, widths, scoring, texts)
    by_vision = lda.score_heads(features, labels, classes, widths, scoring)
    margin = (by_text.margin + by_vision.margin) / 2
    return HeadScores(by_text.score + by_vision.score, margin)


HEC_VT = Readout(
    name="hec-vt",
    summary="hec-t and lda together (HEC-VT, arXiv 2603.24181)",
    fit=fit,
    load=FittedHecVt,
    arrays={
        "directions": ("heads", "classes", "width"),
        "weights": ("heads", "classes", "width"),
        "bias": ("heads", "classes"),
        "alpha": (1,),
    },
    score_heads=score_heads,
    texts=TEXTS,
)
HEC_VT_CV = replace(
    HEC_VT,
    name="hec-vt-cv",
    summary="the same, lda's weight chosen by cross-validation on the training examples",
    fit=fit_tuned,
)
