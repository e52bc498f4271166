"""Stage 2, `evaluate`: stored features and a selection -> predictions and metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Benchmark, find_benchmark
from savs.datasets.clusters import cluster_ids
from savs.pipeline.centroids import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import ClassScores
from savs.pipeline.selection import Selection, TaskSelection, select
from savs.pipeline.statistics import Metric, summarise
from savs.stores import FeatureStore, Head
from savs.stores.manifest import differences

VOTES_KEPT = 20
"""Classes named in a prediction's `votes`."""

FEW_CLUSTERS = 10
"""With fewer clusters than this, a note says so."""

ZERO_SHOT = "zero-shot"
"""Name of the readout that is the model's own answer; see `answers.py`."""

PREDICTION_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "correct": pl.Boolean,
    "margin": pl.Float32,
    "votes": pl.List(pl.Struct({"class": pl.String, "score": pl.Float32})),
    "group": pl.String,
    "subtask": pl.String,
    "category": pl.String,
    "cluster": pl.String,
}
"""Columns of the predictions. A skipped example has no prediction and is not correct."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a selection makes of a store's test examples."""

    metrics: tuple[Metric, ...]
    """The headline first."""
    predictions: pl.DataFrame
    """One row a test example, in the order of the input file; columns `PREDICTION_SCHEMA`."""
    selection: Selection | None
    """None where the model's own answers were taken."""
    model: Mapping[str, Any]
    """Identity of the model."""
    planned: int
    """Test examples in the input file, or up to `--limit`."""
    skipped: int
    """Test examples that could not be read; they count as wrong."""
    notes: tuple[str, ...]
    """What a reader of the numbers must know."""

    @property
    def readout(self) -> str:
        """Name of the rule that made the predictions."""
        return self.selection.readout if self.selection else ZERO_SHOT

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        chosen = self.selection
        return {
            "model": dict(self.model),
            "readout": self.readout,
            "scoring": chosen.scoring if chosen else None,
            "heads": max(len(task.heads) for task in chosen.tasks) if chosen else 0,
            "planned": self.planned,
            "scored": self.planned - self.skipped,
            "skipped": self.skipped,
            "metrics": [metric.to_json() for metric in self.metrics],
            "notes": list(self.notes),
        }


def evaluate(
    store: FeatureStore,
    selection: Selection | None = None,
    *,
    benchmark: Benchmark | None = None,
) -> Evaluation:
    """Classify the test examples and measure how well, from stored features alone.

    Memory holds the chosen heads of one shard at a time. A skipped test example counts as wrong,
    and so does one whose label training never had; both are reported.

    Parameters
    ----------
    store
        Features of a complete extraction.
    selection
        Made by `select`; by default `select(store)`, which the notes then say.
    benchmark
        Whose metrics to take, where the store is of a benchmark of your own.

    Raises
    ------
    StoreIncompleteError
        A planned shard is missing.
    SelectionError
        The selection is of another model, or lacks a subtask of the test split.
    """
    store.require_complete()
    notes = []
    if selection is None:
        selection = select(store)
        notes.append(
            f"no selection was given: the default one was made ({len(selection.tasks[0].heads)}"
            f" heads, readout {selection.readout})"
        )
    apart = differences(store.manifest.identity.source(), selection.source, "in the selection")
    if apart:
        raise SelectionError(
            f"the selection was not made from features of the same kind as {store.path}:\n  "
            + "\n  ".join(apart)
            + "\nselect again from this store"
        )
    parts = _predict(store, selection)
    classes = {task.subtask: task.classes for task in selection.tasks}
    return assess(store, parts, classes, selection, notes, benchmark)


