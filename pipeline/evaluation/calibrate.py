"""`calibrate`: what a selection's left-out training examples say of how sure it is."""

from dataclasses import dataclass, replace

from savs.foundation.arrays import Array
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.left_out import LeftOut, leave_out, some_of
from savs.pipeline.heads.centroids import class_centroids
from savs.pipeline.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.selection.calibration import calibrate_task, has_centroids
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.task_selection import TaskSelection, chosen_features
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
    with it. A task whose readout has negative scores, or does not calibrate, stays without.

    Parameters
    ----------
    store
        Features; the train split is read, one layer at a time.
    selection
        Made by `select` from this store's training examples.

    Raises
    ------
    SelectionError
        As in `cross_validate`: the selection is not of this store, or a class has too few
        independent examples.
    """
    left_out = leave_out(store, selection, for_calibration=True)
    training = training_tasks(store)
    wanted = [(own.heads, task.rows) for own, task in zip(selection.tasks, training, strict=True)]
    tasks = [
        _calibrated(selection, *given)
        for given in zip(
            *(selection.tasks, training, left_out, chosen_features(store, wanted)), strict=True
        )
    ]
    made = replace(selection, tasks=tuple(tasks))
    return Calibrated(made, assess_left_out(store, made, left_out), left_out)


def _calibrated(
    selection: Selection,
    task: TaskSelection,
    training: TrainingTask,
    left_out: LeftOut,
    features: Array,
) -> TaskSelection:
    """Return a task with its calibration, from its `(heads, n, d)` training features too."""
    if not selection.rule.calibrates:
        return task
    means = None
    if not has_centroids(selection.rule):
        means = class_centroids(features, training.labels, len(training.classes))
    seen = task.fitted.scores(features[:, some_of(features.shape[1])]).scores
    found = calibrate_task(
        *(left_out.scores, left_out.labels, left_out.typicality, means),
        seen=(left_out.seen, seen),
    )
    return replace(task, calibration=found)
