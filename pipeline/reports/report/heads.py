"""The parts of a report about heads: maps of all, the chosen ones, and agreement between tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.reports.pages.charts import HeadMap, draw_heads
from savs.pipeline.running.formatting import percent
from savs.pipeline.running.table import Column, Drawing, Table
from savs.pipeline.selection.head_map import (
    HEAD_MAP_SCHEMA,
    Stability,
    head_map,
    head_stability,
    mean_map,
)
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_config import SelectionConfig, model_heads
from savs.pipeline.targets.tables import SUBTASK
from savs.stores import (
    ANSWERS_HEAD,
    FeatureStore,
    Head,
    ResultError,
    StoreIncompleteError,
    head_name,
)
from savs.stores.format.layout import digest, holder

T = TypeVar("T")

MOST_RANKED = 300
"""Most rows of the table of chosen heads; a map shows all."""
MOST_MAPS = 20
"""Most subtasks that have a map of their own."""


CHOSEN = (
    Column("head", "name", is_text=True),
    Column("rank", "rank"),
    Column("strength (%)", "strength", percent),
    Column("score", "score", "{:g}".format),
    Column("examples", "examples"),
    Column("margin", "margin", "{:.3f}".format),
)
LAYERS = (
    Column("layer", "number"),
    Column("mean", "mean", percent),
    Column("best", "best", percent),
    Column("times chosen", "chosen"),
)


@dataclass(frozen=True, slots=True)
class HeadsPart:
    """What a report shows of the heads."""

    maps: tuple[HeadMap, ...]
    """Of all subtasks together first; then each alone, if there are several."""
    chosen: Table
    """The chosen heads, best first, with their strengths and scores."""
    layers: Table
    more: int
    """Chosen heads that the table lacks."""
    has_scores: bool
    """Whether the map has the scores of all heads: the store must be there."""


def heads_part(result: Result) -> HeadsPart | None:
    """Return what a report shows of the heads; None if no training example scored them.

    So it is for the model's own answers, and for classes by their names alone.
    """
    config = result.config
    if config is None or not config.head_count or not any(t.examples for t in config.tasks):
        return None
    scored = _of_store(head_map, result)
    heads = _chosen(config) if scored is None else scored
    rows = (
        heads.drop_nulls("rank")
        .with_columns(place=pl.col("subtask").rle_id())
        .sort("place", "rank")
    )
    subtasks = heads["subtask"].unique(maintain_order=True).to_list()
    several = len(subtasks) > 1
    kind = result.target.part
    of_task = [Column(kind, "subtask")] if several else []
    maps = [draw_heads(mean_map(heads), chosen_by=kind if several else None)]
    if several and len(subtasks) <= MOST_MAPS and scored is not None:
        maps += [
            draw_heads(mean_map(heads.filter(subtask=name)), title=str(name)) for name in subtasks
        ]
    return HeadsPart(
        maps=tuple(maps),
        chosen=Table(rows.head(MOST_RANKED), [*of_task, *CHOSEN]),
        layers=Table(maps[0].layers, LAYERS),
        more=max(0, rows.height - MOST_RANKED),
        has_scores=scored is not None,
    )


def _of_store(measure: Callable[[FeatureStore, Selection], T], result: Result) -> T | None:
    """Return what the store says of a result's heads; None if it cannot."""
    if result.store is None:
        return None
    try:
        return measure(result.store, result.selection())
    except (ResultError, SelectionError, StoreIncompleteError):
        return None  # the user's own readout, or a store that has changed since


def _chosen(config: SelectionConfig) -> pl.DataFrame:
    """Return the chosen heads alone, as the selection scored them."""
    rows = [
        (task.subtask, *holder(head), head_name(head), strength, score, task.examples, margin, rank)
        for task in config.tasks
        for rank, (head, strength, score, margin) in enumerate(
            zip(task.heads, task.strengths, task.scores, task.margins, strict=True), start=1
        )
        if head != ANSWERS_HEAD
    ]
    return pl.DataFrame(rows, schema=HEAD_MAP_SCHEMA, orient="row")


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
    """What all heads of its store were ranked by; None if that is not there."""
    all_heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tasks."""

    shared: int
    """Heads that both chose."""
    of: int
    """Heads that the smaller choice has."""
    correlation: float | None
    """Spearman's, of the scores of all heads; None if they are not there."""


