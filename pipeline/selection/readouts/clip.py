"""`clip`: the class whose text is nearest to the image, a dual encoder's zero-shot answer.

Source: Radford et al., CLIP, arXiv 2103.00020: a class's text is the normalised mean over templates
of normalised texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.centroids import few_threads, first_of_best, normalise
from savs.pipeline.selection.readouts.hec_t import score_by_texts
from savs.pipeline.selection.readouts.readout import ClassScores, Readout, Widths, softmax
from savs.pipeline.selection.training_data import NAMES, TEXTS, ClassTexts


@dataclass(frozen=True, slots=True)
class FittedClip:
    """The texts that images are compared with."""

    directions: Array
    """`(1, classes, d)` float32 of length 1."""
    scale: Array
    """`(1,)` float32: what the model multiplies cosines by."""

    def scores(self, features: Array) -> ClassScores:
        """Return probabilities; of equal cosines the first class wins. `soft` is the cosine."""
        with few_threads(features[0].size * len(self.directions[0])):
            cosines = normalise(features[0]) @ self.directions[0].T
        return ClassScores(softmax(self.scale * cosines), first_of_best(cosines), cosines)


def fit(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> FittedClip:
    """Take the class texts; training examples are not looked at."""
    return FittedClip(texts.directions, np.array([model_scale(texts, "clip")], np.float32))


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
    fit=fit,
    load=FittedClip,
    arrays={"directions": ("heads", "classes", "width"), "scale": (1,)},
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
