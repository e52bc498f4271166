"""`calibrate`: what a selection's left-out training examples say of how sure it is."""

from dataclasses import dataclass, replace

from savs.foundation.arrays import Array
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.left_out import LeftOut, leave_out, some_of
from savs.pipeline.selection.calibration import Calibration, calibrate_task, has_centroids
from savs.pipeline.selection.heads.centroids import class_centroids
from savs.pipeline.selection.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.selection.readouts import Fitted, Readout
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.task_selection import TaskSelection, chosen_features
from savs.stores import FeatureStore


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A selection with its calibration, and the predictions that it was made of."""

    selection: Selection
    estimate: Evaluation
    """Cross-validated, see `evaluate`."""
    left_out: list[LeftOut]
    """One for each task."""


def calibrate(store: FeatureStore, selection: Selection) -> Calibrated:
    """Add to a selection what its left-out training examples say of how sure it is.

    That is a temperature, which makes probabilities of scores and changes no prediction, the scores
    that prediction sets of a chosen risk are made from, and the typicality below which an example
    is like none of the training ones. The folds are those of `evaluate`, whose estimate comes
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
        As in `evaluate` on folds: the selection is not of this store, or a class has too few
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
    found = calibration_of(
        *(selection.rule, task.fitted, features, training.labels),
        scores=left_out.scores,
        right=left_out.labels,
        typicality=left_out.typicality,
        seen=left_out.seen,
    )
    return replace(task, calibration=found)


def calibration_of(
    rule: Readout,
    fitted: Fitted,
    features: Array,
    labels: Array,
    *,
    scores: Array,
    right: Array,
    typicality: Array,
    seen: Array,
) -> Calibration | None:
    """Return what left-out examples say of a fit to all of them.

    Parameters
    ----------
    rule, fitted
        The readout, and its fit to all examples.
    features, labels
        `(heads, n, d)` features and `(n,)` class numbers of all examples.
    scores, right, typicality
        Of left-out ones: `(m, classes)` scores by fits without them, `(m,)` class numbers, and
        `(m,)` typicality.
    seen
        Scores of examples that these fits were made of.
    """
    means = None if has_centroids(rule) else class_centroids(features, labels, scores.shape[1])
    own = fitted.scores(features[:, some_of(features.shape[1])]).scores
    return calibrate_task(scores, right, typicality, means, seen=(seen, own))
