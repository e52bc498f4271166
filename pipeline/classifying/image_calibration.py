"""A classifier of images in memory, calibrated as `calibrate` does it of a store."""

from collections.abc import Callable, Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.classifying.chosen_heads import ChosenHeads
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.calibrate import calibration_of
from savs.pipeline.evaluation.left_out import Judged, held_out, judge
from savs.pipeline.selection.calibration import Calibration
from savs.pipeline.selection.heads.folds import FOLDS
from savs.pipeline.selection.heads.training_set import TrainingTask


def calibrate_images(
    chosen: ChosenHeads,
    choose: Callable[[Array, Array], ChosenHeads],
    features: Array,
    labels: Array,
    classes: Sequence[str],
    clusters: Sequence[str],
    scoring: str,
) -> Calibration | None:
    """Return what left-out images say of a classifier.

    None where a class has too few independent images to leave some out for this readout, or the
    readout does not calibrate.

    Parameters
    ----------
    chosen
        The classifier of all images.
    choose
        Makes such a classifier of some images' features and labels.
    features
        `(heads, n, d)` float32 of all heads.
    labels
        `(n,)` class numbers.
    classes
        Names of the classes.
    clusters
        For each image a name that equal images share: they stay in one fold.
    scoring
        How heads are scored.
    """
    rule = chosen.rule
    if not rule.calibrates:
        return None
    task = TrainingTask(None, tuple(classes), np.arange(len(labels)), labels, None, None)
    found: list[Judged] = []
    try:
        parts = held_out(task, clusters, FOLDS, scoring)
        for out in parts:
            part = choose(features[:, ~out], labels[~out])
            own = features[part.places]
            found.append(judge(rule, part.fitted, own[:, ~out], task.part(~out), own[:, out]))
    except SelectionError:
        return None
    return calibration_of(
        *(rule, chosen.fitted, features[chosen.places], labels),
        scores=np.concatenate([one.scores.scores for one in found]),
        right=np.concatenate([labels[out] for out in parts]),
        typicality=np.concatenate([one.typicality for one in found]),
        seen=np.concatenate([one.seen for one in found]),
    )
