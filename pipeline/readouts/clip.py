"""Readouts of dual encoders: `clip`, which needs no training, and `tip-adapter`.

`clip` is the class whose text is nearest to the image. Source: Radford et al., CLIP, arXiv
2103.00020: a class's text is the normalised mean over templates of normalised texts.

`tip-adapter` adds a cache of the training examples. Source: Zhang et al., Tip-Adapter, arXiv
2111.03930, without training. With unit image features x, training examples F with one-hot labels L,
class texts T and the model's scale s, the logits are s x.T + alpha exp(-beta (1 - x.F)) L.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import TIE, few_threads, normalise
from savs.pipeline.heads.folds import best_setting
from savs.pipeline.readouts.heads_fit import ClassScores, HeadsFit, softmax
from savs.pipeline.readouts.hec import score_by_texts
from savs.pipeline.readouts.readout import (
    NAMES,
    TEXTS,
    ClassTexts,
    Readout,
    Widths,
    require_examples,
)

PLAIN = (1.0, 1.0)
"""alpha and beta, unless they are chosen."""
GRID = (PLAIN, *product((0.3, 1.0, 3.0, 10.0, 30.0), (1.0, 3.0, 5.5, 10.0, 20.0)))
"""alphas and betas that cross-validation chooses from; of equals the first."""
BLOCK = 4096
"""Images whose cosines with the cache are in memory at a time."""


def fit_texts(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> HeadsFit:
    """Take the class texts; training examples are not looked at."""
    scale = model_scale(texts, "clip")
    return HeadsFit.of("sum", texts.directions, weights=scale, slack=TIE * scale)


def model_scale(texts: ClassTexts, readout: str) -> float:
    """Return the model's scale of cosines; SelectionError if it is not a dual encoder."""
    if texts.scale is None or len(texts.directions) != 1:
        raise SelectionError(
            f"readout {readout!r} needs the store of a dual encoder (CLIP, SigLIP), with one head"
            f" and a logit scale; this one has {len(texts.directions)} heads chosen and the scale"
            f" {texts.scale}: use hec-t"
        )
    return texts.scale


CLIP = Readout(
    name="clip",
    summary="nearest class text, no training (a dual encoder's zero-shot, arXiv 2103.00020)",
    fit=fit_texts,
    score_heads=score_by_texts,
    texts=TEXTS,
    learns=False,
)
CLIP_NAMES = replace(
    CLIP,
    name="clip-names",
    summary="the same with the classes' names alone, without templates",
    texts=NAMES,
)


@dataclass(frozen=True, slots=True)
class FittedTipAdapter:
    """Class texts, training examples, and how the two are weighted."""

    directions: Array
    """`(1, classes, d)` float32 of length 1."""
    cache: Array
    """`(1, examples, d)` float32 of length 1."""
    labels: Array
    """`(examples,)` int64."""
    settings: Array
    """`(3,)` float32: the model's scale, alpha and beta."""

    def scores(self, features: Array) -> ClassScores:
        """Return probabilities; of logits that tie the first class wins. `soft` is the logit.

        Cosines that differ by `TIE` are tied, and they change s x.T by s `TIE`, and the cache's
        part of a class by at most alpha beta `TIE` times that part without alpha. A sum of as many
        examples is rounded, too.
        """
        images, classes = normalise(features[0]), len(self.directions[0])
        one_hot = np.eye(classes, dtype=np.float32)[self.labels]
        scale, alpha, beta = self.settings
        logits = np.empty((len(images), classes), np.float32)
        tie = np.empty((len(images), 1), np.float32)
        for start in range(0, len(images), BLOCK):
            some = images[start : start + BLOCK]
            with few_threads(some.size * len(one_hot)):
                near = np.exp(-beta * (1 - some @ self.cache[0].T)) @ one_hot
                logits[start : start + BLOCK] = scale * (some @ self.directions[0].T) + alpha * near
            most = near.max(axis=1, keepdims=True)
            tie[start : start + BLOCK] = TIE * (scale + alpha * (1 + beta) * most)
        choice = (logits >= logits.max(axis=1, keepdims=True) - tie).argmax(axis=1)
        return ClassScores(softmax(logits.copy()), choice, logits)


def fit_cache(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> FittedTipAdapter:
    """Keep the training examples and the class texts."""
    require_examples(labels, "tip-adapter")
    settings = np.array([model_scale(texts, "tip-adapter"), *PLAIN], np.float32)
    numbers = np.asarray(labels, np.int64)
    return FittedTipAdapter(texts.directions, normalise(features), numbers, settings)


def fit_cache_tuned(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> FittedTipAdapter:
    """Fit, with alpha and beta that classify left-out training examples best."""
    fitted = fit_cache(features, labels, classes, widths, texts)
    grid = [np.array([fitted.settings[0], *pair], np.float32) for pair in GRID]

    def choices(train: Array, out: Array) -> Array:
        part = replace(fitted, cache=fitted.cache[:, train], labels=fitted.labels[train])
        return np.stack([replace(part, settings=s).scores(features[:, out]).choice for s in grid])

    return replace(fitted, settings=grid[best_setting(labels, len(GRID), choices)])


TIP_ADAPTER = Readout(
    name="tip-adapter",
    summary="clip and nearness to the training examples (arXiv 2111.03930, without training)",
    fit=fit_cache,
    load=FittedTipAdapter,
    arrays={
        "directions": ("heads", "classes", "width"),
        "cache": ("heads", "examples", "width"),
        "labels": ("examples",),
        "settings": (3,),
    },
    score_heads=score_by_texts,
    texts=TEXTS,
)
TIP_ADAPTER_CV = replace(
    TIP_ADAPTER,
    name="tip-adapter-cv",
    summary="the same, alpha and beta chosen by cross-validation on the training examples",
    fit=fit_cache_tuned,
    calibrates=False,
)
