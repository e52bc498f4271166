"""The part of a report about heads: maps of all of them, layer profiles, the chosen ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from savs.pipeline.errors import SelectionError
from savs.pipeline.reports.report.drawing import LEVELS, grid_path, shade, shade_paths
from savs.pipeline.reports.report.evaluated import Evaluated
from savs.pipeline.selection.head_map import HEAD_MAP_SCHEMA, head_map, mean_map
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.pipeline.selection.selection_file import load_selection
from savs.stores import ResultError, StoreIncompleteError, head_name

MOST_RANKED = 300
"""Most rows of the table of chosen heads; a map shows all."""
MOST_MAPS = 20
"""Most subtasks that have a map of their own."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A chosen head on a map."""

    x: int
    y: int
    text: str
    """Its rank; of several subtasks, how many chose it."""
    title: str


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of a map: one layer, with its profile."""

    number: int
    y: int
    mean: float
    """Mean share of its heads."""
    best: float
    chosen: int
    """How often its heads were chosen."""


@dataclass(frozen=True, slots=True)
class HeadMap:
    """A grid of layers and heads, shaded by train-side score."""

    title: str
    columns: int
    layers: tuple[Layer, ...]
    lowest: float
    """Share of right training examples of the lightest shade."""
    highest: float
    paths: dict[int, str]
    """Shade -> SVG path of its heads, in cells."""
    lines: str
    """SVG path of the lines between cells."""
    marks: tuple[Mark, ...]
    most_chosen: int

    @property
    def cell(self) -> int:
        """Side of a cell in pixels: small grids have large cells."""
        return max(13, min(30, 560 // self.columns))


@dataclass(frozen=True, slots=True)
class HeadsPart:
    """What a report shows of the heads."""

    maps: tuple[HeadMap, ...]
    """Of all subtasks together first; then each alone, where there are several."""
    rows: tuple[dict[str, Any], ...]
    """The chosen heads, best first, with their scores."""
    more: int
    """Chosen heads that the table lacks."""
    per_layer: tuple[Layer, ...]
    has_scores: bool
    """Whether the map has the scores of all heads: the store must be there."""
    levels: int = LEVELS


def heads_part(result: Evaluated) -> HeadsPart | None:
    """Return what a report shows of the heads; None where no training example scored them.

    So it is for the model's own answers, and for classes by their names alone.
    """
    if result.config is None or not any(task.examples for task in result.config.tasks):
        return None
    scored = _score(result)
    found = _chosen(result.config) if scored is None else scored
    rows = found.drop_nulls("rank").with_columns(share=pl.col("score") / pl.col("examples"))
    rows = rows.with_columns(place=pl.col("subtask").rle_id()).sort("place", "rank")
    subtasks = found["subtask"].unique(maintain_order=True).to_list()
    several = len(subtasks) > 1
    maps = [_draw(found, "all subtasks" if several else "", several=several)]
    if several and len(subtasks) <= MOST_MAPS and scored is not None:
        maps += [_draw(found.filter(subtask=name), str(name)) for name in subtasks]
    return HeadsPart(
        maps=tuple(maps),
        rows=tuple(rows.head(MOST_RANKED).to_dicts()),
        more=max(0, rows.height - MOST_RANKED),
        per_layer=maps[0].layers,
        has_scores=scored is not None,
    )


def _score(result: Evaluated) -> pl.DataFrame | None:
    """Return the scores of all heads of the store; None where that cannot be."""
    if result.store is None:
        return None
    try:
        return head_map(result.store, load_selection(result.folder))
    except (ResultError, SelectionError, StoreIncompleteError):
        return None  # the user's own readout, or a store that has changed since


def _chosen(config: SelectionConfig) -> pl.DataFrame:
    """Return the chosen heads alone, as the selection scored them."""
    rows = [
        (task.subtask, *head, head_name(head), score, task.examples, margin, rank)
        for task in config.tasks
        for rank, (head, score, margin) in enumerate(
            zip(task.heads, task.scores, task.margins, strict=True), start=1
        )
    ]
    return pl.DataFrame(rows, schema=HEAD_MAP_SCHEMA, orient="row")


def _draw(found: pl.DataFrame, title: str, *, several: bool = False) -> HeadMap:
    """Return the map of some subtasks' heads."""
    heads = mean_map(found).sort("layer", "head")
    numbers = heads["layer"].unique(maintain_order=True).to_list()
    rows = {layer: y for y, layer in enumerate(numbers)}
    columns = int(heads["head"].max()) + 1  # type: ignore
    lowest, highest = float(heads["share"].min()), float(heads["share"].max())  # type: ignore
    cells = {
        (head, rows[layer]): shade(share, lowest, highest)
        for layer, head, share in heads.select("layer", "head", "share").rows()
    }
    layers = _profile(heads, numbers)
    return HeadMap(
        title=title,
        columns=columns,
        layers=layers,
        lowest=lowest,
        highest=highest,
        paths=shade_paths(cells),
        lines=grid_path(columns, len(numbers)),
        marks=tuple(_marks(heads.filter(pl.col("chosen") > 0), rows, several=several)),
        most_chosen=max(layer.chosen for layer in layers),
    )


def _marks(chosen: pl.DataFrame, rows: dict[int, int], *, several: bool) -> Sequence[Mark]:
    found = []
    for row in chosen.iter_rows(named=True):
        text = str(row["chosen"] if several else row["rank"])
        told = f"chosen by {row['chosen']} subtasks" if several else f"rank {row['rank']}"
        title = f"{row['name']}: {100 * row['share']:.1f} %, {told}"
        found.append(Mark(row["head"], rows[row["layer"]], text, title))
    return found


def _profile(heads: pl.DataFrame, numbers: Sequence[int]) -> tuple[Layer, ...]:
    table = heads.group_by("layer", maintain_order=True).agg(
        mean=pl.col("share").mean(), best=pl.col("share").max(), chosen=pl.col("chosen").sum()
    )
    return tuple(
        Layer(number, y, row["mean"], row["best"], row["chosen"])
        for y, (number, row) in enumerate(zip(numbers, table.iter_rows(named=True), strict=True))
    )
