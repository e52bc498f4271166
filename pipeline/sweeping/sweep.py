"""`sweep`: every readout, number of heads and number of shots, over the same few-shot draws."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from savs.datasets import Benchmark
from savs.datasets.rows.plugin_guard import compute_metrics
from savs.datasets.splits.clusters import clusters_of
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.head_scores import rank_heads
from savs.pipeline.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.names import DEFAULT_DRAWS
from savs.pipeline.plugins.benchmark import stored_benchmark
from savs.pipeline.readouts import Readout, choose_readout
from savs.pipeline.selection.selection import head_count, require_scoring
from savs.pipeline.selection.task_selection import score_tasks
from savs.pipeline.sweeping.draws import Shots, make_draws, pool_size
from savs.pipeline.sweeping.passes import SweepPlan, run_draws
from savs.pipeline.sweeping.summary import Cell, CellScores, Sweep
from savs.stores import FeatureStore

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
        Names, Python files or objects; see `savs.pipeline.readouts`.
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
    store.require_complete()
    require_scoring(scoring)
    chosen = stored_benchmark(store, benchmark)
    require_readouts(readouts)
    rules: dict[str, Readout] = {}
    for rule in map(choose_readout, readouts):
        if rules.setdefault(rule.name, rule) is not rule:
            raise SelectionError(f"two readouts are called {rule.name!r}; rename one of them")
    tasks = training_tasks(store)
    wanted = shots or default_shots(tasks)
    given = heads or [n for n in HEADS if n == "all" or n <= len(store.heads)]
    counts = sorted({head_count(store.heads, n) for n in given})
    drawn = make_draws(tasks, wanted, draws, seed)
    test, skipped = swept_examples(store)
    plan = SweepPlan(store, tasks, drawn, counts, store.features("train"), test)
    classes = {task.subtask: task.classes for task in tasks}
    cells = CellScores()
    for cell, predictions in swept_predictions(plan, list(rules.values()), scoring, skipped):
        cells.add(cell, compute_metrics(chosen, predictions, classes))
    return cells.tables(list(rules))


def require_readouts(readouts: Sequence[object]) -> None:
    """Raise SelectionError if there is none to measure."""
    if not readouts:
        raise SelectionError("no readout was given, expected at least one, such as vote")


def default_shots(tasks: Sequence[TrainingTask]) -> list[Shots]:
    """Return those of 1, 2, 4, 8 and 16 that are below the size of the pool, and all."""
    return [*(n for n in SHOTS if n < pool_size(tasks)[0]), "all"]


def swept_predictions(
    plan: SweepPlan, rules: Sequence[Readout], scoring: str, skipped: pl.DataFrame
) -> Iterator[tuple[Cell, pl.DataFrame]]:
    """Yield each cell of the grid with predictions of all test examples, in the file's order."""
    orders: dict[Any, list[list[int]]] = {}
    for rule in rules:
        if rule.score_heads not in orders:  # most readouts score heads alike
            tasks = [draw.task for draw in plan.draws]
            scores = score_tasks(plan.store, rule, scoring, tasks)
            ranked = [rank_heads(own, plan.store.heads)[: plan.counts[-1]] for own in scores]
            orders[rule.score_heads] = ranked
        for cell, found in run_draws(plan, rule, orders[rule.score_heads]):
            whole = pl.concat([*found, skipped], how="diagonal_relaxed")
            yield cell, whole.sort("index")


def swept_examples(store: FeatureStore) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the test examples and the skipped ones, which are wrong, with their clusters."""
    examples, skipped = store.examples("test"), store.skipped("test")
    clusters = clusters_of(pl.concat([examples, skipped], how="diagonal"))
    return (
        examples.with_columns(cluster=clusters.head(examples.height)),
        skipped.with_columns(cluster=clusters.tail(skipped.height), correct=pl.lit(False)),
    )
