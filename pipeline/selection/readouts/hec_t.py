"""`hec-t`: each head compares the image with the classes as texts, probabilities averaged.

Source: HEC-T, arXiv 2603.24181. With unit features x and class texts t_c of a head, the logit of
class c is -|x - t_c|^2 / 2; heads are ranked by the mean probability of the right class.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import few_threads, normalise
from savs.pipeline.selection.heads.head_scores import HeadScores
from savs.pipeline.selection.readouts.readout import (
    MeanOfProbabilities,
    Readout,
    Widths,
    softmax,
)
from savs.pipeline.selection.training_data import TEXTS, ClassTexts


@dataclass(frozen=True, slots=True)
class FittedHecT(MeanOfProbabilities):
    """The class texts of the chosen heads."""

    tau: ClassVar[float] = 1.0
    directions: Array
    """`(heads, classes, d)` float32, of length 1 or 0."""
    offsets: Array = field(init=False, repr=False, compare=False)
    """|x|^2 is the same for all classes, so that a logit is x . t_c - |t_c|^2 / 2."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", -np.square(self.directions).sum(axis=2) / 2)


def fit(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> FittedHecT:
    """Take the class texts; training examples only chose the heads."""
    return FittedHecT(texts.directions)


def score_by_texts(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    scoring: str,
    texts: ClassTexts,
) -> HeadScores:
    """Score heads by the sum of the probabilities that they give to the right classes.

    Nothing is fitted to the examples, so that every scoring is the same.
    """
    score, margin = np.zeros((2, len(features)))
    for head, (true, best) in enumerate(_leads(features, labels, texts.directions)):
        score[head], margin[head] = true.sum(), (true - best).mean() if len(true) else 0.0
    return HeadScores(score, margin)


def _leads(features: Array, labels: Array, directions: Array) -> Iterator[tuple[Array, Array]]:
    """Yield, head by head, p of the right class and of the best other one, `(n,)` each."""
    rows = np.arange(len(labels))
    for images, texts in zip(features, directions, strict=True):
        with few_threads(images.size * len(texts)):
            logits = normalise(images) @ texts.T
        p = softmax((logits - np.square(texts).sum(axis=1) / 2).astype(np.float64))
        true = p[rows, labels]
        p[rows, labels] = -np.inf
        yield true, p.max(axis=1)


HEC_T = Readout(
    name="hec-t",
    summary="mean over heads of nearness to the classes as texts (HEC-T, arXiv 2603.24181)",
    fit=fit,
    load=FittedHecT,
    arrays={"directions": ("heads", "classes", "width")},
    score_heads=score_by_texts,
    texts=TEXTS,
    learns=False,
)
