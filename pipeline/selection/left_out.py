"""Training examples that are left out in turn: how good a selection is, and how sure.

Nested K-fold: in each fold's turn, heads are scored, chosen and fitted on the other folds alone,
with the selection's own number of heads, scoring and readout, and classify the fold left out.
`calibrate` makes probabilities of the scores; `evaluate` on folds measures predictions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.progress import track
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.folds import FOLDS
from savs.pipeline.readouts import ClassScores
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection import Fitter, ScoredHeads, Selection
from savs.pipeline.selection.selection_config import model_heads, require_selection
from savs.pipeline.selection.training_data import (
    MEMORY,
    RowsCopier,
    Training,
    TrainingData,
    answered_share,
    chosen_features,
    chosen_in_parts,
    training_of,
)
from savs.pipeline.targets.calibration import centroids_of, typicality_of
from savs.pipeline.targets.target import scores_of_seen
from savs.pipeline.targets.tasks import Folds, LeftOut, Limit, TaskSelection, TrainingTask
from savs.stores import Head


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A selection with its calibration, and the predictions that it was made of."""

    selection: Selection
    left_out: list[LeftOut] = field(repr=False)
    """One for each task; `assess_left_out` measures them."""


def calibrate(training: Training, selection: Selection) -> Calibrated:
    """Add to a selection what its left-out training examples say of how sure it is.

    That is a temperature, which makes probabilities of scores and changes no prediction, the scores
    that prediction sets of a chosen risk are made from, and the typicality below which an example
    is like none of the training ones. The folds are those of `evaluate` on folds. A task whose
    readout has negative scores, or does not calibrate, stays without. Each of many labels gets a
    rule, see `LabelRule`, unless too few examples are independent; numbers get the reach of
    intervals, see `fit_reach`.

    `selection` was made by `select` from these training examples, `training`: a store, of which the
    train split is read layer by layer, or examples in memory. Errors as in `evaluate` on folds: the
    selection belongs to other examples, or a class has too few independent ones.
    """
    require_selection(selection)
    data = training_of(training, selection.target, selection.tasks)
    left_out = leave_out(training, selection, for_calibration=True)
    pairs = zip(selection.tasks, left_out, strict=True)
    wanted = [(task.heads, part.task.rows) for task, part in pairs]
    decisions = selection.target.decide(
        selection, left_out, lambda: chosen_in_parts(data, wanted), data.count
    )
    tasks = [
        replace(task, decision=decision)
        for task, decision in zip(selection.tasks, decisions, strict=True)
    ]
    return Calibrated(replace(selection, tasks=tuple(tasks)), left_out)


def leave_out(
    training: Training,
    selection: Selection,
    folds: Folds = FOLDS,
    *,
    for_calibration: bool = False,
) -> list[LeftOut]:
    """Classify each training example by a selection of the other folds, task by task.

    Examples of one cluster, which share an image or a group, stay in one fold. Heads that were
    taken from elsewhere (`heads_from`) are only fitted again. Errors as in `evaluate` on folds.
    """
    if folds != "loo" and folds < 2:
        raise SelectionError(f"`folds` is {folds}, expected at least 2, or 'loo'")
    require_selection(selection)
    data = training_of(training, selection.target, selection.tasks)
    tasks = list(zip(_same_tasks(data, selection), selection.tasks, strict=True))
    return leave_out_of(data, selection, tasks, folds, for_calibration=for_calibration)


