"""The part of a report about depth: accuracy of the best heads of the first layers alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.evaluation.sweep.depth_file import load_depth
from savs.pipeline.reports.report.charts import (
    LEFT,
    RIGHT,
    Chart,
    Height,
    Point,
    Series,
    band_of,
    height_of,
    thinned,
)
from savs.pipeline.reports.report.curves import MOST_SERIES
from savs.pipeline.reports.report.drawing import spread


@dataclass(frozen=True, slots=True)
class Depth:
    """A sweep over depths."""

    name: str
    metric: str
    heads: int
    chart: Chart | None
    """None with one depth."""
    rows: tuple[dict[str, Any], ...]
    """All rows of the headline metric, as in depth.parquet."""
    chance: float


def depth_part(folder: Path) -> Depth:
    """Return accuracy against depth.

    Raises
    ------
    ResultError
        The table is damaged.
    """
    table = load_depth(folder)
    metric = str(table["metric"][0])
    found = table.filter(metric=metric)
    return Depth(
        name=folder.name,
        metric=metric,
        heads=int(found["heads"][0]),
        chart=_chart(found, metric) if found["max_layer"].n_unique() > 1 else None,
        rows=tuple(found.to_dicts()),
        chance=float(found["chance"][0]),
    )


def _chart(found: pl.DataFrame, metric: str) -> Chart:
    depths = found["max_layer"].unique().sort().to_list()
    places = dict(zip(depths, spread(len(depths), LEFT + 20, RIGHT - 20), strict=True))
    lines = found.partition_by("readout", "shots", maintain_order=True)[:MOST_SERIES]
    shown = pl.concat([line[end] for line in lines for end in ("mean", "low", "high")])
    height = height_of(shown.drop_nulls())
    return Chart(
        title=f"{metric} by depth",
        x_name="last layer that heads are chosen from",
        x_ticks=thinned([(x, str(layer)) for layer, x in places.items()]),
        y_ticks=height.ticks(),
        series=tuple(_series(line, places, height) for line in lines),
        chance=height.chance(float(found["chance"][0])),
    )


def _series(line: pl.DataFrame, places: dict[int, float], height: Height) -> Series:
    rows = line.sort("max_layer").to_dicts()
    shots = rows[0]["shots"]
    name = f"{rows[0]['readout']}, {'all' if shots is None else shots} shots"
    points = tuple(
        Point(places[row["max_layer"]], height.at(row["mean"]), _title(row)) for row in rows
    )
    ends = [
        (places[row["max_layer"]], height.at(row["high"]), height.at(row["low"]))
        for row in rows
        if row["low"] is not None
    ]
    return Series(name, points, band_of(ends))


def _title(row: dict[str, Any]) -> str:
    return (
        f"{row['readout']}, layers up to {row['max_layer']} ({100 * row['share']:.0f} % of the"
        f" decoder): {100 * row['mean']:.1f} %"
    )
