"""The part of a report about a sweep: accuracy over shots and over heads, with bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.reporting.drawing import spread
from savs.pipeline.sweeping.sweep_file import load_summary

MOST_SERIES = 6
"""Most lines of a chart: so many colours and dashes can be told apart."""
LEFT, RIGHT, TOP, BOTTOM = 44, 500, 14, 226
"""Edges of a chart's plotting area, in the units of its drawing."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured value."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    name: str
    points: tuple[Point, ...]
    band: str
    """SVG points of the area between the interval's ends; empty where there are no intervals."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Mean accuracy over draws against one setting."""

    title: str
    x_name: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    chance: float | None
    """Height of the chance level; None where it lies below the chart."""


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
    low, high = _range(shown)
    height = _Height(low, high)
    chance = float(found["chance"][0])
    return Chart(
        title=title,
        x_name=_AXES[axis],
        x_ticks=tuple((x, "all" if value is None else str(value)) for value, x in places.items()),
        y_ticks=tuple((height.at(tick), f"{100 * tick:g}") for tick in _ticks(low, high)),
        series=tuple(
            _series(
                str(name) if by == "readout" else _told(by, name),
                shown.filter(pl.col(by).eq_missing(pl.lit(name))),
                axis, places, height,
            )
            for name in names
        ),
        chance=height.at(chance) if low <= chance <= high else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Height:
    """The vertical axis of a chart."""

    low: float
    high: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return BOTTOM - (BOTTOM - TOP) * share


def _range(found: pl.DataFrame) -> tuple[float, float]:
    """Return the ends of the vertical axis, at whole tens of percent."""
    ends = pl.concat([found[name] for name in ("mean", "low", "high")]).drop_nulls()
    low, high = float(ends.min()), float(ends.max())  # type: ignore
    low, high = int(low * 10) / 10, -(-int(high * 1000) // 100) / 10
    return (max(0.0, low), min(1.0, high)) if high > low else (max(0.0, low - 0.1), low + 0.1)


def _ticks(low: float, high: float) -> Sequence[float]:
    step = 0.05 if high - low <= 0.2 else 0.1 if high - low <= 0.5 else 0.2
    count = round((high - low) / step + 0.49)
    return [low + step * place for place in range(count + 1) if low + step * place <= high + 1e-9]


def _series(
    name: str, found: pl.DataFrame, axis: str, places: dict[int | None, float], height: _Height
) -> Series:
    rows = sorted(found.iter_rows(named=True), key=lambda row: places[row[axis]])
    points = tuple(
        Point(places[row[axis]], height.at(row["mean"]), _title(name, row, axis)) for row in rows
    )
    known = [row for row in rows if row["low"] is not None]
    ends = [(places[row[axis]], height.at(row["high"])) for row in known]
    ends += [(places[row[axis]], height.at(row["low"])) for row in reversed(known)]
    return Series(name, points, " ".join(f"{x:.1f},{y:.1f}" for x, y in ends))


def _title(name: str, row: dict[str, Any], axis: str) -> str:
    at = _told(axis, row[axis])
    if row["low"] is None:
        return f"{name}, {at}: {100 * row['mean']:.1f} %, one draw"
    ends = f"{100 * row['low']:.1f} .. {100 * row['high']:.1f}"
    return f"{name}, {at}: {100 * row['mean']:.1f} % ({ends}), {row['draws']} draws"