def leave_out_of(
    data: TrainingData,
    selection: Selection,
    tasks: Sequence[tuple[TrainingTask, TaskSelection]],
    folds: Folds,
    *,
    for_calibration: bool = False,
) -> list[LeftOut]:
    """Leave examples out of several tasks, each maybe with a part of its examples, in one pass.

    Errors as in `leave_out`.
    """
    rule = selection.rule
    data = training_of(data, selected=selection.tasks)
    of_tasks = held_out(data, selection, [task for task, _ in tasks], folds)
    parts = _folds_of(tasks, of_tasks)
    fitter = Fitter(data, rule, selection.scorer)
    chosen = _choose(fitter, selection, parts)
    judged: list[list[_Judged]] = [[] for _ in tasks]
    heads_of = [(part, scored.heads) for part, scored in zip(parts, chosen, strict=True)]
    features = fold_features(data, heads_of)
    folds_read = zip(parts, chosen, features, strict=True)
    for part, scored, (train, out) in track(folds_read, "folds", len(parts)):
        fitted = fitter.fit_one(scored, train)
        scores = fitted.scores(out)
        typicality, seen = np.zeros(0, np.float32), scores.part(slice(0))
        if for_calibration:
            seen = scores_of_seen(fitted, train)
            if selection.target.has_typicality:
                centroids = centroids_of(rule, part.others, train)
                typicality = typicality_of(out, centroids, fitted, scores)
        judged[part.number].append(_Judged(part, scores, typicality, seen))
    limits: list[Limit | None] = [None] * len(tasks)
    if folds != "loo" and any(len(of_task) < folds for of_task in of_tasks):
        clusters = data.clusters()
        for number, ((task, _), of_task) in enumerate(zip(tasks, of_tasks, strict=True)):
            limit = selection.target.limit(task, clusters)
            if limit.independent <= len(of_task) < folds:  # else a label is unknown in some folds
                limits[number] = limit
    return [
        _joined(task, of_task, limit, folds)
        for (task, _), of_task, limit in zip(tasks, judged, limits, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Fold:
    """A part of a task's examples that is left out."""

    number: int
    """Number of its task."""
    task: TrainingTask
    selected: TaskSelection
    """The selection on the whole task."""
    out: Array
    """`(n,)` flags of the examples that are left out."""
    turn: int
    """Number of the fold, which tasks of many labels share."""

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
    seen: ClassScores


@dataclass(frozen=True, slots=True)
class FoldFit:
    """The selection that classifies a fold, which was made of the others."""

    fold: Fold
    selection: TaskSelection
    scores: ClassScores
    """Of the examples left out, in their order."""


def _folds_of(
    tasks: Sequence[tuple[TrainingTask, TaskSelection]], of_tasks: Sequence[Mapping[int, Array]]
) -> list[Fold]:
    """Return the folds of tasks, by the flags of what each leaves out."""
    return [
        Fold(number, task, selected, out, turn)
        for number, ((task, selected), flags) in enumerate(zip(tasks, of_tasks, strict=True))
        for turn, out in flags.items()
    ]


def make_folds(data: TrainingData, selection: Selection, folds: Folds) -> list[Fold]:
    """Return the folds of all tasks as `leave_out` makes them; errors as there."""
    pairs = list(zip(_same_tasks(data, selection), selection.tasks, strict=True))
    return _folds_of(pairs, held_out(data, selection, [task for task, _ in pairs], folds))


def fit_folds(data: TrainingData, selection: Selection, folds: Sequence[Fold]) -> list[FoldFit]:
    """Return the selections that classify some folds, made as `leave_out` makes them."""
    fitter = Fitter(data, selection.rule, selection.scorer)
    fits = fitter.fit(_choose(fitter, selection, folds))
    wanted = [(fit.heads, fold.task.rows[fold.out]) for fold, fit in zip(folds, fits, strict=True)]
    return [
        FoldFit(fold, fit, fit.fitted.scores(features))
        for fold, fit, features in zip(folds, fits, chosen_in_parts(data, wanted), strict=True)
    ]


def _same_tasks(training: TrainingData, selection: Selection) -> list[TrainingTask]:
    """Return the training examples by subtask, from which the selection was made."""
    require_fit(selection, training.source, training.name)
    tasks = training.tasks()
    names = [task.subtask for task in tasks]
    if selection.pseudo_labels != answered_share(training.train):
        raise SelectionError(
            "the training labels of the selection were the model's own answers, so that left-out"
            " examples do not say how often it is right; use test examples, or select without"
            " `pseudo_labels`"
        )
    if selection.train != training.train or names != [task.subtask for task in selection.tasks]:
        raise SelectionError(
            f"the selection was not made from all training examples of {training.name}, which"
            " cross-validation leaves out in turn; make it again with `savs train` or `savs select`"
        )
    return tasks


def _joined(
    task: TrainingTask,
    parts: Sequence[_Judged],
    limit: Limit | None,
    asked: Folds,
) -> LeftOut:
    shares = [int((~part.fold.out).sum()) / len(part.fold.out) for part in parts] or [1.0]
    empty = np.zeros((0, len(task.classes)), np.float32)
    none = ClassScores(empty, np.zeros(0, np.int64), empty)
    orders = [np.flatnonzero(part.fold.out) for part in parts]
    turns = [np.full(len(o), p.fold.turn) for o, p in zip(orders, parts, strict=True)]
    return LeftOut(
        task=task,
        order=np.concatenate([np.zeros(0, np.int64), *orders]),
        scores=ClassScores.joined([none, *(part.scores for part in parts)]),
        typicality=np.concatenate([np.zeros(0, np.float32), *(p.typicality for p in parts)]),
        seen=ClassScores.joined([none, *(part.seen for part in parts)]),
        asked=asked,
        folds=len(parts),
        train_shares=(min(shares), max(shares)),
        limit=limit,
        fold=np.concatenate([np.zeros(0, np.int64), *turns]),
    )


def held_out(
    data: TrainingData,
    selection: Selection,
    tasks: Sequence[TrainingTask],
    folds: Folds,
) -> list[dict[int, Array]]:
    """Return for each task the flags of its examples left out, by number of the fold.

    Errors as in `evaluate` on folds.
    """
    clusters, order = data.clusters(), data.order()
    return selection.target.folds(tasks, clusters, order, folds, selection.scorer.left_out)


def _choose(fitter: Fitter, selection: Selection, parts: Sequence[Fold]) -> list[ScoredHeads]:
    """Return the heads for each fold, chosen by the others."""
    of_parts = [model_heads(part.selected.heads) for part in parts]
    return fitter.choose(
        [part.others for part in parts],
        [selection.heads_each or len(heads) for heads in of_parts],
        max_layer=selection.max_layer,
        given=None if selection.heads_from is None else of_parts,
        joint=[part.turn for part in parts] if selection.joint_heads else None,
    )


HeadsOf = Sequence[tuple[Fold, Sequence[Head]]]
"""Folds, each with its heads."""


def fold_features(training: TrainingData, folds: HeadsOf) -> Iterator[tuple[Array, Array]]:
    """Yield features of each fold's heads: those of examples that it keeps, and of the left out.

    `(heads, kept, d)` and `(heads, left out, d)` float32, `d` the width of the fold's widest head.
    Heads that several folds of a task need are read once. Arrays are overwritten by the next ones.
    """
    copiers = RowsCopier(), RowsCopier()
    while folds:
        end = _that_fit(training, folds)
        # a generator of its own: what it has read is gone before the next are read
        yield from _copies(training, folds[:end], *copiers)
        folds = folds[end:]


def _copies(
    training: TrainingData, folds: HeadsOf, keep: RowsCopier, leave: RowsCopier
) -> Iterator[tuple[Array, Array]]:
    """Read what some folds need, and yield each one's."""
    index: dict[int, dict[Head, int]] = {}
    for fold, heads in folds:
        of_task = index.setdefault(fold.number, {})
        for head in heads:
            of_task.setdefault(head, len(of_task))
    rows = {fold.number: fold.task.rows for fold, _ in folds}
    read = chosen_features(training, [([*index[number]], rows[number]) for number in index])
    features = dict(zip(index, read, strict=True))
    for fold, heads in folds:
        numbers = np.array([index[fold.number][head] for head in heads])
        values = features[fold.number][:, :, : max(training.widths(heads))]
        yield (
            keep.copy(values, np.flatnonzero(~fold.out), numbers),
            leave.copy(values, np.flatnonzero(fold.out), numbers),
        )


def _that_fit(training: TrainingData, folds: HeadsOf) -> int:
    """Return how many of the first folds `MEMORY` holds the features of, at least one."""
    width = max(grid.head_dim for grid in training.source.grid)
    in_memory: set[tuple[int, Head]] = set()
    size = 0
    for count, (fold, heads) in enumerate(folds):
        new = {(fold.number, head) for head in heads} - in_memory
        size += 4 * len(new) * len(fold.task.rows) * width
        if count and size > MEMORY:
            return count
        in_memory |= new
    return len(folds)
