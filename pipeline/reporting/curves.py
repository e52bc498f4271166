"""The part of a report about a sweep: accuracy over shots and over heads, with bands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.reporting.charts import (
    LEFT,
    RIGHT,
    Chart,
    Height,
    Point,
    Series,
    band_of,
    height_of,
)
from savs.pipeline.reporting.drawing import spread
from savs.pipeline.sweeping.sweep_file import load_summary

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
        if found[axis].n_unique() < 2:
            continue
        several = len(readouts) > 1
        fixed = _fixed(found, other)
        part = found.filter(pl.col(other).eq_missing(pl.lit(fixed))) if several else found
        by = "readout" if several else other
        at = f" with {_told(other, fixed)}" if several else ""
        charts.append(_chart(part, axis, by, f"{metric} by {_AXES[axis]}{at}"))
    return Curves(
        folder.name, metric, tuple(charts), tuple(found.to_dicts()), float(found["chance"][0])
    )


_AXES = {"shots": "examples per class", "heads": "number of heads"}


def _fixed(found: pl.DataFrame, setting: str) -> int | None:
    """Return the value at which readouts are compared: all shots, or the usual number of heads."""
    values = found[setting].unique().to_list()
    if setting == "shots":
        return None if None in values else max(values)
    return min(values, key=lambda heads: (abs(heads - DEFAULT_HEADS), heads))


def _told(setting: str, value: int | None) -> str:
    if setting == "heads":
        return "1 head" if value == 1 else f"{value} heads"
    return "all training examples" if value is None else f"{value} examples per class"


def _chart(found: pl.DataFrame, axis: str, by: str, title: str) -> Chart:
    values = found[axis].unique().sort(nulls_last=True).to_list()
    places = dict(zip(values, spread(len(values), LEFT + 20, RIGHT - 20), strict=True))
    names = found[by].unique(maintain_order=True).to_list()[:MOST_SERIES]
    shown = found.filter(pl.col(by).is_in(names, nulls_equal=True))
    height = _height(shown)
    return Chart(
        title=title,
        x_name=_AXES[axis],
        x_ticks=tuple((x, "all" if value is None else str(value)) for value, x in places.items()),
        y_ticks=height.ticks(),
        series=tuple(
            _series(
                str(name) if by == "readout" else _told(by, name),
                shown.filter(pl.col(by).eq_missing(pl.lit(name))),
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
