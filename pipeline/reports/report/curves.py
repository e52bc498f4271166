"""The parts of a report that are curves: accuracy over shots, heads, depth and coverage.

And the charts of a sweep for a paper, as one SVG, which LaTeX and browsers show alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.errors import ReportError
from savs.pipeline.evaluation.sweep.table import headline, load_summary, with_methods
from savs.pipeline.evaluation.tables import (
    coverage_table,
    reliability_table,
    risk_table,
    sweep_table,
)
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.reports.pages.rendering import render
from savs.pipeline.reports.report.drawing import (
    LEFT,
    RIGHT,
    Chart,
    Height,
    Point,
    Series,
    band_of,
    height_of,
    spread,
    thinned,
)
from savs.pipeline.running.output_files import new_file
from savs.pipeline.running.table import Table

MOST_SERIES = 6
"""Most lines of a chart: no more colours and dashes can be found out apart."""
TONES = (
    ("#0a5bb5", "none"),
    ("#b3470f", "7 3"),
    ("#2e8b57", "2 3"),
    ("#8c5fd0", "9 3 2 3"),
    ("#b8860b", "12 4"),
    ("#d0578c", "4 4"),
)
"""Colour and dashes of each line of a chart, those of a report on light ground."""


@dataclass(frozen=True, slots=True)
class Curves:
    """A sweep over shots and heads, or over depths."""

    name: str
    metric: str
    charts: tuple[Chart, ...]
    table: Table
    """All rows of the headline metric."""


def sweep_parts(folders: Sequence[Path]) -> tuple[tuple[Curves, ...], tuple[Curves, ...]]:
    """Return what a report shows of sweeps, then of those over depths; nothing of prompts.

    Each data set is shown by itself.

    Raises
    ------
    ResultError
        A summary is damaged.
    """
    curves, depths = [], []
    for folder in folders:
        summary = with_methods(headline(load_summary(folder)))
        for (data_set,), rows in summary.group_by("data_set", maintain_order=True):
            several = summary["data_set"].n_unique() > 1
            name = f"{folder.name}, {data_set}" if several else folder.name
            is_of_depths = bool(rows["max_layer"].count())
            if rows["prompt"].count() and not is_of_depths:
                continue
            metric = str(rows["metric"][0])
            charts = (_depth_charts if is_of_depths else charts_of_sweep)(rows, metric)
            part = Curves(name, metric, charts, sweep_table(rows, metric))
            (depths if is_of_depths else curves).append(part)
    return tuple(curves), tuple(depths)


def charts_of_sweep(rows: pl.DataFrame, metric: str) -> tuple[Chart, ...]:
    """Return the charts of rows of one metric, over shots, and over heads if there are several.

    A line is a readout; of one readout it is a number of heads, or of shots.
    """
    several = rows["readout"].n_unique() > 1
    charts = []
    for axis, other in (("shots", "heads"), ("heads", "shots")):
        if rows.group_by("readout").agg(pl.col(axis).n_unique())[axis].max() == 1:
            continue
        part = _compared(rows, other) if several else rows
        shared = part[other].unique().to_list()
        at = f" with {_setting_text(other, shared[0])}" if several and len(shared) == 1 else ""
        by = "readout" if several else other
        title = f"{metric} by {_AXES[axis]}{at}"
        lines = _charts_of(part[by].unique(maintain_order=True).to_list())
        charts += [_chart(part, names, axis, by, title) for names in lines]
    return tuple(charts)


_AXES = {"shots": "examples per class", "heads": "number of heads"}


def _compared(rows: pl.DataFrame, setting: str) -> pl.DataFrame:
    """Return the rows at which readouts are compared.

    With all shots, or each readout with the number of heads that is nearest to the usual one.
    """
    if setting == "shots":
        whole = rows.filter(pl.col("shots").is_null())
        return whole if whole.height else rows.filter(pl.col("shots") == pl.col("shots").max())
    distance = (pl.col("heads") - DEFAULT_HEADS).abs()
    nearest = pl.col("heads").sort_by(distance, "heads").first().over("readout")
    return rows.filter(pl.col("heads") == nearest)


def _setting_text(setting: str, value: int | None) -> str:
    if setting == "heads":
        return "1 head" if value == 1 else f"{value} heads"
    return "all training examples" if value is None else f"{value} examples per class"


def _charts_of(names: Sequence[Any]) -> list[list[Any]]:
    """Return the lines of each chart; the first one, which others are compared with, is in all."""
    step = MOST_SERIES - 1
    others = [names[start : start + step] for start in range(1, len(names), step)]
    return [[names[0], *lines] for lines in others] or [[names[0]]]


def require_figure(out: Path) -> None:
    """Raise ReportError if the name of a figure is not that of an SVG file."""
    if out.suffix.lower() != ".svg" or out.is_dir():
        raise ReportError(f"`figure` is {out}, expected a name that ends in .svg")


def write_figure(out: Path, rows: pl.DataFrame, metric: str) -> None:
    """Draw means by shots, and by heads if there are several numbers; a file there is replaced.

    Parameters
    ----------
    out
        The SVG file.
    rows
        One metric of a sweep's summary, or means of `Sweep.over_stores`; `readout` is what a line
        is called. Where `low` and `high` are null there are no bands.
    metric
        What the vertical axis is, in per cent.

    Raises
    ------
    ReportError
        `out` is no SVG file, or there is one number of shots and of heads, which is no curve.
    OutputError
        It cannot be written.
    """
    require_figure(out)
    if "stores" in rows.columns:
        rows = rows.with_columns(chance=None, draws="stores")
    charts = charts_of_sweep(rows, f"{metric} (%)")
    if not charts:
        raise ReportError("one number of shots and of heads makes no curve; sweep several `shots`")
    text = render(Path(__file__).parent, "figure.svg", charts=charts, tones=TONES)
    with new_file(out, "another `figure`") as file:
        file.write_bytes(text.encode("utf-8", "backslashreplace"))


def _chart(rows: pl.DataFrame, names: Sequence[Any], axis: str, by: str, title: str) -> Chart:
    values = rows[axis].unique().sort(nulls_last=True).to_list()
    places = dict(zip(values, spread(len(values), LEFT + 20, RIGHT - 20), strict=True))
    height = _height(rows)
    lines = []
    for value in names:
        name = str(value) if by == "readout" else _setting_text(by, value)
        line = rows.filter(pl.col(by).eq_missing(pl.lit(value))).iter_rows(named=True)
        lines.append((name, [(places[row[axis]], row, _title(name, row, axis)) for row in line]))
    return Chart(
        title=title,
        x_name=_AXES[axis],
        x_ticks=tuple((x, "all" if value is None else str(value)) for value, x in places.items()),
        y_ticks=height.ticks(),
        series=tuple(
            _line(name, sorted(points, key=lambda point: point[0]), height)
            for name, points in lines
        ),
        chance=None if rows["chance"][0] is None else height.chance(rows["chance"][0]),
    )


def _height(rows: pl.DataFrame) -> Height:
    return height_of(pl.concat([rows[name] for name in ("mean", "low", "high")]).drop_nulls())


def _line(name: str, points: Sequence[tuple[float, dict[str, Any], str]], height: Height) -> Series:
    """Return a line through points: place, row of the summary, and title."""
    ends = [
        (x, height.at(row["high"]), height.at(row["low"]))
        for x, row, _ in points
        if row["low"] is not None
    ]
    marks = tuple(Point(x, height.at(row["mean"]), title) for x, row, title in points)
    return Series(name, marks, band_of(ends))


def _title(name: str, row: dict[str, Any], axis: str) -> str:
    at = _setting_text(axis, row[axis])
    if row["low"] is None:
        return f"{name}, {at}: {100 * row['mean']:.1f} %, one draw"
    ends = f"{100 * row['low']:.1f} .. {100 * row['high']:.1f}"
    return f"{name}, {at}: {100 * row['mean']:.1f} % ({ends}), {row['draws']} draws"


def _depth_charts(rows: pl.DataFrame, metric: str) -> tuple[Chart, ...]:
    """Return the chart of a sweep over several depths; none of one."""
    depths = rows["max_layer"].unique().sort().to_list()
    if len(depths) == 1:
        return ()
    places = dict(zip(depths, spread(len(depths), LEFT + 20, RIGHT - 20), strict=True))
    lines = rows.partition_by("readout", "shots", maintain_order=True)[:MOST_SERIES]
    height = _height(pl.concat(lines))
    chart = Chart(
        title=f"{metric} by depth",
        x_name="last layer that heads are chosen from",
        x_ticks=thinned([(x, str(layer)) for layer, x in places.items()]),
        y_ticks=height.ticks(),
        series=tuple(_depth_series(line, places, height) for line in lines),
        chance=height.chance(float(rows["chance"][0])),
    )
    return (chart,)


def _depth_series(line: pl.DataFrame, places: dict[int, float], height: Height) -> Series:
    rows = line.sort("max_layer").to_dicts()
    shots = rows[0]["shots"]
    name = f"{rows[0]['readout']}, {'all' if shots is None else shots} shots"
    points = [
        (
            places[row["max_layer"]],
            row,
            f"{row['readout']}, layers up to {row['max_layer']} ({100 * row['share']:.0f} % of the"
            f" decoder): {100 * row['mean']:.1f} %",
        )
        for row in rows
    ]
    return _line(name, points, height)


@dataclass(frozen=True, slots=True)
class ConfidencePart:
    """Probabilities against what was right."""

    confidence: Mapping[str, Any]
    """One of `confidence` of metrics.json."""
    temperatures: tuple[tuple[str, str], ...]
    """Subtask, or `all`, and its temperature; empty if probabilities are not calibrated."""
    reliability: Table
    risk: Table | None
    chart: Chart | None
    """Accuracy if only the likeliest share is answered; None of many labels."""
    coverage: Table | None
    """The numbers of the chart."""

    @property
    def temperature_table(self) -> Table:
        """The temperatures."""
        return Table.of_cells(["subtask", "temperature"], self.temperatures)


def confidence_parts(metrics: Mapping[str, Any]) -> tuple[ConfidencePart, ...]:
    """Return how far the probabilities of a result can be trusted, of each prompt if it has many.

    Nothing if it has no probabilities.
    """
    return tuple(
        ConfidencePart(
            confidence=one,
            temperatures=tuple(
                (name, "none" if value is None else f"{value:.3g}")
                for name, value in (one["temperatures"] or {}).items()
            ),
            reliability=reliability_table(one),
            risk=risk_table(one["risk"]) if one["risk"] else None,
            chart=_coverage_chart(one["coverage"]) if one["coverage"] else None,
            coverage=coverage_table(one["coverage"]) if one["coverage"] else None,
        )
        for one in metrics["confidence"]
    )


def _coverage_chart(coverage: Sequence[Mapping[str, float]]) -> Chart:
    rows = sorted(coverage, key=lambda row: row["coverage"])
    places = spread(len(rows), LEFT + 20, RIGHT - 20)
    height = height_of(row["accuracy"] for row in rows)
    points = tuple(
        Point(
            x,
            height.at(row["accuracy"]),
            f"{100 * row['coverage']:.0f} % answered: {100 * row['accuracy']:.1f} % right",
        )
        for x, row in zip(places, rows, strict=True)
    )
    return Chart(
        title="Accuracy if only the likeliest examples are answered",
        x_name="share of the examples that is answered, %",
        x_ticks=tuple(
            (x, f"{100 * row['coverage']:.0f}") for x, row in zip(places, rows, strict=True)
        ),
        y_ticks=height.ticks(),
        series=(Series("", points, ""),),
        chance=None,
    )
