"""All heads of a store with their strengths and scores, and the ones that a selection chose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.head_scores import HeadScores, Ranking
from savs.pipeline.heads.scoring import SCORINGS
from savs.pipeline.readouts.readout import score_heads
from savs.pipeline.running.formatting import percent
from savs.pipeline.selection.selection import Fitter, Selection, choosable, heads_of
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask
from savs.pipeline.targets import Target
from savs.stores import FeatureStore, Head, LayerGrid, head_name
from savs.stores.format.layout import grid_widths, holder

HEAD_MAP_SCHEMA = pl.Schema(
    {
        "subtask": pl.String,
        "layer": pl.Int64,
        "head": pl.Int64,
        "name": pl.String,
        "strength": pl.Float64,
        "score": pl.Float64,
        "examples": pl.Int64,
        "margin": pl.Float64,
        "rank": pl.Int64,
    }
)
"""Columns of `head_map`. `strength` is the share of the `examples` training examples that the head
classifies alone, `score` what it was ranked by; `rank` counts the chosen heads from 1 and is null
for the others."""


def head_map(store: FeatureStore, selection: Selection) -> pl.DataFrame:
    """Score every head of a store as a selection did, and mark the heads that it chose.

    A head has the scores and the rank of its best neuron, if neurons were chosen. Strengths and
    scores are of training examples: no estimate of performance. Memory holds the training features
    of one layer at a time. The selection was made from this store, or another one of the same
    model: SelectionError if it belongs to another, or lacks a subtask of the store.

    One row a subtask and head, layer by layer; columns `HEAD_MAP_SCHEMA`.
    """
    training = StoredTraining(store)
    tasks = training.tasks()
    chosen = heads_of(training, selection, [task.subtask for task in tasks])
    rule, fitter = selection.rule, Fitter(training, selection.rule, selection.scorer)
    scores = alone = fitter.score(tasks)
    if not fitter.scores_are_strengths:
        by_centroids = rule if rule.of_neurons else replace(rule, score_heads=score_heads, texts=())
        alone = Fitter(training, by_centroids, SCORINGS[fitter.left_out_alone]).score(tasks)
    frames = []
    for task, of_task, right, heads in zip(tasks, scores, alone, chosen, strict=True):
        ranks: dict[Head, int] = {}
        for rank, head in enumerate(heads, start=1):
            ranks.setdefault(holder(head), rank)
        if rule.of_neurons:
            of_task, right = (best_neurons(one, store.grid) for one in (of_task, right))
        columns = {
            "subtask": [task.subtask] * len(store.heads),
            "layer": [layer for layer, _ in store.heads],
            "head": [head for _, head in store.heads],
            "name": [head_name(head) for head in store.heads],
            "strength": right.score / len(task.rows),
            "score": of_task.score,
            "examples": [len(task.rows)] * len(store.heads),
            "margin": of_task.margin,
            "rank": [ranks.get(head) for head in store.heads],
        }
        frames.append(pl.DataFrame(columns, schema=HEAD_MAP_SCHEMA))
    return pl.concat(frames)


def best_neurons(scores: HeadScores, grids: Sequence[LayerGrid]) -> HeadScores:
    """Return for each head the greatest score and the greatest margin of its neurons."""
    widths = [*grid_widths(grids).values()]
    starts = np.cumsum([0, *widths[:-1]])
    return HeadScores(
        np.maximum.reduceat(scores.score, starts), np.maximum.reduceat(scores.margin, starts)
    )


def mean_map(scored: pl.DataFrame) -> pl.DataFrame:
    """Return one row a head over all subtasks of a head map.

    Columns `layer`, `head`, `name`, `strength` (mean over subtasks), `chosen` (number of subtasks
    that chose it) and `rank` (the best one).
    """
    return scored.group_by("layer", "head", "name", maintain_order=True).agg(
        strength=pl.col("strength").mean(),
        chosen=pl.col("rank").count().cast(pl.Int64),
        rank=pl.col("rank").min(),
    )


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
place in the selection, null if that did not choose it."""


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
    `draws`, at least two, are compared. SelectionError for fewer; if the selection has another
    model, or lacks a subtask of the store; or if half of a class is too few for its scoring.
    """
    if draws < 2:
        raise SelectionError(f"`draws` is {draws}, expected at least 2")
    training = StoredTraining(store)
    tasks = StoredTraining(store).tasks()
    chosen = heads_of(training, selection, [task.subtask for task in tasks])
    rng = np.random.default_rng(seed)
    halves = [_half(task, rng) for task in tasks for _ in range(draws)]
    scores = Fitter(training, selection.rule, selection.scorer).score(halves)
    among = choosable(selection.rule, store.grid)
    rows, overlap, chance = [], {}, {}
    for place, (task, heads) in enumerate(zip(tasks, chosen, strict=True)):
        of_task = scores[place * draws : (place + 1) * draws]
        count = selection.heads_each or len(heads)
        best = [set(Ranking.of(one, among).best(count).order) for one in of_task]
        counts = np.bincount([i for draw in best for i in draw], minlength=len(among))
        ranks = {head: rank for rank, head in enumerate(heads, start=1)}
        rows += [
            (task.subtask, *holder(head), head_name(head), ranks.get(head), counts[i] / draws)
            for i, head in enumerate(among)
            if counts[i] or head in ranks
        ]
        shared = [2 * len(a & b) / (len(a) + len(b)) for a, b in combinations(best, 2)]
        overlap[task.subtask] = float(np.mean(shared))
        chance[task.subtask] = len(heads) / len(among)
    frame = pl.DataFrame(rows, schema=STABILITY_SCHEMA, orient="row")
    return Stability(draws, frame, overlap, chance)


def _half(task: TrainingTask, rng: np.random.Generator) -> TrainingTask:
    """Return a task with a random half of each class, at least one example."""
    halves: list[Array] = []
    for number in range(len(task.classes)):
        rows = np.flatnonzero(task.strata == number)
        halves.append(rng.permutation(rows)[: -(-len(rows) // 2)])
    return task.part(np.sort(np.concatenate(halves)))


SHADES = " ░▒▓█"
"""From the lowest score of a map to its highest."""
WIDEST = 99
"""The greatest rank that a cell shows."""


def draw_map(table: pl.DataFrame, target: Target) -> list[str]:
    """Return the lines of a head map, whole or of some subtasks, and what they mean.

    Of one subtask, the chosen heads bear their rank; of several, the number of subtasks that chose
    them. Heads that the store does not hold are dots.
    """
    several = table["subtask"].n_unique() > 1
    heads = mean_map(table)
    lowest, highest = float(heads["strength"].min()), float(heads["strength"].max())  # type: ignore
    width = int(heads["head"].max()) + 1  # type: ignore
    lines = [f"      heads 0 to {width - 1}"]
    for (layer,), row in heads.group_by("layer", maintain_order=True):
        cells = ["··"] * width
        for head, strength, chosen, rank in row.select("head", "strength", "chosen", "rank").rows():
            share = 1 if highest == lowest else (strength - lowest) / (highest - lowest)
            shade = SHADES[round((len(SHADES) - 1) * share)]
            cells[head] = _cell(shade, chosen, None if several else rank)
        lines.append(f"L{layer:<4} {''.join(cells)}".rstrip())
    does, of = target.strength_of
    marks = (
        "how many subtasks chose the head, + ten or more"
        if several
        else "ranks of the chosen heads"
    )
    return [
        *lines,
        f"darker: a stronger head, which alone {does} {percent(lowest)} to {percent(highest)} % of"
        f" {of}; numbers: {marks}",
    ]


def _cell(shade: str, chosen: int, rank: int | None) -> str:
    """Return the two characters of a head: its rank, or its shade and how often it was chosen."""
    if rank is not None and rank <= WIDEST:
        return f"{rank:>2}"
    if rank is not None or not chosen:
        return 2 * shade
    return shade + (str(chosen) if chosen < 10 else "+")
