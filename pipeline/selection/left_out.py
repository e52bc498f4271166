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
from savs.datasets.label_kinds import MANY, NUMBERS, ONE
from savs.datasets.many_labels import UNKNOWN
from savs.foundation.arrays import Array
from savs.foundation.progress import track
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import class_centroids
from savs.pipeline.heads.folds import (
    FOLDS,
    fold_count,
    label_folds,
    number_folds,
    stratified_folds,
)
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.readouts import ClassScores, Fitted, Readout
from savs.pipeline.readouts.readout import margins
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection import (
    ScoredHeads,
    Selection,
    TaskSelection,
    best_heads,
    fit_heads,
    fit_tasks,
    given_heads,
    heads_up_to,
    joint_scores,
    score_tasks,
)
from savs.pipeline.selection.training_data import (
    MEMORY,
    RowsCopier,
    Training,
    TrainingData,
    TrainingTask,
    answered_share,
    chosen_features,
    chosen_in_parts,
    grid_widths,
    training_of,
)
from savs.pipeline.targets.calibration import (
    calibrate_task,
    typicality_of,
)
from savs.pipeline.targets.label_rules import fit_rules, rule_of_whole
from savs.pipeline.targets.number_rules import NumberRule, fit_reach
from savs.stores import Head

SEEN = 512
"""Examples of its own fit that a readout classifies at most, for a calibration."""


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
    readout has negative scores, or does not calibrate, stays without. Of many labels each gets a
    rule, see `LabelRule`, unless too few examples are independent. Of numbers it is the reach of
    intervals, see `fit_reach`.

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
    if selection.labels == MANY:
        return Calibrated(_with_rules(data, selection, left_out), left_out)
    if selection.labels in NUMBERS:
        pairs = zip(selection.tasks, left_out, strict=True)
        tasks = [_with_reach(task, part) for task, part in pairs]
        return Calibrated(replace(selection, tasks=tuple(tasks)), left_out)
    if not selection.rule.calibrates:
        return Calibrated(selection, left_out)
    wanted = [
        (task.heads, part.task.rows) for task, part in zip(selection.tasks, left_out, strict=True)
    ]
    features = chosen_in_parts(data, wanted)
    tasks = [
        _calibrated(selection.rule, task, part, values)
        for task, part, values in zip(selection.tasks, left_out, features, strict=True)
    ]
    return Calibrated(replace(selection, tasks=tuple(tasks)), left_out)


def _with_rules(
    data: TrainingData, selection: Selection, left_out: "Sequence[LeftOut]"
) -> Selection:
    """Return a selection of many labels with the rule of each that was left out."""
    rules = fit_rules(*left_out_margins(left_out, data.count), selection.precision)
    pairs = list(zip(selection.tasks, left_out, strict=True))
    features = chosen_in_parts(data, [(task.heads, part.task.rows) for task, part in pairs])
    tasks = []
    for (task, part), rule, values in zip(pairs, rules, features, strict=True):
        if rule is not None:
            seen = margins(_scores_of_seen(task.fitted, values))
            rule = rule_of_whole(rule, margins(part.seen), seen)
        tasks.append(replace(task, label_rule=rule))
    return replace(selection, tasks=tuple(tasks))


def _with_reach(task: TaskSelection, part: "LeftOut") -> TaskSelection:
    """Return a task of numbers with the reach of its intervals, from left-out examples."""
    assert task.number is not None
    reach = fit_reach(left_out_errors(part, task.number), part.clusters)
    return replace(task, number=replace(task.number, reach=reach))


def left_out_errors(part: "LeftOut", rule: NumberRule) -> Array:
    """Return how far predictions of left-out numbers are from these, `(n,)`."""
    return np.abs(rule.mean + rule.spread * part.labels - rule.numbers(part.scores.soft))


def left_out_margins(parts: "Sequence[LeftOut]", rows: int) -> tuple[Array, Array]:
    """Return `(labels, rows)` margins and states of left-out examples; both unknown elsewhere."""
    values, states = np.zeros((len(parts), rows)), np.full((len(parts), rows), UNKNOWN, np.int8)
    for label, part in enumerate(parts):
        values[label, part.rows] = margins(part.scores)
        states[label, part.rows] = part.labels
    return values, states


