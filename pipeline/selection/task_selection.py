"""The heads of one subtask: scored on its training examples, ranked, fitted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.calibration import Calibration
from savs.pipeline.selection.config_json import TaskConfig
from savs.pipeline.selection.heads.class_texts import text_arguments
from savs.pipeline.selection.heads.head_scores import HeadScores, rank_heads
from savs.pipeline.selection.heads.rows_copier import RowsCopier
from savs.pipeline.selection.heads.training_set import TrainingTask, head_widths
from savs.pipeline.selection.readouts import Fitted, Readout
from savs.stores import FeatureStore, Head

READ = 2**26
"""Bytes of features that are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSelection(TaskConfig):
    """The chosen heads of one subtask, and the classifier that they make."""

    fitted: Fitted
    """What the readout fitted on the chosen heads."""
    calibration: Calibration | None = None
    """What left-out training examples say of it; see `savs.pipeline.calibrate`."""


def heads_up_to(store: FeatureStore, max_layer: int | None) -> list[Head]:
    """Return the heads of a store that lie in layers up to `max_layer`; None for all."""
    return [head for head in store.heads if max_layer is None or head[0] <= max_layer]


def score_tasks(
    store: FeatureStore,
    rule: Readout,
    scoring: str,
    tasks: Sequence[TrainingTask],
    max_layer: int | None = None,
) -> list[HeadScores]:
    """Return the scores of the heads, in the order of `heads_up_to`, for each task.

    Memory holds the training features of one layer at a time, and one pass serves all tasks.
    """
    parts: list[list[HeadScores]] = [[] for _ in tasks]
    copier = RowsCopier()
    for grid in store.grid:
        if max_layer is not None and grid.layer > max_layer:
            continue
        held = [(grid.layer, head) for head in grid.heads]
        features = store.features("train", held)
        widths = [grid.head_dim] * len(grid.heads)
        for task, found in zip(tasks, parts, strict=True):
            texts = text_arguments(store, rule.texts, task, held)
            given = (task.labels, task.classes, widths, scoring)
            own = copier.copy(features, task.rows)
            found.append(rule.score_heads(own, *given, **texts))
    return [
        HeadScores(
            np.concatenate([layer.score for layer in found]),
            np.concatenate([layer.margin for layer in found]),
        )
        for found in parts
    ]


@dataclass(frozen=True, slots=True)
class ScoredHeads:
    """The chosen heads of a task, before a readout is fitted on them."""

    task: TrainingTask
    heads: tuple[Head, ...]
    """Best first."""
    scores: tuple[float, ...]
    margins: tuple[float, ...]


def best_heads(
    heads: Sequence[Head], task: TrainingTask, scores: HeadScores, count: int
) -> ScoredHeads:
    """Return the `count` best of the heads that were scored on a task."""
    chosen = rank_heads(scores, heads)[:count]
    return ScoredHeads(
        task,
        tuple(heads[i] for i in chosen),
        tuple(float(scores.score[i]) for i in chosen),
        tuple(float(scores.margin[i]) for i in chosen),
    )


def given_heads(
    store: FeatureStore, rule: Readout, scoring: str, task: TrainingTask, heads: Sequence[Head]
) -> ScoredHeads:
    """Return heads that were chosen elsewhere, in their order, scored on a task."""
    (features,) = chosen_features(store, [(tuple(heads), task.rows)])
    widths = head_widths(store, heads)
    texts = text_arguments(store, rule.texts, task, heads)
    scores = rule.score_heads(features, task.labels, task.classes, widths, scoring, **texts)
    return ScoredHeads(
        task, tuple(heads), tuple(scores.score.tolist()), tuple(scores.margin.tolist())
    )


def fit_tasks(
    store: FeatureStore, rule: Readout, chosen: Sequence[ScoredHeads]
) -> list[TaskSelection]:
    """Return the tasks with the readout fitted on their heads."""
    wanted = [(one.heads, one.task.rows) for one in chosen]
    return [
        fit_task(store, rule, one, features)
        for one, features in zip(chosen, chosen_features(store, wanted), strict=True)
    ]


def fit_task(
    store: FeatureStore, rule: Readout, chosen: ScoredHeads, features: Array
) -> TaskSelection:
    """Return a task with the readout fitted on its heads' `(heads, rows, d)` features."""
    task, widths = chosen.task, head_widths(store, chosen.heads)
    texts = text_arguments(store, rule.texts, task, chosen.heads)
    return TaskSelection(
        subtask=task.subtask,
        classes=task.classes,
        heads=chosen.heads,
        scores=chosen.scores,
        margins=chosen.margins,
        examples=len(task.rows),
        question=task.question,
        media=task.media,
        fitted=rule.fit(features, task.labels, task.classes, widths, **texts),
    )


def chosen_features(
    store: FeatureStore, wanted: Sequence[tuple[Sequence[Head], Array]]
) -> list[Array]:
    """Return some heads of some training examples, for each pair of heads and `(rows,)` indices.

    Each head is read once; memory holds `READ` bytes of the train split beside the result.

    Returns
    -------
    list of ndarray
        `(heads, rows, d)` float32, `d` the width of the pair's widest head.
    """
    found = [
        np.zeros((len(heads), len(rows), max(head_widths(store, heads))), np.float32)
        for heads, rows in wanted
    ]
    needed = sorted({head for heads, _ in wanted for head in heads})
    planned = max(1, len(store.manifest.plan.splits["train"].ids))
    step = max(1, READ // (4 * planned * max(head_widths(store, needed))))
    for start in range(0, len(needed), step):
        some = needed[start : start + step]
        read = store.features("train", some)
        for (heads, rows), values in zip(wanted, found, strict=True):
            for place, head in enumerate(heads):
                if head in some:
                    own = read[some.index(head), :, : values.shape[2]]
                    values[place, :, : own.shape[1]] = own[rows]
    return found
