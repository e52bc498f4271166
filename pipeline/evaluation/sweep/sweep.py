"""`sweep`: every readout, number of heads and number of shots, over the same few-shot draws."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from savs.datasets import Benchmark
from savs.datasets.rows.plugin_guard import compute_metrics
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.draws import Shots, make_draws, pool_size
from savs.pipeline.evaluation.sweep.passes import SweepPlan, run_draws
from savs.pipeline.evaluation.sweep.summary import Cell, CellScores, Sweep
from savs.pipeline.inputs.plugins import stored_benchmark
from savs.pipeline.names import DEFAULT_DRAWS
from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.selection.readouts import Readout, choose_readout
from savs.pipeline.selection.selection import head_count, require_scoring
from savs.pipeline.selection.task_selection import score_tasks
from savs.stores import FeatureStore
from savs.stores.read.given_store import require_store

HEADS: tuple[int | Literal["all"], ...] = (1, 5, 10, 20, 50, "all")
SHOTS = (1, 2, 4, 8, 16)


def sweep(
    store: FeatureStore,
    *,
    heads: Sequence[int | Literal["all"]] | None = None,
    shots: Sequence[Shots] | None = None,
    draws: int = DEFAULT_DRAWS,
    readouts: Sequence[str | Path | Readout] = ("vote",),
    scoring: str = "resubstitution",
    seed: int = 0,
    benchmark: str | Path | Benchmark | None = None,
) -> Sweep:
    """Measure readouts over numbers of heads and shots, on the same draws of training examples.

    The store's training examples are the pool that shots are drawn from; heads are scored, chosen
    and fitted on each draw alone, and all test examples are classified. Memory holds the pool's
    features, one shard of the test split, and what the readouts fitted.

    Parameters
    ----------
    store
        Features of a complete extraction.
    heads
        Numbers of heads, or `all`; by default those of 1, 5, 10, 20, 50 and all that the store has.
    shots
        Examples a class, or `all` that there are; by default those of 1, 2, 4, 8 and 16 that are
        below the pool's size, and all.
    draws
        How often examples are drawn for each number of shots; the whole pool is taken once.
    readouts
        Names, Python files or objects; see `savs.pipeline.selection.readouts`.
    scoring
        How heads are scored.
    seed
        Of the draws.
    benchmark
        The store's: needed where it is in a Python file of your own (its path) or an object.

    Raises
    ------
    SelectionError
        Unknown names, no readout or two of one name, no draw, more heads than the store has, or
        more shots than the pool has.
    StoreIncompleteError
        A planned shard is missing.
    """
    require_store(store)
    store.require_complete()
    require_scoring(scoring)
    chosen = stored_benchmark(store, benchmark)
    rules = chosen_readouts(readouts)
    tasks = training_tasks(store)
    wanted = shots or default_shots(tasks)
    given = heads or [n for n in HEADS if n == "all" or n <= len(store.heads)]
    counts = sorted({head_count(store.heads, n) for n in given})
    drawn = make_draws(tasks, wanted, draws, seed)
    plan = SweepPlan.of(store, tasks, drawn, counts)
    classes = {task.subtask: task.classes for task in tasks}
    cells = CellScores()
    for cell, predictions in swept_predictions(plan, rules, scoring):
        cells.add(cell, compute_metrics(chosen, predictions, classes))
    return cells.tables([rule.name for rule in rules])


def chosen_readouts(readouts: Sequence[str | Path | Readout]) -> list[Readout]:
    """Return the readouts; SelectionError where there is none to measure, or one twice."""
    rules = [choose_readout(given) for given in readouts]
    require_names([rule.name for rule in rules])
    return rules


def require_names(names: Sequence[str]) -> None:
    """Raise SelectionError unless there is a readout to measure, and each has its own name."""
    if not names:
        raise SelectionError("no readout was given, expected at least one, such as vote")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SelectionError(f"two readouts are called {twice!r}; give each once, or rename one")


def default_shots(tasks: Sequence[TrainingTask]) -> list[Shots]:
    """Return those of 1, 2, 4, 8 and 16 that are below the size of the pool, and all."""
    return [*(n for n in SHOTS if n < pool_size(tasks)[0]), "all"]


def swept_predictions(
    plan: SweepPlan, rules: Sequence[Readout], scoring: str
) -> Iterator[tuple[Cell, pl.DataFrame]]:
    """Yield each cell of the grid with predictions of all test examples, in the file's order."""
    orders: dict[Any, list[list[int]]] = {}
    for rule in rules:
        decides = (rule.score_heads, tuple(rule.texts))  # most readouts score heads alike
        if decides not in orders:
            tasks = [draw.task for draw in plan.draws]
            scores = score_tasks(plan.store, rule, scoring, tasks)
            ranked = [rank_heads(own, plan.store.heads)[: plan.counts[-1]] for own in scores]
            orders[decides] = ranked
        yield from run_draws(plan, rule, orders[decides])
