"""`calibrate`: what a selection's left-out training examples say of how sure it is."""

from dataclasses import dataclass, replace

from savs.foundation.arrays import Array
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.left_out import LeftOut, leave_out
from savs.pipeline.heads.centroids import class_centroids
from savs.pipeline.heads.training_set import training_tasks
from savs.pipeline.selection.calibration import calibrate_task, has_centroids
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.task_selection import chosen_features
from savs.stores import FeatureStore


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A selection with its calibration, and the predictions that it was made of."""

    selection: Selection
    estimate: Evaluation
    """Cross-validated, see `cross_validate`."""
    left_out: list[LeftOut]
    """One for each task."""


def calibrate(store: FeatureStore, selection: Selection) -> Calibrated:
    """Add to a selection what its left-out training examples say of how sure it is.

    That is a temperature, which makes probabilities of scores and changes no prediction, the scores
    that prediction sets of a chosen risk are made from, and the typicality below which an example
    is like none of the training ones. The folds are those of `cross_validate`, whose estimate comes
    with it. A task whose readout has negative scores stays without.

    Parameters
    ----------
    store
        Features; the train split is read, one layer at a time.
    selection
        Made by `select` from this store's training examples.

    Raises
    ------
    SelectionError
        As in `cross_validate`: a class has too few independent examples.
    """
    left_out = leave_out(store, selection, with_typicality=True)
    tasks = [
        replace(task, calibration=calibrate_task(own.scores, own.labels, own.typicality, means))
        for task, own, means in zip(
            selection.tasks, left_out, _centroids(store, selection), strict=True
        )
    ]
    made = replace(selection, tasks=tuple(tasks))
    return Calibrated(made, assess_left_out(store, made, left_out), left_out)


def _centroids(store: FeatureStore, selection: Selection) -> list[Array | None]:
    """Return the class means of each task's heads, where the readout does not keep them."""
    if has_centroids(selection.rule):
        return [None] * len(selection.tasks)
    tasks = training_tasks(store)
    wanted = [(like.heads, task.rows) for like, task in zip(selection.tasks, tasks, strict=True)]
    return [
        class_centroids(features, task.labels, len(task.classes))
        for features, task in zip(chosen_features(store, wanted), tasks, strict=True)
    ]
