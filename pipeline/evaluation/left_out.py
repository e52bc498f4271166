"""Predictions of training examples by classifiers that never saw them.

Nested K-fold: in each part's turn, heads are scored, chosen and fitted on the other parts alone,
with the selection's own number of heads, scoring and readout, and classify the part left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.fold_features import Fold, fold_features
from savs.pipeline.evaluation.predictions import predicted
from savs.pipeline.selection.calibration import CENTROIDS, has_centroids, typicality_of
from savs.pipeline.selection.compatibility import require_same_model
from savs.pipeline.selection.heads.centroids import class_centroids
from savs.pipeline.selection.heads.folds import FOLDS, fold_count, stratified_folds
from savs.pipeline.selection.heads.training_set import TrainingTask, train_digest, training_tasks
from savs.pipeline.selection.readouts import ClassScores, Fitted, Readout
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.task_selection import (
    ScoredHeads,
    TaskSelection,
    best_heads,
    fit_task,
    given_heads,
    heads_up_to,
    score_tasks,
)
from savs.stores import FeatureStore

SEEN = 512
"""Examples of its own fit that a readout is put to at most, for a calibration."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The examples of a task, each classified by a selection of the other folds."""

    predictions: pl.DataFrame
    """One row an example with `row`, its number in the train split; see `predicted`."""
    labels: Array
    """`(n,)` class numbers, in the order of `predictions`."""
    scores: Array
    """`(n, classes)` float32 of the readout."""
    typicality: Array
    """`(n,)` float32; empty if it is not for a calibration."""
    seen: Array
    """`(m, classes)` scores of examples that each fold's readout was fitted on; empty likewise."""
    folds: int
    kept: tuple[float, float]
    """Least and greatest share of the examples that a fold's selection was made of."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a task's examples, and the others."""

    task: TrainingTask
    like: TaskSelection
    """The selection on the whole task."""
    out: Array
    """`(n,)` flags of the part that is classified."""

    @property
    def others(self) -> TrainingTask:
        return self.task.part(~self.out)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one part adds to `LeftOut`."""

    part: _Part
    predictions: pl.DataFrame
    scores: Array
    typicality: Array
    seen: Array


def leave_out(
    store: FeatureStore,
    selection: Selection,
    folds: int | Literal["loo"] = FOLDS,
    *,
    for_calibration: bool = False,
) -> list[LeftOut]:
    """Classify each training example by a selection of the other folds, task by task.

    Examples that share an image or a group stay in one part. Heads that were taken from elsewhere
    (`heads_from`) are only fitted again. Arguments and errors as in `evaluate` on folds.
    """
    if folds != "loo" and folds < 2:
        raise SelectionError(f"folds is {folds}, expected at least 2, or 'loo'")
    training = _own_tasks(store, selection)
    rule = selection.rule
    examples = store.examples("train").with_row_index("row")
    clusters = clusters_of(examples).to_list()
    parts = [
        _Part(task, like, out)
        for task, like in zip(training, selection.tasks, strict=True)
        for out in held_out(task, [clusters[row] for row in task.rows], folds, selection.scoring)
    ]
    chosen = _choose(store, rule, selection, parts)
    found: dict[int, list[_Found]] = {}
    pairs = list(zip(parts, chosen, strict=True))
    features = fold_features(store, [Fold(part.task, part.out, own.heads) for part, own in pairs])
    for (part, heads), (own, out) in zip(pairs, features, strict=True):
        fitted = fit_task(store, rule, heads, own).fitted
        if for_calibration:
            judged = judge(rule, fitted, own, part.others, out)
        else:
            scores = fitted.scores(out)
            judged = Judged(scores, np.zeros(0, np.float32), scores.scores[:0])
        frame = predicted(examples[part.task.rows[part.out]], part.task.classes, judged.scores)
        kept = _Found(part, frame, judged.scores.scores, judged.typicality, judged.seen)
        found.setdefault(id(part.task), []).append(kept)
    return [_joined(own) for own in found.values()]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a fit of some examples makes of others."""

    scores: ClassScores
    typicality: Array
    """`(n,)` float32 of the others."""
    seen: Array
    """`(m, classes)` scores of examples that it was fitted on."""


