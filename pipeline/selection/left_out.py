"""Training examples that are left out in turn: how good a selection is, and how sure.

Nested K-fold: in each fold's turn, heads are scored, chosen and fitted on the other folds alone,
with the selection's own number of heads, scoring and readout, and classify the fold left out.
`calibrate` makes probabilities of the scores; `evaluate` on folds measures predictions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from savs.datasets.example import of_subtask
from savs.foundation.arrays import Array
from savs.foundation.progress import track
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.calibration import (
    CENTROIDS,
    calibrate_task,
    has_centroids,
    typicality_of,
)
from savs.pipeline.selection.heads.centroids import class_centroids
from savs.pipeline.selection.heads.folds import FOLDS, fold_count, stratified_folds
from savs.pipeline.selection.readouts import ClassScores, Fitted, Readout
from savs.pipeline.selection.selection import (
    ScoredHeads,
    Selection,
    TaskSelection,
    best_heads,
    fit_task,
    given_heads,
    heads_up_to,
    score_tasks,
)
from savs.pipeline.selection.selection_config import require_same_source
from savs.pipeline.selection.training_data import (
    RowsCopier,
    Training,
    TrainingData,
    TrainingTask,
    chosen_features,
    grid_widths,
    training_of,
)
from savs.stores import Head

SEEN = 512
"""Examples of its own fit that a readout classifies at most, for a calibration."""
MEMORY = 2**28
"""Bytes of features that are read at a time, or those of one fold where these are more."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A selection with its calibration, and the predictions that it was made of."""

    selection: Selection
    left_out: "list[LeftOut]" = field(repr=False)
    """One for each task; `assess_left_out` measures them."""


def calibrate(training: Training, selection: Selection) -> Calibrated:
    """Add to a selection what its left-out training examples say of how sure it is.

    That is a temperature, which makes probabilities of scores and changes no prediction, the scores
    that prediction sets of a chosen risk are made from, and the typicality below which an example
    is like none of the training ones. The folds are those of `evaluate` on folds. A task whose
    readout has negative scores, or does not calibrate, stays without.

    Parameters
    ----------
    training
        A store, of which the train split is read layer by layer, or training examples in memory.
    selection
        Made by `select` from these training examples.

    Raises
    ------
    SelectionError
        As in `evaluate` on folds: the selection belongs to other examples, or a class has too few
        independent examples.
    """
    data = training_of(training)
    left_out = leave_out(training, selection, for_calibration=True)
    if not selection.rule.calibrates:
        return Calibrated(selection, left_out)
    wanted = [
        (task.heads, part.task.rows) for task, part in zip(selection.tasks, left_out, strict=True)
    ]
    features = chosen_features(data, wanted)
    tasks = [
        _calibrated(selection.rule, task, part, values)
        for task, part, values in zip(selection.tasks, left_out, features, strict=True)
    ]
    return Calibrated(replace(selection, tasks=tuple(tasks)), left_out)


def _calibrated(
    rule: Readout, task: TaskSelection, left_out: "LeftOut", features: Array
) -> TaskSelection:
    """Return a task with its calibration, from its `(heads, n, d)` training features too."""
    labels, classes = left_out.task.labels, len(task.classes)
    calibration = calibrate_task(
        left_out.scores.scores,
        left_out.labels,
        left_out.typicality,
        None if has_centroids(rule) else class_centroids(features, labels, classes),
        seen=(left_out.seen, _scores_of_seen(task.fitted, features)),
    )
    return replace(task, calibration=calibration)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The examples of a task, each classified by a selection of the other folds."""

    task: TrainingTask
    order: Array
    """`(n,)` indices of the task's examples, fold by fold: the order of all that follows."""
    scores: ClassScores
    typicality: Array
    """`(n,)` float32; empty if it is not for a calibration."""
    seen: Array
    """`(m, classes)` scores of examples that each fold's readout was fitted on; empty likewise."""
    folds: int
    kept: tuple[float, float]
    """Least and greatest share of the examples that a fold's selection was made of."""

    @property
    def labels(self) -> Array:
        """`(n,)` class numbers."""
        return self.task.labels[self.order]

    @property
    def rows(self) -> Array:
        """`(n,)` rows of the training data."""
        return self.task.rows[self.order]


def leave_out(
    training: Training,
    selection: Selection,
    folds: int | Literal["loo"] = FOLDS,
    *,
    for_calibration: bool = False,
) -> list[LeftOut]:
    """Classify each training example by a selection of the other folds, task by task.

    Examples of one cluster, which share an image or a group, stay in one fold. Heads that were
    taken from elsewhere (`heads_from`) are only fitted again. Errors as in `evaluate` on folds.
    """
    if folds != "loo" and folds < 2:
        raise SelectionError(f"`folds` is {folds}, expected at least 2, or 'loo'")
    data = training_of(training)
    tasks = list(zip(_same_tasks(data, selection), selection.tasks, strict=True))
    return leave_out_of(data, selection, tasks, folds, for_calibration=for_calibration)


