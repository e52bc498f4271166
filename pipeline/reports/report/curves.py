"""The part of a report about a sweep: accuracy over shots and over heads, with bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.evaluation.sweep.sweep_file import load_summary
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.reports.report.charts import (
    LEFT,
    RIGHT,
    Chart,
    Height,
    Point,
    Series,
    band_of,
    height_of,
)
from savs.pipeline.reports.report.drawing import spread

MOST_SERIES = 6
"""Most lines of a chart: so many colours and dashes can be told apart."""


@dataclass(frozen=True, slots=True)
class Curves:
    """A sweep."""

    name: str
    metric: str
    charts: tuple[Chart, ...]
    rows: tuple[dict[str, Any], ...]
    """All means of the headline metric, as in summary.parquet."""
    chance: float


def curves_part(folder: Path) -> Curves:
    """Return the charts of a sweep: over shots, and over heads where it has several numbers.

    Raises
    ------
    ResultError
        The sweep's summary is damaged.
    """
    summary = load_summary(folder)
    metric = str(summary["metric"][0])
    found = summary.filter(metric=metric)
    readouts = found["readout"].unique(maintain_order=True).to_list()
    charts = []
    for axis, other in (("shots", "heads"), ("heads", "shots")):
        if found.group_by("readout").agg(pl.col(axis).n_unique())[axis].max() == 1:
            continue
        several = len(readouts) > 1
        part = _compared(found, other) if several else found
        shared = part[other].unique().to_list()
        at = f" with {_told(other, shared[0])}" if several and len(shared) == 1 else ""
        by = "readout" if several else other
        title = f"{metric} by {_AXES[axis]}{at}"
        lines = _charts_of(part[by].unique(maintain_order=True).to_list())
        charts += [_chart(part, names, axis, by, title) for names in lines]
    return Curves(
        folder.name, metric, tuple(charts), tuple(found.to_dicts()), float(found["chance"][0])
    )


_AXES = {"shots": "examples per class", "heads": "number of heads"}


def _compared(found: pl.DataFrame, setting: str) -> pl.DataFrame:
    """Return the rows at which readouts are compared.

    With all shots, or each readout with the number of heads that is nearest to the usual one.
    """
    if setting == "shots":
        whole = found.filter(pl.col("shots").is_null())
        return whole if whole.height else found.filter(pl.col("shots") == pl.col("shots").max())
    distance = (pl.col("heads") - DEFAULT_HEADS).abs()
    nearest = pl.col("heads").sort_by(distance, "heads").first().over("readout")
    return found.filter(pl.col("heads") == nearest)


def _told(setting: str, value: int | None) -> str:
    if setting == "heads":
        return "1 head" if value == 1 else f"{value} heads"
    return "all training examples" if value is None else f"{value} examples per class"


def _charts_of(names: Sequence[Any]) -> list[list[Any]]:
    """Return the lines of each chart; the first one, which others are compared with, is in all."""
    step = MOST_SERIES - 1
    others = [names[start : start + step] for start in range(1, len(names), step)]
    return [[names[0], *own] for own in others] or [[names[0]]]


def _chart(found: pl.DataFrame, names: Sequence[Any], axis: str, by: str, title: str) -> Chart:
    values = found[axis].unique().sort(nulls_last=True).to_list()
    places = dict(zip(values, spread(len(values), LEFT + 20, RIGHT - 20), strict=True))
    height = _height(found)
    return Chart(
        title=title,
        x_name=_AXES[axis],
        x_ticks=tuple((x, "all" if value is None else str(value)) for value, x in places.items()),
        y_ticks=height.ticks(),
        series=tuple(
            _series(
                str(name) if by == "readout" else _told(by, name),
                found.filter(pl.col(by).eq_missing(pl.lit(name))),
                axis, places, height,
            )
            for name in names
        ),
        chance=height.chance(float(found["chance"][0])),
    )  # fmt: skip


def _height(found: pl.DataFrame) -> Height:
    return height_of(pl.concat([found[name] for name in ("mean", "low", "high")]).drop_nulls())


def _series(
    name: str, found: pl.DataFrame, axis: str, places: dict[int | None, float], height: Height
) -> Series:
    rows = sorted(found.iter_rows(named=True), key=lambda row: places[row[axis]])
    points = tuple(
        Point(places[row[axis]], height.at(row["mean"]), _title(name, row, axis)) for row in rows
    )
    known = [row for row in rows if row["low"] is not None]
    ends = [(places[row[axis]], height.at(row["high"]), height.at(row["low"])) for row in known]
    return Series(name, points, band_of(ends))


def _title(name: str, row: dict[str, Any], axis: str) -> str:
    at = _told(axis, row[axis])
    if row["low"] is None:
        return f"{name}, {at}: {100 * row['mean']:.1f} %, one draw"
    ends = f"{100 * row['low']:.1f} .. {100 * row['high']:.1f}"
    return f"{name}, {at}: {100 * row['mean']:.1f} % ({ends}), {row['draws']} draws"