def assess(
    store: FeatureStore,
    parts: Sequence[pl.DataFrame],
    classes: Mapping[str | None, Sequence[str]],
    selection: Selection | None,
    notes: Sequence[str] = (),
    benchmark: Benchmark | None = None,
) -> Evaluation:
    """Return the evaluation of predictions: what was skipped is wrong, clusters, metrics, notes.

    Parameters
    ----------
    store
        The store that the predictions are about.
    parts
        Test examples with `prediction`, `correct`, `margin` and `votes`, see `predicted`.
    classes
        The classes of each subtask.
    selection
        What made the predictions, if a selection did.
    notes
        What is known already that a reader must know.
    benchmark
        Whose metrics to take; the store's by default.
    """
    skipped = store.skipped("test").with_columns(correct=pl.lit(False))
    skipped = skipped.filter([subtask in classes for subtask in skipped["subtask"]])
    whole = pl.concat([*parts, skipped], how="diagonal_relaxed").sort("index")
    ties = [
        [*([f"group {group}"] if group is not None else []), *(hashes or names)]
        for group, hashes, names in whole.select("group", "media_sha256", "media").iter_rows()
    ]
    whole = whole.with_columns(cluster=pl.Series(cluster_ids(ties), dtype=pl.String))
    notes = [*notes, *_unseen_notes(whole, classes)]
    if skipped.height:
        notes.append(f"{skipped.height} test examples were skipped at extraction; they are wrong")
    chosen = benchmark or find_benchmark(store.manifest.identity.benchmark["name"])
    clusters = whole["cluster"].n_unique()
    if clusters < FEW_CLUSTERS < whole.height:
        notes.append(
            f"examples that share an image or a group are one cluster, and there are {clusters}:"
            " intervals are wide, or missing where there is one"
        )
    return Evaluation(
        metrics=tuple(summarise(units) for units in chosen.measure(whole, classes)),
        predictions=whole.select(_column(whole, name) for name in PREDICTION_SCHEMA),
        selection=selection,
        model=dict(store.manifest.identity.model),
        planned=whole.height,
        skipped=skipped.height,
        notes=tuple(notes),
    )


def _column(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = PREDICTION_SCHEMA[name]
    return (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)


def _predict(store: FeatureStore, selection: Selection) -> list[pl.DataFrame]:
    examples = store.examples("test").with_row_index("row")
    tasks = {task.subtask: task for task in selection.tasks}
    for subtask in examples["subtask"].unique(maintain_order=True):
        if subtask not in tasks:
            raise SelectionError(
                f"the selection has no subtask {subtask!r}, which the test split has; it has"
                f" {sorted(map(str, tasks))}"
            )
    heads = list(dict.fromkeys(head for task in selection.tasks for head in task.heads))
    parts, start = [], 0
    for block in store.blocks("test", heads):
        rows = examples.slice(start, block.shape[1])
        for (subtask,), part in rows.group_by("subtask", maintain_order=True):
            task = tasks[None if subtask is None else str(subtask)]
            features = _task_features(store, block, heads, task, part["row"].to_numpy() - start)
            parts.append(predicted(part, task.classes, task.fitted.scores(features)))
        start += block.shape[1]
    return parts


def _task_features(
    store: FeatureStore, block: Array, heads: list[Head], task: TaskSelection, rows: Array
) -> Array:
    """Return `(task heads, rows, d)`, as wide as the task's own widest head."""
    widths = {grid.layer: grid.head_dim for grid in store.grid}
    places = [heads.index(head) for head in task.heads]
    return block[np.asarray(places)[:, None], rows][
        :, :, : max(widths[layer] for layer, _ in task.heads)
    ]


def predicted(examples: pl.DataFrame, classes: Sequence[str], found: ClassScores) -> pl.DataFrame:
    """Return examples with their prediction, whether it is right, its margin and its votes."""
    rows = np.arange(examples.height)
    chosen = found.scores[rows, found.choice]
    others = found.scores.copy()
    others[rows, found.choice] = -np.inf
    order = np.argsort(-found.scores, axis=1, kind="stable")[:, :VOTES_KEPT]
    names = np.array(classes, dtype=object)
    return examples.with_columns(
        prediction=pl.Series(names[found.choice], dtype=pl.String),
        margin=pl.Series(chosen - others.max(axis=1), dtype=pl.Float32),
        votes=pl.Series(
            [
                [{"class": names[c], "score": float(scores[c])} for c in best]
                for best, scores in zip(order, found.scores, strict=True)
            ],
            dtype=PREDICTION_SCHEMA["votes"],
        ),
    ).with_columns(correct=pl.col("prediction") == pl.col("label"))


def _unseen_notes(
    predictions: pl.DataFrame, classes: Mapping[str | None, Sequence[str]]
) -> list[str]:
    known = {(subtask, label) for subtask, labels in classes.items() for label in labels}
    pairs = zip(predictions["subtask"], predictions["label"], strict=True)
    unseen = Counter(label for subtask, label in pairs if (subtask, label) not in known)
    return [
        f"label {label!r} of {count} test examples was never seen in training; they count as wrong"
        for label, count in unseen.items()
    ]