@dataclass(frozen=True, slots=True)
class Across:
    """How choices of heads agree between tasks, and between draws of one task."""

    tasks: tuple[HeadTask, ...]
    pairs: tuple[tuple[Pair | None, ...], ...]
    """None on the diagonal, and for heads of different models."""
    more: int
    stability: Stability | None
    overlap: Table | None
    stable: Table | None
    """Heads of the first result, the most stable first in each subtask."""


def across_part(results: Sequence[Result]) -> Across:
    """Return the comparison of all tasks of all results that have heads."""
    tasks = [task for result in results for task in _tasks(result)]
    compared = tasks[:MOST_TASKS]
    with_heads = (one for one in results if one.config is not None and one.config.head_count)
    stability = next((_of_store(head_stability, one) for one in with_heads), None)
    return Across(
        tasks=tuple(compared),
        pairs=tuple(tuple(_pair(a, b) for b in compared) for a in compared),
        more=len(tasks) - len(compared),
        stability=stability,
        overlap=None if stability is None else _overlap(stability),
        stable=None if stability is None else _stable(stability),
    )


def _tasks(result: Result) -> list[HeadTask]:
    if result.config is None:
        return []
    tasks = [task for task in result.config.tasks if model_heads(task.heads)]
    scored = _of_store(head_map, result) if tasks else None
    model = digest(dict(result.config.model))
    compared = []
    for task in tasks:
        name = f"{result.name}: {task.subtask}" if len(tasks) > 1 else result.name
        scores, heads = None, ()
        if scored is not None:
            rows = scored.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask)))
            scores, heads = rows["score"].to_numpy(), tuple(rows.select("layer", "head").rows())
        compared.append(HeadTask(name, model_heads(task.heads), model, scores, heads))
    return compared


def _pair(a: HeadTask, b: HeadTask) -> Pair | None:
    """Return what two tasks share; None if they are one, or of different models."""
    if a is b or a.model != b.model:
        return None
    correlation = None
    if a.scores is not None and b.scores is not None and a.all_heads == b.all_heads:
        # Spearman's: ties have their mean rank
        ranks = [pl.Series(values).rank("average").to_numpy() for values in (a.scores, b.scores)]
        if all(np.ptp(values) > 0 for values in ranks):
            correlation = float(np.corrcoef(ranks)[0, 1])
    return Pair(len({*a.heads} & {*b.heads}), min(len(a.heads), len(b.heads)), correlation)


def _overlap(stability: Stability) -> Table:
    rows = {
        "subtask": [name or "all" for name in stability.overlap],
        "shared": list(stability.overlap.values()),
        "chance": [stability.chance[name] for name in stability.overlap],
    }
    columns = [
        Column("subtask", "subtask"),
        Column("shared", "shared", percent),
        Column("by chance", "chance", percent),
    ]
    drawing = Drawing("track", ("shared", None, None, "chance"))
    return Table(pl.DataFrame(rows), columns, drawing=drawing)


def _stable(stability: Stability) -> Table:
    rows = stability.heads.with_columns(place=pl.col("subtask").rle_id())
    rows = rows.sort("place", "share", descending=[False, True], maintain_order=True)
    rows = rows.group_by("place", maintain_order=True).head(MOST_HEADS)
    columns = [
        Column("head", "name", is_text=True),
        *([SUBTASK] if len(stability.overlap) > 1 else []),
        Column("draws", "share", percent),
        Column("rank", "rank"),
    ]
    drawing = Drawing("bar", ("share",), style="style")
    style = pl.when(pl.col("rank").is_null()).then(pl.lit("wrong"))
    return Table(rows.with_columns(style=style), columns, drawing=drawing)