def leave_out_of(
    data: TrainingData,
    selection: Selection,
    tasks: Sequence[tuple[TrainingTask, TaskSelection]],
    folds: int | Literal["loo"],
    *,
    for_calibration: bool = False,
) -> list[LeftOut]:
    """Do so for tasks of a selection, of which only some examples may be there; one pass for all.

    Errors as in `leave_out`.
    """
    rule, clusters = selection.rule, data.clusters()
    parts = [
        Fold(number, task, selected, out)
        for number, (task, selected) in enumerate(tasks)
        for out in held_out(task, [clusters[row] for row in task.rows], folds, selection.scoring)
    ]
    chosen = _choose(data, selection, parts)
    judged: list[list[_Judged]] = [[] for _ in tasks]
    features = fold_features(data, parts, [scored.heads for scored in chosen])
    folds_read = zip(parts, chosen, features, strict=True)
    for part, scored, (kept, out) in track(folds_read, "folds", len(parts)):
        fitted = fit_task(data, rule, scored, kept).fitted
        judged[part.number].append(_judge(rule, fitted, kept, part, out, for_calibration))
    return [_joined(task, of_task) for (task, _), of_task in zip(tasks, judged, strict=True)]


@dataclass(frozen=True, slots=True)
class Fold:
    """A part of a task's examples that is left out."""

    number: int
    """Of its task."""
    task: TrainingTask
    selected: TaskSelection
    """The selection on the whole task."""
    out: Array
    """`(n,)` flags of the examples that are left out."""

    @property
    def others(self) -> TrainingTask:
        """The examples that the fold's selection is made of."""
        return self.task.part(~self.out)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a fit of the others makes of a fold."""

    fold: Fold
    scores: ClassScores
    typicality: Array
    seen: Array


def _judge(
    rule: Readout, fitted: Fitted, kept: Array, fold: Fold, out: Array, for_calibration: bool
) -> _Judged:
    """Classify a fold by a fit of the others.

    `kept` are the `(heads, m, d)` features that it was fitted to, `out` those of the fold.
    """
    scores = fitted.scores(out)
    if not for_calibration:
        return _Judged(fold, scores, np.zeros(0, np.float32), scores.scores[:0])
    centroids = (
        getattr(fitted, CENTROIDS)
        if has_centroids(rule)
        else class_centroids(kept, fold.others.labels, len(fold.task.classes))
    )
    typicality = typicality_of(out, centroids, fitted, scores)
    return _Judged(fold, scores, typicality, _scores_of_seen(fitted, kept))


def _scores_of_seen(fitted: Fitted, features: Array) -> Array:
    """Return the scores of every n-th example of a fit: `SEEN` at most, or all of fewer."""
    step = -(-features.shape[1] // SEEN)
    return fitted.scores(features[:, ::step]).scores


def _same_tasks(training: TrainingData, selection: Selection) -> list[TrainingTask]:
    """Return the training examples by subtask, from which the selection was made."""
    require_same_source(training.source, training.name, selection)
    tasks = training.tasks()
    names = [task.subtask for task in tasks]
    if selection.train != training.train or names != [task.subtask for task in selection.tasks]:
        raise SelectionError(
            f"the selection was not made from all training examples of {training.name}, which"
            " cross-validation leaves out in turn; make it again with `savs train` or `savs select`"
        )
    return tasks


def _joined(task: TrainingTask, parts: Sequence[_Judged]) -> LeftOut:
    """Return the folds of a task as one."""
    shares = [int((~part.fold.out).sum()) / len(part.fold.out) for part in parts]
    scores = ClassScores(
        np.concatenate([part.scores.scores for part in parts]),
        np.concatenate([part.scores.choice for part in parts]),
        np.concatenate([part.scores.soft for part in parts]),
    )
    return LeftOut(
        task=task,
        order=np.concatenate([np.flatnonzero(part.fold.out) for part in parts]),
        scores=scores,
        typicality=np.concatenate([part.typicality for part in parts]),
        seen=np.concatenate([part.seen for part in parts]),
        folds=len(parts),
        kept=(min(shares), max(shares)),
    )


def held_out(
    task: TrainingTask, clusters: Sequence[str], folds: int | Literal["loo"], scoring: str
) -> list[Array]:
    """Return the flags of each part of a task, which are left out in turn.

    SelectionError where a class has too few examples that share no cluster, or too few would be
    left to score by.
    """
    # Examples of one cluster are nearly the same: one that is left out while its twin is fitted to
    # would be recognised, not classified. So there are as many folds as the rarest class has
    # clusters, not examples.
    where = of_subtask(task.subtask)
    independent = {
        label: len({clusters[int(i)] for i in np.flatnonzero(task.labels == number)})
        for number, label in enumerate(task.classes)
    }
    rarest = min(independent, key=lambda label: independent[label])
    if independent[rarest] < 2:
        raise SelectionError(
            f"cross-validation needs two independent examples of each class, but class {rarest!r}"
            f"{where} has one, or its examples share an image or a group; add more examples"
        )
    if folds == "loo":
        numbers = np.unique(clusters, return_inverse=True)[1]
    else:
        count = min(fold_count(task.labels, folds), independent[rarest])
        numbers = stratified_folds(task.labels, count, clusters)
    parts = [numbers == fold for fold in range(int(numbers.max()) + 1)]
    for out in parts:
        left = np.bincount(task.labels[~out], minlength=len(task.classes))
        if scoring != "resubstitution" and (left == 1).any():
            label = task.classes[int(np.flatnonzero(left == 1)[0])]
            raise SelectionError(
                f"cross-validation leaves one training example of class {label!r}{where} to choose"
                f" heads by, but {scoring} scoring needs two; add examples, or select with"
                " `scoring` resubstitution"
            )
        absent = set(range(len(task.classes))) - set(task.labels[~out].tolist())
        if absent:
            raise SelectionError(
                f"cross-validation cannot split the examples of class"
                f" {task.classes[min(absent)]!r}{where}: those that share images or groups stay"
                " together; add more independent examples"
            )
    return parts


def _choose(
    training: TrainingData, selection: Selection, parts: Sequence[Fold]
) -> list[ScoredHeads]:
    """Return the heads for each fold, chosen by the others."""
    rule, scoring, others = selection.rule, selection.scoring, [part.others for part in parts]
    if selection.heads_from is not None:
        return [
            given_heads(training, rule, scoring, task, part.selected.heads)
            for part, task in zip(parts, others, strict=True)
        ]
    scores = score_tasks(training, rule, scoring, others, selection.max_layer)
    heads = heads_up_to([*grid_widths(training.source.grid)], selection.max_layer)
    return [
        best_heads(heads, task, of_fold, len(part.selected.heads))
        for part, task, of_fold in zip(parts, others, scores, strict=True)
    ]


Heads = tuple[Head, ...]


def fold_features(
    training: TrainingData, folds: Sequence[Fold], heads: Sequence[Heads]
) -> Iterator[tuple[Array, Array]]:
    """Yield features of each fold's heads: those of examples that it keeps, and of the left out.

    `(heads, kept, d)` and `(heads, left out, d)` float32, `d` the width of the fold's widest head.
    Heads that several folds of a task need are read once. Arrays are overwritten by the next ones.
    """
    copiers = RowsCopier(), RowsCopier()
    start = 0
    while start < len(folds):
        end = start + _that_fit(training, folds[start:], heads[start:])
        # a generator of its own: what it has read is gone before the next are read
        yield from _copies(training, folds[start:end], heads[start:end], copiers)
        start = end


def _copies(
    training: TrainingData,
    folds: Sequence[Fold],
    heads: Sequence[Heads],
    copiers: tuple[RowsCopier, RowsCopier],
) -> Iterator[tuple[Array, Array]]:
    """Read what some folds need, and yield each one's."""
    index: dict[int, dict[Head, int]] = {}
    for fold, names in zip(folds, heads, strict=True):
        of_task = index.setdefault(fold.number, {})
        for head in names:
            of_task.setdefault(head, len(of_task))
    rows = {fold.number: fold.task.rows for fold in folds}
    read = chosen_features(training, [([*index[number]], rows[number]) for number in index])
    features = dict(zip(index, read, strict=True))
    keep, leave = copiers
    for fold, names in zip(folds, heads, strict=True):
        numbers = np.array([index[fold.number][head] for head in names])
        values = features[fold.number][:, :, : max(training.widths(names))]
        yield (
            keep.copy(values, np.flatnonzero(~fold.out), numbers),
            leave.copy(values, np.flatnonzero(fold.out), numbers),
        )


def _that_fit(training: TrainingData, folds: Sequence[Fold], heads: Sequence[Heads]) -> int:
    """Return how many of the first folds `MEMORY` holds the features of, at least one."""
    width = max(grid.head_dim for grid in training.source.grid)
    in_memory: set[tuple[int, Head]] = set()
    size = 0
    for count, (fold, names) in enumerate(zip(folds, heads, strict=True)):
        new = {(fold.number, head) for head in names} - in_memory
        size += 4 * len(new) * len(fold.task.rows) * width
        if count and size > MEMORY:
            return count
        in_memory |= new
    return len(folds)
