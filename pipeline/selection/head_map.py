"""All heads of a store with their train-side scores, and the ones that a selection chose."""

import polars as pl

from savs.pipeline.selection.heads.training_set import training_tasks
from savs.pipeline.selection.selection import Selection, heads_of
from savs.pipeline.selection.task_selection import score_tasks
from savs.stores import FeatureStore, head_name

HEAD_MAP_SCHEMA = pl.Schema(
    {
        "subtask": pl.String,
        "layer": pl.Int64,
        "head": pl.Int64,
        "name": pl.String,
        "score": pl.Float64,
        "examples": pl.Int64,
        "margin": pl.Float64,
        "rank": pl.Int64,
    }
)
"""Columns of `head_map`. `score` is of `examples` training examples; `rank` counts the chosen heads
from 1 and is null for the others."""


def head_map(store: FeatureStore, selection: Selection) -> pl.DataFrame:
    """Score every head of a store as a selection did, and mark the heads that it chose.

    Train-side scores choose heads; they are no estimate of performance. Memory holds the training
    features of one layer at a time.

    Parameters
    ----------
    store
        Whose training examples are taken.
    selection
        Made from this store, or from another one of the same model.

    Returns
    -------
    polars.DataFrame
        One row a subtask and head, layer by layer; columns `HEAD_MAP_SCHEMA`.

    Raises
    ------
    SelectionError
        The selection is of another model, or lacks a subtask of the store.
    StoreIncompleteError
        A shard of the train split is missing.
    """
    tasks = training_tasks(store)
    chosen = heads_of(store, selection, [task.subtask for task in tasks])
    frames = []
    for task, own, heads in zip(
        tasks, score_tasks(store, selection.rule, selection.scoring, tasks), chosen, strict=True
    ):
        ranks = {head: rank for rank, head in enumerate(heads, start=1)}
        columns = {
            "subtask": [task.subtask] * len(store.heads),
            "layer": [layer for layer, _ in store.heads],
            "head": [head for _, head in store.heads],
            "name": [head_name(head) for head in store.heads],
            "score": own.score,
            "examples": [len(task.rows)] * len(store.heads),
            "margin": own.margin,
            "rank": [ranks.get(head) for head in store.heads],
        }
        frames.append(pl.DataFrame(columns, schema=HEAD_MAP_SCHEMA))
    return pl.concat(frames)


def mean_map(found: pl.DataFrame) -> pl.DataFrame:
    """Return one row a head over all subtasks of a head map.

    Returns
    -------
    polars.DataFrame
        `layer`, `head`, `name`, `share` (mean over subtasks of score / examples), `chosen` (number
        of subtasks that chose it) and `rank` (the best one).
    """
    return found.group_by("layer", "head", "name", maintain_order=True).agg(
        share=(pl.col("score") / pl.col("examples")).mean(),
        chosen=pl.col("rank").count().cast(pl.Int64),
        rank=pl.col("rank").min(),
    )