def _calibrated(
    rule: Readout, task: TaskSelection, left_out: "LeftOut", features: Array
) -> TaskSelection:
    """Return a task with its calibration, from its `(heads, n, d)` training features too."""
    labels, classes = left_out.task.labels, len(task.classes)
    calibration = calibrate_task(
        left_out.scores.scores,
        left_out.labels,
        left_out.typicality,
        None if rule.has_centroids else class_centroids(features, labels, classes),
        seen=(left_out.seen.scores, _scores_of_seen(task.fitted, features).scores),
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
    seen: ClassScores
    """Scores of `(m,)` examples that each fold's readout was fitted on; empty like `typicality`."""
    folds: int
    """Number of folds; 0 for a label with too few independent examples: none is left out."""
    train_shares: tuple[float, float]
    """Least and greatest share of the examples that a fold's selection was made of."""
    limit: "Limit | None"
    """Why there are fewer folds than were asked for; None if there are not."""
    fold: Array
    """`(n,)` number of the fold of each example."""

    @property
    def labels(self) -> Array:
        """`(n,)` class numbers."""
        return self.task.labels[self.order]

    @property
    def clusters(self) -> Array:
        """`(n,)` numbers of clusters, of a task of numbers."""
        assert self.task.clusters is not None
        return self.task.clusters[self.order]

    @property
    def rows(self) -> Array:
        """`(n,)` rows of the training data."""
        return self.task.rows[self.order]


@dataclass(frozen=True, slots=True)
class Limit:
    """What limits the number of folds: clusters stay whole, and each fold has all classes."""

    label: str | None
    """The class that has the fewest independent examples; None of numbers and many labels."""
    independent: int
    """How many of its examples, or of all, share nothing."""
    examples: int

    @classmethod
    def of(cls, task: TrainingTask, clusters: Sequence[str], *, by_class: bool = True) -> "Limit":
        """Return the limit of a task; `clusters` are those of all rows."""
        own = np.array([clusters[int(row)] for row in task.rows])
        if not by_class:
            return cls(None, len(set(own.tolist())), len(own))
        of_class = [own[task.labels == number].tolist() for number in range(len(task.classes))]
        rarest = min(range(len(of_class)), key=lambda number: len(set(of_class[number])))
        names = of_class[rarest]
        return cls(task.classes[rarest], len(set(names)), len(names))


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
    """Leave examples out of several tasks, each maybe with a part of its examples, in one pass.

    Errors as in `leave_out`.
    """
    rule = selection.rule
    of_tasks = held_out(data, selection, [task for task, _ in tasks], folds)
    parts = [
        Fold(number, task, selected, out, turn)
        for number, (task, selected) in enumerate(tasks)
        for turn, out in of_tasks[number].items()
    ]
    chosen = _choose(data, selection, parts)
    judged: list[list[_Judged]] = [[] for _ in tasks]
    features = fold_features(data, parts, [scored.heads for scored in chosen])
    folds_read = zip(parts, chosen, features, strict=True)
    for part, scored, (train, out) in track(folds_read, "folds", len(parts)):
        fitted = fit_heads(data, rule, scored, train)
        judged[part.number].append(_judge(rule, fitted, train, part, out, for_calibration))
    limits: list[Limit | None] = [None] * len(tasks)
    if folds != "loo" and any(len(of_task) < folds for of_task in of_tasks):
        clusters, by_class = data.clusters(), selection.labels == ONE
        for number, ((task, _), of_task) in enumerate(zip(tasks, of_tasks, strict=True)):
            limit = Limit.of(task, clusters, by_class=by_class)
            if limit.independent <= len(of_task) < folds:  # else a label is unknown in some folds
                limits[number] = limit
    return [
        _joined(task, of_task, limit)
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


MOST_FOLDS = 50
"""Numbers of folds that `folds_with_shares` tries."""


def folds_with_shares(
    data: TrainingData, selection: Selection, shares: tuple[float, float]
) -> Iterator[list[Fold]]:
    """Yield the folds of all tasks, for each number of folds that leaves these `train_shares`.

    `evaluate` on folds records the shares, and the folds follow from the examples.
    """
    tasks = _same_tasks(data, selection)
    counts: list[int | Literal["loo"]] = [FOLDS, "loo", *range(2, MOST_FOLDS + 1)]
    for count in counts:
        try:
            of_tasks = held_out(data, selection, tasks, count)
        except SelectionError:  # of another number of folds
            continue
        parts = [
            Fold(number, task, selected, out, turn)
            for number, (task, selected) in enumerate(zip(tasks, selection.tasks, strict=True))
            for turn, out in of_tasks[number].items()
        ]
        left = [int((~part.out).sum()) / len(part.out) for part in parts]
        if (min(left), max(left)) == shares:
            yield parts


def fit_folds(data: TrainingData, selection: Selection, folds: Sequence[Fold]) -> list[FoldFit]:
    """Return the selections that classify some folds, made as `leave_out` makes them."""
    fits = fit_tasks(data, selection.rule, selection.scoring, _choose(data, selection, folds))
    wanted = [(fit.heads, fold.task.rows[fold.out]) for fold, fit in zip(folds, fits, strict=True)]
    return [
        FoldFit(fold, fit, fit.fitted.scores(features))
        for fold, fit, features in zip(folds, fits, chosen_in_parts(data, wanted), strict=True)
    ]


def _judge(
    rule: Readout, fitted: Fitted, train: Array, fold: Fold, out: Array, for_calibration: bool
) -> _Judged:
    """Classify a fold by a fit of the others.

    `train` are the `(heads, m, d)` features that it was fitted to, `out` those of the fold.
    """
    scores = fitted.scores(out)
    if not for_calibration or fold.task.number is not None:
        return _Judged(fold, scores, np.zeros(0, np.float32), scores.part(slice(0)))
    centroids = (
        None
        if rule.has_centroids
        else class_centroids(train, fold.others.labels, len(fold.task.classes))
    )
    typicality = typicality_of(out, centroids, fitted, scores)
    return _Judged(fold, scores, typicality, _scores_of_seen(fitted, train))


def _scores_of_seen(fitted: Fitted, features: Array) -> ClassScores:
    """Return the scores of every n-th example of a fit: `SEEN` at most, or all of fewer."""
    step = -(-features.shape[1] // SEEN)
    return fitted.scores(features[:, ::step])


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


def _joined(task: TrainingTask, parts: Sequence[_Judged], limit: Limit | None) -> LeftOut:
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
        folds=len(parts),
        train_shares=(min(shares), max(shares)),
        limit=limit,
        fold=np.concatenate([np.zeros(0, np.int64), *turns]),
    )


def held_out(
    data: TrainingData,
    selection: Selection,
    tasks: Sequence[TrainingTask],
    folds: int | Literal["loo"],
) -> list[dict[int, Array]]:
    """Return for each task the flags of its examples left out, by number of the fold.

    Errors as in `evaluate` on folds.
    """
    if selection.labels in NUMBERS:
        return [_held_out_numbers(task, folds) for task in tasks]
    clusters = data.clusters()
    if selection.labels == MANY:
        return _held_out_labels(tasks, clusters, data.order(), folds, selection.scoring)
    return [dict(enumerate(_held_out(task, clusters, folds, selection.scoring))) for task in tasks]


def _held_out(
    task: TrainingTask, clusters: Sequence[str], folds: int | Literal["loo"], scoring: str
) -> list[Array]:
    """Return the flags of each part of a task, which are left out in turn.

    SelectionError if a class has too few examples that share no cluster, or too few would be
    left to score by.
    """
    # Examples of one cluster are nearly the same: one that is left out while its twin is fitted to
    # would be recognised, not classified. So there are as many folds as the rarest class has
    # clusters, not examples.
    where, own = of_subtask(task.subtask), [clusters[int(row)] for row in task.rows]
    limit = Limit.of(task, clusters)
    if limit.independent < 2:
        raise SelectionError(
            "cross-validation needs two independent examples of each class, but class"
            f" {limit.label!r}{where} has one, or its examples share an image or a group; add more"
            " examples"
        )
    if folds == "loo":
        numbers = np.unique(own, return_inverse=True)[1]
    else:
        count = min(fold_count(task.labels, folds), limit.independent)
        numbers = stratified_folds(task.labels, count, own)
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


def _held_out_numbers(task: TrainingTask, folds: int | Literal["loo"]) -> dict[int, Array]:
    """Return the same of numbers: each fold has small and large ones."""
    assert task.clusters is not None
    numbers = task.clusters
    if folds != "loo":
        numbers = number_folds(task.labels, folds, numbers)
    return {turn: numbers == turn for turn in np.unique(numbers).tolist()}


def _held_out_labels(
    tasks: Sequence[TrainingTask],
    clusters: Sequence[str],
    order: Array,
    folds: int | Literal["loo"],
    scoring: str,
) -> list[dict[int, Array]]:
    """Return the same of many labels; folds are drawn from the rows in their `order`.

    All labels share the folds, so that no head is chosen by an example that it classifies later. A
    label has none where its positive or its negative examples are too few to leave some out.

    SelectionError if that is so for all labels.
    """
    states = np.full((len(tasks), len(clusters)), UNKNOWN, np.int8)
    for of_label, task in zip(states, tasks, strict=True):
        of_label[task.rows] = task.labels
    if folds == "loo":
        numbers = np.unique(clusters, return_inverse=True)[1]
    else:
        names = [clusters[int(row)] for row in order]
        first = {name: str(place) for place, name in reversed([*enumerate(names)])}
        numbers = np.empty(len(order), np.int64)
        numbers[order] = label_folds(
            states[:, order], min(folds, len(first)), [first[name] for name in names]
        )
    least = 1 if scoring == "resubstitution" else 2
    outs: list[dict[int, Array]] = []
    for task in tasks:
        of_rows = numbers[task.rows]
        flags = {int(fold): of_rows == fold for fold in np.unique(of_rows)}
        left = [np.bincount(task.labels[~out], minlength=2).min() for out in flags.values()]
        outs.append(flags if min(left) >= least else {})
    if not any(outs):
        raise SelectionError(
            "cross-validation needs two independent examples where a label is there, and two where"
            " it is absent, but no label has them; add more examples"
        )
    return outs


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
    orders: list[HeadScores] = scores
    if selection.joint_heads:
        turns = [part.turn for part in parts]
        by_turn = {
            turn: joint_scores(
                [(t, s) for t, s, n in zip(others, scores, turns, strict=True) if n == turn]
            )
            for turn in dict.fromkeys(turns)
        }
        orders = [by_turn[turn] for turn in turns]
    return [
        best_heads(heads, task, of_fold, len(part.selected.heads), order)
        for part, task, of_fold, order in zip(parts, others, scores, orders, strict=True)
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
