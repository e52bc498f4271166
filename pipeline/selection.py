"""Stage 2, `select`: score the heads on the training examples, keep the best, fit the readout."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import READOUTS, Fitted, Readout
from savs.pipeline.scoring import SCORINGS, HeadScores, rank_heads
from savs.pipeline.training import TrainingTask, train_digest, training_tasks
from savs.stores import FeatureStore, Head

DEFAULT_HEADS = 20


@dataclass(frozen=True, slots=True)
class TaskSelection:
    """The chosen heads of one subtask, and the classifier that they make."""

    subtask: str | None
    """None where the benchmark has no subtasks."""
    classes: tuple[str, ...]
    """In order of first appearance in the train file."""
    heads: tuple[Head, ...]
    """Best first."""
    scores: tuple[float, ...]
    """Train-side score of each chosen head: what chose it, no estimate of performance."""
    margins: tuple[float, ...]
    """Train-side margin of each chosen head."""
    examples: int
    """Number of training examples."""
    fitted: Fitted
    """What the readout fitted on the chosen heads."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A few-shot classifier, whole: heads, classes, fit, and the model that they belong to."""

    source: Mapping[str, Any]
    """What the features are of: model, processor, dtype, prompt and heads of the store."""
    train: str
    """Digest of the training examples."""
    readout: str
    scoring: str
    tasks: tuple[TaskSelection, ...]
    """One a subtask, in the order of the train file."""

    @property
    def model(self) -> Mapping[str, Any]:
        """The model that the heads belong to."""
        return self.source["model"]

    @property
    def top_heads(self) -> list[tuple[int, int, int]]:
        """The heads as the public reference writes them: `(layer, head, -1)`, best first.

        Raises
        ------
        SelectionError
            There are several subtasks; take `tasks[i].heads`.
        """
        return [(layer, head, -1) for layer, head in self.only_task().heads]

    def only_task(self) -> TaskSelection:
        """Return the only subtask's selection; SelectionError where there are several."""
        if len(self.tasks) != 1:
            names = [task.subtask for task in self.tasks]
            raise SelectionError(
                f"{len(names)} subtasks were selected ({names}); take one of tasks"
            )
        return self.tasks[0]


def find_readout(name: str) -> Readout:
    """Return the readout of a name; SelectionError lists those there are."""
    if name not in READOUTS:
        raise SelectionError(f"no readout is called {name!r}; there are: {', '.join(READOUTS)}")
    return READOUTS[name]


def default_heads(store: FeatureStore) -> int:
    """Return how many heads are kept where nobody says: 20, or all of a store that has fewer."""
    return min(DEFAULT_HEADS, len(store.heads))


def select(
    store: FeatureStore,
    *,
    heads: int | Literal["all"] = DEFAULT_HEADS,
    readout: str = "vote",
    scoring: str = "resubstitution",
) -> Selection:
    """Choose the heads that tell the training classes apart, for each subtask by itself.

    Heads are ordered by score, then margin, then (layer, head). Memory holds the training features
    of one layer at a time.

    Parameters
    ----------
    store
        Features; the train split is read.
    heads
        How many to keep, or `all`.
    readout
        The rule that is fitted on the chosen heads.
    scoring
        How heads are scored: `resubstitution` as in the paper, or `loo`.

    Raises
    ------
    SelectionError
        Unknown readout or scoring, more heads than the store has, a class without a usable
        training example, or one class only.
    StoreIncompleteError
        A shard of the train split is missing.
    """
    rule = find_readout(readout)
    if scoring not in SCORINGS:
        raise SelectionError(f"no scoring is called {scoring!r}; there are: {', '.join(SCORINGS)}")
    count = len(store.heads) if heads == "all" else heads
    if not 1 <= count <= len(store.heads):
        raise SelectionError(
            f"{count} heads asked for, but the store has {len(store.heads)}; give --heads 1 to"
            f" {len(store.heads)}, or all"
        )
    tasks = training_tasks(store)
    scores = _score_all(store, rule, scoring, tasks)
    return Selection(
        source=store.manifest.identity.source(),
        train=train_digest(store),
        readout=readout,
        scoring=scoring,
        tasks=tuple(
            _select_task(store, rule, task, found, count)
            for task, found in zip(tasks, scores, strict=True)
        ),
    )


def _score_all(
    store: FeatureStore, rule: Readout, scoring: str, tasks: list[TrainingTask]
) -> list[HeadScores]:
    """Return the scores of all heads, in the order of `store.heads`, for each task."""
    parts: list[list[HeadScores]] = [[] for _ in tasks]
    for grid in store.grid:
        features = store.features("train", [(grid.layer, head) for head in grid.heads])
        for task, found in zip(tasks, parts, strict=True):
            found.append(
                rule.score_heads(features[:, task.rows], task.labels, task.classes, scoring)
            )
    return [
        HeadScores(
            np.concatenate([layer.score for layer in found]),
            np.concatenate([layer.margin for layer in found]),
        )
        for found in parts
    ]


def _select_task(
    store: FeatureStore, rule: Readout, task: TrainingTask, scores: HeadScores, count: int
) -> TaskSelection:
    chosen = rank_heads(scores, store.heads)[:count]
    heads = tuple(store.heads[place] for place in chosen)
    features = store.features("train", heads)[:, task.rows]
    return TaskSelection(
        subtask=task.subtask,
        classes=task.classes,
        heads=heads,
        scores=tuple(float(scores.score[place]) for place in chosen),
        margins=tuple(float(scores.margin[place]) for place in chosen),
        examples=len(task.rows),
        fitted=rule.fit(features, task.labels, task.classes),
    )
