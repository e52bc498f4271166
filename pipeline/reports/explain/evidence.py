"""What each chosen head saw of an example: its vote, class cosines, nearest training examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.errors import ReportError
from savs.pipeline.selection.heads.centroids import (
    class_centroids,
    cosines,
    first_of_best,
    leads,
    normalise,
)
from savs.pipeline.selection.readouts import HeadsFit, Readout
from savs.pipeline.selection.selection import Selection, TaskSelection, chosen_features
from savs.pipeline.selection.training_data import (
    StoredTraining,
    TrainingTask,
    head_widths,
    training_tasks,
)
from savs.stores import FeatureStore, Head

NEAREST = 3
"""Training examples that are named for each head."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What the heads of one subtask were fitted on."""

    selection: TaskSelection
    labels: Array
    """`(n,)` class numbers."""
    ids: tuple[str, ...]
    features: Array
    """`(heads, n, d)` float32, heads best first."""
    centroids: Array
    """`(heads, classes, d)`; without the examples their directions alone."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One example in the heads of its subtask."""

    id: str
    trained: Trained
    features: Array
    """`(heads, d)`."""
    table: Array
    """`(heads, classes)` cosines with the class centroids."""
    votes: Array
    """`(heads,)` class numbers."""
    leads: Array
    """`(heads,)`: the vote's cosine less the best other one."""
    nearest: Array
    """`(heads, k)` numbers of the nearest training examples, nearest first."""
    similar: Array
    """`(heads, k)`: their cosines."""


def gather_evidence(
    store: FeatureStore, selection: Selection, examples: Mapping[str, str | None], split: str
) -> dict[str, Evidence]:
    """Return the evidence of some examples.

    `examples` are ids with their subtasks, all of one split of the store whose training examples
    made the selection.

    Raises
    ------
    ReportError
        The store has no features of an example.
    """
    wanted = set(examples.values())
    trained = trained_on(store, [task for task in selection.tasks if task.subtask in wanted])
    features = _features(store, split, selection.heads, list(examples))
    evidence = {}
    for name, subtask in examples.items():
        if name not in features:
            raise ReportError(
                f"the store has no features of example {name!r}: it was skipped at extraction"
            )
        task = trained[subtask]
        places = [selection.heads.index(head) for head in task.selection.heads]
        width = task.centroids.shape[2]
        evidence[name] = weigh(name, task, features[name][places, :width])
    return evidence


def trained_on(store: FeatureStore, selected: Sequence[TaskSelection]) -> dict[str | None, Trained]:
    """Return what the heads of some subtasks of a selection were fitted on, in its store."""
    tasks = {task.subtask: task for task in training_tasks(store)}
    return {task.subtask: _train(store, task, tasks[task.subtask]) for task in selected}


def trained_alone(selection: TaskSelection, rule: Readout) -> Trained | None:
    """Return the same of a classifier without its store: centroids, and no training examples.

    None if the classifier has no centroids either.
    """
    calibration, fitted = selection.calibration, selection.fitted
    centroids = None if calibration is None else calibration.centroids
    if rule.has_centroids and isinstance(fitted, HeadsFit):
        centroids = fitted.directions
    if centroids is None:
        return None
    heads, _, width = centroids.shape
    none = np.zeros((heads, 0, width), np.float32)
    return Trained(selection, np.zeros(0, np.int64), (), none, centroids)


def _train(store: FeatureStore, selection: TaskSelection, task: TrainingTask) -> Trained:
    (features,) = chosen_features(StoredTraining(store), [(selection.heads, task.rows)])
    ids = store.examples("train")["id"][task.rows].to_list()
    centroids = class_centroids(features, task.labels, len(task.classes))
    return Trained(selection, task.labels, tuple(ids), features, centroids)


def _features(
    store: FeatureStore, split: str, heads: Sequence[Head], ids: Sequence[str]
) -> dict[str, Array]:
    """Return `(heads, d)` features of examples; memory holds one shard's."""
    by_id: dict[str, Array] = {}
    head_widths(store, heads)
    for block in store.blocks(split, heads):
        rows = block.examples.with_row_index("row").filter(pl.col("id").is_in(list(ids)))
        for name, row in rows.select("id", "row").rows():
            by_id[name] = block.features[:, row]
    return by_id


def weigh(name: str, trained: Trained, features: Array) -> Evidence:
    """Return the evidence of an example with these `(heads, d)` features."""
    table = cosines(features[:, None], trained.centroids)[:, 0]
    votes = first_of_best(table)
    alike = np.einsum("hd,hnd->hn", normalise(features), normalise(trained.features))
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :NEAREST]
    return Evidence(
        id=name,
        trained=trained,
        features=features,
        table=table,
        votes=votes,
        leads=leads(table, votes),
        nearest=nearest,
        similar=np.take_along_axis(alike, nearest, axis=1),
    )
