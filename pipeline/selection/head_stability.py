"""How far a choice of heads can be trusted: how often other training examples choose the same."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.selection.selection import Selection, heads_of
from savs.pipeline.selection.task_selection import score_tasks
from savs.stores import FeatureStore, head_name

DRAWS = 20
"""Random halves of the training examples."""
STABILITY_SCHEMA = pl.Schema(
    {
        "subtask": pl.String,
        "layer": pl.Int64,
        "head": pl.Int64,
        "name": pl.String,
        "rank": pl.Int64,
        "share": pl.Float64,
    }
)
"""Columns of `Stability.heads`; `share` of the draws have the head among the best, `rank` is its
place in the selection, null where that did not choose it."""


@dataclass(frozen=True, slots=True)
class Stability:
    """How stable a selection's choice of heads is."""

    draws: int
    heads: pl.DataFrame
    """Heads that were chosen at least once; columns `STABILITY_SCHEMA`."""
    overlap: dict[str | None, float]
    """Subtask -> mean part of the heads that two draws share."""
    chance: dict[str | None, float]
    """Subtask -> the part that two random choices would share."""


def head_stability(
    store: FeatureStore, selection: Selection, *, draws: int = DRAWS, seed: int = 0
) -> Stability:
    """Choose heads again from random halves of the training examples of each class.

    Half as many examples choose less well than all, so this is a lower bound of the stability.

    Parameters
    ----------
    store
        Whose training examples are drawn.
    selection
        Says how heads are scored, and how many are chosen of each subtask.
    draws
        How often, at least twice: what draws share is compared.
    seed
        Of the draws.

    Raises
    ------
    SelectionError
        There are fewer than two draws; the selection is of another model, or lacks a subtask of the
        store; or half of a class is too few examples for its scoring.
    """
    if draws < 2:
        raise SelectionError(f"draws is {draws}, expected at least 2")
    tasks = training_tasks(store)
    chosen = heads_of(store, selection, [task.subtask for task in tasks])
    rng = np.random.default_rng(seed)
    halves = [_half(task, rng) for task in tasks for _ in range(draws)]
    scores = score_tasks(store, selection.rule, selection.scoring, halves)
    rows, overlap, chance = [], {}, {}
    for place, (task, heads) in enumerate(zip(tasks, chosen, strict=True)):
        own = scores[place * draws : (place + 1) * draws]
        best = [set(rank_heads(found, store.heads)[: len(heads)]) for found in own]
        counts = np.bincount([i for draw in best for i in draw], minlength=len(store.heads))
        ranks = {head: rank for rank, head in enumerate(heads, start=1)}
        rows += [
            (task.subtask, *head, head_name(head), ranks.get(head), counts[i] / draws)
            for i, head in enumerate(store.heads)
            if counts[i] or head in ranks
        ]
        shared = [len(a & b) / len(heads) for a, b in combinations(best, 2)]
        overlap[task.subtask] = float(np.mean(shared))
        chance[task.subtask] = len(heads) / len(store.heads)
    frame = pl.DataFrame(rows, schema=STABILITY_SCHEMA, orient="row")
    return Stability(draws, frame, overlap, chance)


def _half(task: TrainingTask, rng: np.random.Generator) -> TrainingTask:
    """Return a task with a random half of each class, at least one example."""
    kept: list[Array] = []
    for number in range(len(task.classes)):
        rows = np.flatnonzero(task.labels == number)
        kept.append(rng.permutation(rows)[: -(-len(rows) // 2)])
    return task.part(np.sort(np.concatenate(kept)))
