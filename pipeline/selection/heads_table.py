"""The vote of each single head on each example, with its cosines and margin."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.foundation.frames import lazy_frames
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import class_centroids, first_of_best, leads
from savs.pipeline.heads.neurons import likeness
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask
from savs.pipeline.targets import target_of
from savs.stores import FeatureStore, Head, head_name
from savs.stores.format.layout import holder
from savs.stores.read.store import AnyStore, as_store

HEAD_VOTE_SCHEMA: Mapping[str, pl.DataType] = {
    "id": pl.String(),
    "split": pl.String(),
    "subtask": pl.String(),
    "label": pl.String(),
    "layer": pl.Int32(),
    "head": pl.Int32(),
    "name": pl.String(),
    "vote": pl.String(),
    "correct": pl.Boolean(),
    "margin": pl.Float32(),
    "similarity": pl.List(pl.Struct({"class": pl.String, "cosine": pl.Float32})),
}
"""Columns of `heads_frame`. `margin` is the cosine of the vote's centroid less the next best one,
0 if the two tie; of neurons, which have no cosines, it is the closeness."""


def heads_frame(
    store: AnyStore, heads: Sequence[Head] | None = None, split: str = "test"
) -> pl.LazyFrame:
    """Return one row per example and head, with the vote of that head alone.

    Centroids are the class means over the store's training examples, subtask by subtask; of the
    split `train` each example is part of its own. Rows come shard by shard, so memory is bounded by
    one shard's heads. Columns `HEAD_VOTE_SCHEMA`.

    HeadNotFoundError if the store does not hold one of the heads; StoreIncompleteError if a planned
    shard is missing; SelectionError if an example has not one class of several, or a subtask has no
    training examples. Of a store that is opened with `partial`, such subtasks are left out.
    """
    store = as_store(store)
    target_of(store.benchmark).require("a table of votes", store.path)
    wanted = list(store.heads if heads is None else heads)
    return lazy_frames(lambda: _frames(store, wanted, split), HEAD_VOTE_SCHEMA, "savs head votes")


def _frames(store: FeatureStore, heads: list[Head], split: str) -> Iterator[pl.DataFrame]:
    training = StoredTraining(store).tasks()
    centroids = _centroids(store, heads, training)
    tasks = {t.subtask: (t.classes, c) for t, c in zip(training, centroids, strict=True)}
    for block in store.blocks(split, heads):
        for (subtask,), part in block.examples.with_row_index("row").group_by(
            "subtask", maintain_order=True
        ):
            task = tasks.get(None if subtask is None else str(subtask))
            if task is None and store.partial:
                continue  # its training examples are not extracted yet
            if task is None:
                raise SelectionError(
                    f"subtask {subtask!r} of the {split} split has no training examples; add"
                    " some, or drop its rows"
                )
            yield _votes(part, heads, block.features[:, part["row"].to_numpy()], *task)


def _centroids(
    store: FeatureStore, heads: list[Head], tasks: Sequence[TrainingTask]
) -> list[Array]:
    """Return `(heads, classes, d)` for each task; memory holds one layer of the train split."""
    width = max(store.widths(heads))
    centroids = [np.zeros((len(heads), len(task.classes), width), np.float32) for task in tasks]
    for layer in dict.fromkeys(layer for layer, _ in heads):
        rows = [row for row, head in enumerate(heads) if head[0] == layer]
        features = store.features("train", [heads[row] for row in rows])
        for task, of_task in zip(tasks, centroids, strict=True):
            part = class_centroids(features[:, task.rows], task.labels, len(task.classes))
            of_task[rows, :, : part.shape[2]] = part
    return centroids


def _votes(
    examples: pl.DataFrame,
    heads: list[Head],
    features: Array,
    classes: tuple[str, ...],
    centroids: Array,
) -> pl.DataFrame:
    """Return the rows of some examples: all heads of the first, then all of the next."""
    table = likeness(heads, features, centroids).transpose(1, 0, 2)  # (n, heads, classes)
    chosen = first_of_best(table)  # (n, heads)
    names = np.array(classes, dtype=object)
    n, count = chosen.shape
    repeated = examples.select(
        pl.col(name).repeat_by(count).explode() for name in ("id", "split", "subtask", "label")
    )
    return (
        repeated.with_columns(
            pl.Series("layer", [layer for layer, _ in map(holder, heads)] * n, dtype=pl.Int32),
            pl.Series("head", [head for _, head in map(holder, heads)] * n, dtype=pl.Int32),
            pl.Series("name", [head_name(head) for head in heads] * n),
            pl.Series("vote", names[chosen].ravel(), dtype=pl.String),
            pl.Series("margin", leads(table, chosen).ravel(), dtype=pl.Float32),
            _similarities(table.reshape(n * count, -1), classes),
        )
        .with_columns(correct=pl.col("vote") == pl.col("label"))
        .select(list(HEAD_VOTE_SCHEMA))
    )


def _similarities(table: Array, classes: Sequence[str]) -> pl.Series:
    """Return `(rows, classes)` cosines as lists of class and cosine."""
    flat = pl.DataFrame(
        {"class": list(classes) * len(table), "cosine": table.ravel()},
        schema={"class": pl.String, "cosine": pl.Float32},
    ).to_struct("similarity")
    return flat.reshape(table.shape).arr.to_list()