def judge(rule: Readout, fitted: Fitted, own: Array, task: TrainingTask, out: Array) -> Judged:
    """Judge a fit for a calibration.

    Parameters
    ----------
    rule
        The readout.
    fitted
        Its fit to `own`, `(heads, m, d)` features of the examples of a task.
    own, task
        See `fitted`.
    out
        `(heads, n, d)` features of other examples.
    """
    scores = fitted.scores(out)
    centroids = (
        getattr(fitted, CENTROIDS)
        if has_centroids(rule)
        else class_centroids(own, task.labels, len(task.classes))
    )
    seen = fitted.scores(own[:, some_of(own.shape[1])]).scores
    return Judged(scores, typicality_of(out, centroids, fitted, scores), seen)


def _own_tasks(store: FeatureStore, selection: Selection) -> list[TrainingTask]:
    """Return the training examples of a store by subtask, from which the selection was made."""
    require_same_model(store, selection)
    tasks = training_tasks(store)
    ours, theirs = ([task.subtask for task in found] for found in (tasks, selection.tasks))
    if selection.train != train_digest(store) or ours != theirs:
        raise SelectionError(
            f"the selection was not made from all training examples of {store.path}, which"
            " cross-validation leaves out in turn; run `savs select` on this store"
        )
    return tasks


def some_of(count: int) -> slice:
    """Return every so many-th of the examples: `SEEN` at most, or all of fewer."""
    return slice(None, None, -(-count // SEEN))


def _joined(found: Sequence[_Found]) -> LeftOut:
    parts = [one.part for one in found]
    kept = [int((~part.out).sum()) / len(part.out) for part in parts]
    return LeftOut(
        predictions=pl.concat([one.predictions for one in found]),
        labels=np.concatenate([part.task.labels[part.out] for part in parts]),
        scores=np.concatenate([one.scores for one in found]),
        typicality=np.concatenate([one.typicality for one in found]),
        seen=np.concatenate([one.seen for one in found]),
        folds=len(found),
        kept=(min(kept), max(kept)),
    )


def held_out(
    task: TrainingTask, clusters: Sequence[str], folds: int | Literal["loo"], scoring: str
) -> list[Array]:
    """Return the flags of each part of a task, which are left out in turn.

    Raises
    ------
    SelectionError
        A class has too few examples that share no cluster, or too few would be left to score by.
    """
    where = of_subtask(task.subtask)
    tied = {
        label: len({clusters[int(i)] for i in np.flatnonzero(task.labels == number)})
        for number, label in enumerate(task.classes)
    }
    rarest = min(tied, key=lambda label: tied[label])
    if tied[rarest] < 2:
        raise SelectionError(
            f"cross-validation needs two independent examples of each class, but class {rarest!r}"
            f"{where} has one, or its examples share an image or a group; add more examples"
        )
    if folds == "loo":
        found = np.unique(clusters, return_inverse=True)[1]
    else:
        count = min(fold_count(task.labels, folds), tied[rarest])
        found = stratified_folds(task.labels, count, clusters)
    parts = [found == fold for fold in range(int(found.max()) + 1)]
    for out in parts:
        left = np.bincount(task.labels[~out], minlength=len(task.classes))
        if scoring != "resubstitution" and (left == 1).any():
            label = task.classes[int(np.flatnonzero(left == 1)[0])]
            raise SelectionError(
                f"cross-validation leaves one training example of class {label!r}{where} to choose"
                f" heads by, but {scoring} scoring needs two; add examples, or select with"
                " --scoring resubstitution"
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
    store: FeatureStore, rule: Readout, selection: Selection, parts: Sequence[_Part]
) -> list[ScoredHeads]:
    """Return the heads for each part, chosen by the others."""
    others = [part.others for part in parts]
    if selection.heads_from is not None:
        return [
            given_heads(store, rule, selection.scoring, other, part.like.heads)
            for part, other in zip(parts, others, strict=True)
        ]
    scores = score_tasks(store, rule, selection.scoring, others, selection.max_layer)
    heads = heads_up_to(store, selection.max_layer)
    return [
        best_heads(heads, other, own, len(part.like.heads))
        for part, other, own in zip(parts, others, scores, strict=True)
    ]
