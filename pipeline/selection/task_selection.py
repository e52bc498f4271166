"""The heads of one subtask: scored on its training examples, ranked, fitted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.pipeline.heads.head_scores import HeadScores, rank_heads
from savs.pipeline.heads.training_set import TrainingTask, head_widths
from savs.pipeline.readouts import Fitted, Readout
from savs.pipeline.selection.config_json import TaskConfig
from savs.stores import FeatureStore, Head


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSelection(TaskConfig):
    """The chosen heads of one subtask, and the classifier that they make."""

    fitted: Fitted
    """What the readout fitted on the chosen heads."""


def score_tasks(
    store: FeatureStore, rule: Readout, scoring: str, tasks: Sequence[TrainingTask]
) -> list[HeadScores]:
    """Return the scores of all heads, in the order of `store.heads`, for each task.

    Memory holds the training features of one layer at a time, and one pass serves all tasks.
    """
    parts: list[list[HeadScores]] = [[] for _ in tasks]
    for grid in store.grid:
        features = store.features("train", [(grid.layer, head) for head in grid.heads])
        widths = [grid.head_dim] * len(grid.heads)
        for task, found in zip(tasks, parts, strict=True):
            part = features[:, task.rows]
            found.append(rule.score_heads(part, task.labels, task.classes, widths, scoring))
    return [
        HeadScores(
            np.concatenate([layer.score for layer in found]),
            np.concatenate([layer.margin for layer in found]),
        )
        for found in parts
    ]


def best_heads(
    store: FeatureStore, rule: Readout, task: TrainingTask, scores: HeadScores, count: int
) -> TaskSelection:
    """Return the `count` best heads of a task, fitted."""
    chosen = rank_heads(scores, store.heads)[:count]
    return _fitted(store, rule, task, [store.heads[i] for i in chosen], scores, chosen)


def given_heads(
    store: FeatureStore, rule: Readout, scoring: str, task: TrainingTask, heads: Sequence[Head]
) -> TaskSelection:
    """Return heads that were chosen elsewhere, in their order, scored and fitted on a task."""
    features = store.features("train", heads)[:, task.rows]
    widths = head_widths(store, heads)
    scores = rule.score_heads(features, task.labels, task.classes, widths, scoring)
    return _fitted(store, rule, task, heads, scores, range(len(heads)))


def _fitted(
    store: FeatureStore,
    rule: Readout,
    task: TrainingTask,
    heads: Sequence[Head],
    scores: HeadScores,
    indices: Sequence[int],
) -> TaskSelection:
    features = store.features("train", heads)[:, task.rows]
    return TaskSelection(
        subtask=task.subtask,
        classes=task.classes,
        heads=tuple(heads),
        scores=tuple(float(scores.score[i]) for i in indices),
        margins=tuple(float(scores.margin[i]) for i in indices),
        examples=len(task.rows),
        question=task.question,
        media=task.media,
        fitted=rule.fit(features, task.labels, task.classes, head_widths(store, heads)),
    )
