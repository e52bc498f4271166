"""The part of a report about heads across tasks: overlap, rank correlation, stability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.reports.report.evaluated import Evaluated
from savs.pipeline.selection.head_map import Stability, head_map, head_stability
from savs.pipeline.selection.selection_config import TaskConfig
from savs.pipeline.selection.selection_file import load_selection
from savs.stores import Head, ResultError, StoreIncompleteError
from savs.stores.format.layout import digest

MOST_TASKS = 24
"""Most tasks that are compared."""
MOST_HEADS = 40
"""Most heads of the table of stability."""


@dataclass(frozen=True, slots=True)
class HeadTask:
    """One subtask of one result."""

    name: str
    heads: tuple[Head, ...]
    model: str
    """Digest of the model, so that only heads of the same one are compared."""
    scores: Array | None
    """Train-side scores of all heads of its store; None where that is not there."""
    all_heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tasks."""

    shared: int
    """Heads that both chose."""
    of: int
    """Heads that the smaller choice has."""
    correlation: float | None
    """Spearman's, of the scores of all heads; None where they are not there."""


@dataclass(frozen=True, slots=True)
class Across:
    """How choices of heads agree between tasks, and between draws of one task."""

    tasks: tuple[HeadTask, ...]
    pairs: tuple[tuple[Pair | None, ...], ...]
    """None on the diagonal, and for heads of different models."""
    more: int
    """Tasks that were left out."""
    stability: Stability | None
    """Of the first result."""
    stable: tuple[dict[str, Any], ...]
    """Heads of the first result, the most stable first in each subtask."""


def across_part(results: Sequence[Evaluated]) -> Across:
    """Return the comparison of all tasks of all results that have heads."""
    tasks = [task for result in results for task in _tasks(result)]
    shown = tasks[:MOST_TASKS]
    stability = next((_stability(result) for result in results if result.config), None)
    return Across(
        tasks=tuple(shown),
        pairs=tuple(tuple(_pair(a, b) if a is not b else None for b in shown) for a in shown),
        more=len(tasks) - len(shown),
        stability=stability,
        stable=() if stability is None else tuple(_stable(stability)),
    )


def _tasks(result: Evaluated) -> list[HeadTask]:
    if result.config is None:
        return []
    scored = _scores(result)
    several = len(result.config.tasks) > 1
    model = digest(dict(result.config.model))
    return [
        HeadTask(
            f"{result.name}: {task.subtask}" if several else result.name,
            task.heads,
            model,
            *_of_task(scored, task),
        )
        for task in result.config.tasks
    ]


def _scores(result: Evaluated) -> pl.DataFrame | None:
    if result.store is None:
        return None
    try:
        return head_map(result.store, load_selection(result.folder))
    except (ResultError, SelectionError, StoreIncompleteError):
        return None


def _of_task(
    scored: pl.DataFrame | None, task: TaskConfig
) -> tuple[Array | None, tuple[Head, ...]]:
    if scored is None:
        return None, ()
    own = scored.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask)))
    heads = tuple((layer, head) for layer, head in own.select("layer", "head").rows())
    return own["score"].to_numpy(), heads


def _pair(a: HeadTask, b: HeadTask) -> Pair | None:
    if a.model != b.model:
        return None
    shared = len({*a.heads} & {*b.heads})
    return Pair(shared, min(len(a.heads), len(b.heads)), _correlation(a, b))


def _correlation(a: HeadTask, b: HeadTask) -> float | None:
    """Return Spearman's rank correlation of two tasks' scores, ties with their mean rank."""
    if a.scores is None or b.scores is None or a.all_heads != b.all_heads:
        return None
    ranks = [pl.Series(own).rank("average").to_numpy() for own in (a.scores, b.scores)]
    if any(np.ptp(own) == 0 for own in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _stability(result: Evaluated) -> Stability | None:
    if result.store is None:
        return None
    try:
        return head_stability(result.store, load_selection(result.folder))
    except (ResultError, SelectionError, StoreIncompleteError):
        return None


def _stable(stability: Stability) -> list[dict[str, Any]]:
    rows = stability.heads.with_columns(place=pl.col("subtask").rle_id())
    return (
        rows.sort("place", "share", descending=[False, True], maintain_order=True)
        .group_by("place", maintain_order=True)
        .head(MOST_HEADS)
        .drop("place")
        .to_dicts()
    )
