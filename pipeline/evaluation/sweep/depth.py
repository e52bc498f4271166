"""Accuracy against depth: the best heads of the first layers alone, for each number of layers.

`classify` loads and runs no layer behind the deepest chosen head, so this is what speed costs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from savs.datasets import Benchmark, Units
from savs.datasets.rows.plugin_guard import compute_metrics
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.depth_table import Point, depth_table
from savs.pipeline.evaluation.sweep.draws import Draw, Shots, make_draws
from savs.pipeline.evaluation.sweep.passes import SweepPlan, run_draws
from savs.pipeline.evaluation.sweep.sweep import chosen_readouts
from savs.pipeline.inputs.plugins import stored_benchmark
from savs.pipeline.names import DEFAULT_DRAWS
from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.heads.training_set import training_tasks
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.selection import default_heads, head_count, require_scoring
from savs.pipeline.selection.task_selection import heads_up_to, score_tasks
from savs.stores import FeatureStore
from savs.stores.read.given_store import require_store


def sweep_depth(
    store: FeatureStore,
    *,
    max_layers: Sequence[int] | None = None,
    heads: int | None = None,
    shots: Sequence[Shots] = ("all",),
    draws: int = DEFAULT_DRAWS,
    readouts: Sequence[str | Path | Readout] = ("vote",),
    scoring: str = "resubstitution",
    seed: int = 0,
    benchmark: str | Path | Benchmark | None = None,
) -> pl.DataFrame:
    """Measure the best heads among those of layers up to each of `max_layers`.

    All depths get the same draws of training examples. Intervals of several draws are those of a
    sweep; with one draw they are over test examples alone, as in `evaluate` and `compare`.

    Parameters
    ----------
    store
        Features of a complete extraction.
    max_layers
        Last layers to choose heads from, counted from 0; by default each layer with which there are
        enough heads. The last layer with heads is always one of them.
    heads
        Number of heads; 20 by default, or all of a store that has fewer.
    shots, draws, readouts, scoring, seed, benchmark
        As in `sweep`.

    Returns
    -------
    polars.DataFrame
        One row a readout, number of shots, `max_layer` and metric; columns `DEPTH_SCHEMA`.

    Raises
    ------
    SelectionError
        As in `sweep`, or a layer up to which there are not enough heads.
    StoreIncompleteError
        A planned shard is missing.
    """
    require_store(store)
    store.require_complete()
    require_scoring(scoring)
    rules = chosen_readouts(readouts)
    measuring = stored_benchmark(store, benchmark)
    count = default_heads(store.heads) if heads is None else head_count(store.heads, heads)
    depths = _depths(store, max_layers, count)
    tasks = training_tasks(store)
    drawn = make_draws(tasks, shots, draws, seed)
    plan = SweepPlan.of(store, tasks, _at_depths(drawn, len(depths)), [count])
    classes = {task.subtask: task.classes for task in tasks}
    found: dict[Point, list[list[Sequence[Units]]]] = {}
    for rule in rules:
        orders = _orders(store, rule, scoring, drawn, depths, count)
        for cell, predictions in run_draws(plan, rule, orders):
            cells = found.setdefault((cell.readout, cell.shots), [[] for _ in depths])
            cells[cell.draw % len(depths)].append(compute_metrics(measuring, predictions, classes))
    layers = store.grid[-1].layer + 1
    return depth_table(found, depths, count, layers)


def _depths(store: FeatureStore, given: Sequence[int] | None, count: int) -> list[int]:
    """Return the depths, ascending; the last layer with heads is the last of them."""
    layers = [grid.layer for grid in store.grid]
    enough = [layer for layer in layers if len(heads_up_to(store, layer)) >= count]
    if given is None:
        return enough
    for layer in given:
        if layer < enough[0]:
            raise SelectionError(
                f"layers up to {layer} have {len(heads_up_to(store, layer))} heads, fewer than the"
                f" {count} to choose; use --max-layers from {enough[0]} on, or fewer --heads"
            )
    return sorted({min(layer, layers[-1]) for layer in given} | {layers[-1]})


def _at_depths(drawn: Sequence[Draw], depths: int) -> list[Draw]:
    """Return each draw once for each depth, which is its number modulo the number of depths."""
    return [
        replace(draw, number=draw.number * depths + place)
        for draw in drawn
        for place in range(depths)
    ]


def _orders(
    store: FeatureStore,
    rule: Readout,
    scoring: str,
    drawn: Sequence[Draw],
    depths: Sequence[int],
    count: int,
) -> list[list[int]]:
    """Return the indices of the best heads of each draw at each depth."""
    held, orders = store.heads, []
    for scores in score_tasks(store, rule, scoring, [draw.task for draw in drawn]):
        ranked = rank_heads(scores, held)
        orders += [[i for i in ranked if held[i][0] <= depth][:count] for depth in depths]
    return orders
