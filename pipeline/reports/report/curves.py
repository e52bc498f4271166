"""The parts of a report that are curves: accuracy over shots, heads, depth and coverage.

And the charts of a sweep for a paper, as one SVG, which LaTeX and browsers show alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.evaluation.sweep.table import headline, load_summary, with_methods
from savs.pipeline.evaluation.tables import confidence_tables, sweep_table
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.reports.pages.charts import TONES, Chart, Value, draw_lines
from savs.pipeline.reports.pages.rendering import HERE, render
from savs.pipeline.running.formatting import measured, measured_interval
from savs.pipeline.running.output_files import new_file
from savs.pipeline.running.table import Table


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

    Each data set is shown by itself. ResultError if a summary is damaged.
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
        each = _each(rows)
        at = (
            f" with {_setting_text(other, shared[0], each)}" if several and len(shared) == 1 else ""
        )
        by = "readout" if several else other
        title = f"{metric} by {_axis(axis, each)}{at}"
        lines = _charts_of(part[by].unique(maintain_order=True).to_list())
        charts += [_chart(part, names, axis, by, title) for names in lines]
    return tuple(charts)


def _each(rows: pl.DataFrame) -> str:
    """Return what shots are counted of; all examples where these have no classes."""
    return " per class" if _scale(rows) == "share" else ""


def _axis(setting: str, each: str) -> str:
    return (
        "number of heads"
        if setting == "heads"
        else f"examples{each}"
        if each
        else "training examples"
    )


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


def _setting_text(setting: str, value: int | None, each: str) -> str:
    if setting == "heads":
        return "1 head" if value == 1 else f"{value} heads"
    return "all training examples" if value is None else f"{value} examples{each}"


def _charts_of(names: Sequence[Any]) -> list[list[Any]]:
    """Return the lines of each chart; the first one, which others are compared with, is in all."""
    step = len(TONES) - 1
    others = [names[start : start + step] for start in range(1, len(names), step)]
    return [[names[0], *lines] for lines in others] or [[names[0]]]


def draw_figure(out: Path, rows: pl.DataFrame, metric: str) -> bool:
    """Draw means by shots, and by heads if there are several numbers; a file there is replaced.

    `out` is the SVG file; `rows` are one metric of a sweep's summary, or means of
    `Sweep.over_stores`, where `readout` is what a line is called: where `low` and `high` are null
    there are no bands. `metric` is what the vertical axis is; shares are in per cent. One number of
    shots and of heads is no curve: then nothing is written, and False returned. OutputError if it
    cannot be written.
    """
    if "stores" in rows.columns:
        rows = rows.with_columns(chance=None, draws="stores")
    charts = charts_of_sweep(rows, f"{metric} (%)" if _scale(rows) == "share" else metric)
    if not charts:
        return False
    text = render(HERE, "figure.svg", charts=charts)
    with new_file(out, "another `out`") as file:
        file.write_bytes(text.encode("utf-8", "backslashreplace"))
    return True


def _chart(rows: pl.DataFrame, names: Sequence[Any], axis: str, by: str, title: str) -> Chart:
    settings = rows[axis].unique().sort(nulls_last=True).to_list()
    lines = {}
    for value in names:
        name = str(value) if by == "readout" else _setting_text(by, value, _each(rows))
        line = rows.filter(pl.col(by).eq_missing(pl.lit(value))).to_dicts()
        values = [
            Value(settings.index(row[axis]), *_ends(row), _title(name, row, axis)) for row in line
        ]
        lines[name] = sorted(values)
    return draw_lines(
        title,
        _axis(axis, _each(rows)),
        [(n, "all" if value is None else str(value)) for n, value in enumerate(settings)],
        lines,
        chance=_one_chance(rows),
        scale=pl.concat([rows[name] for name in ("mean", "low", "high")]).drop_nulls(),
        are_shares=_scale(rows) == "share",
    )


def _one_chance(rows: pl.DataFrame) -> float | None:
    """Return the chance of all rows; None if it differs, as that of an error does by draw."""
    return rows["chance"][0] if rows["chance"].n_unique() == 1 else None


def _scale(rows: pl.DataFrame) -> str:
    """Return the scale of rows of one metric; means over stores are shares."""
    return rows["scale"][0] if "scale" in rows.columns else "share"


def _ends(row: Mapping[str, Any]) -> tuple[float, float | None, float | None]:
    return row["mean"], row["low"], row["high"]


def _title(name: str, row: dict[str, Any], axis: str) -> str:
    scale = row.get("scale", "share")
    at = _setting_text(axis, row[axis], " per class" if scale == "share" else "")
    value = measured(row["mean"], scale)
    if row["low"] is None:
        return f"{name}, {at}: {value}, one draw"
    ends = measured_interval(row["low"], row["high"], scale)
    return f"{name}, {at}: {value} ({ends}), {row['draws']} draws"


def _depth_charts(rows: pl.DataFrame, metric: str) -> tuple[Chart, ...]:
    """Return the chart of a sweep over several depths; none of one."""
    depths = rows["max_layer"].unique().sort().to_list()
    if len(depths) == 1:
        return ()
    lines = {}
    for line in rows.partition_by("readout", "shots", maintain_order=True)[: len(TONES)]:
        shots = line["shots"][0]
        lines[f"{line['readout'][0]}, {'all' if shots is None else shots} shots"] = [
            Value(
                depths.index(row["max_layer"]),
                *_ends(row),
                f"{row['readout']}, layers up to {row['max_layer']} ({100 * row['share']:.0f} % of"
                f" the decoder): {measured(row['mean'], row['scale'])}",
            )
            for row in line.sort("max_layer").to_dicts()
        ]
    ticks = [(n, str(layer)) for n, layer in enumerate(depths)]
    name, chance = "last layer that heads are chosen from", _one_chance(rows)
    are_shares = _scale(rows) == "share"
    title = f"{metric} by depth"
    return (draw_lines(title, name, ticks, lines, chance=chance, are_shares=are_shares),)


@dataclass(frozen=True, slots=True)
class ConfidencePart:
    """Probabilities against what was right."""

    confidence: Mapping[str, Any]
    """One of `confidence` of metrics.json."""
    tables: tuple[Table, ...]
    chart: Chart | None
    """Accuracy if only the likeliest share is answered; None of many labels."""
    temperatures: Table | None
    """The temperature of each subtask, if there are several."""


def confidence_parts(metrics: Mapping[str, Any]) -> tuple[ConfidencePart, ...]:
    """Return how far the probabilities of a result can be trusted, of each prompt if it has many.

    Nothing if it has no probabilities.
    """
    parts = []
    for one in metrics["confidence"]:
        temperatures = (one["temperatures"] or {}).items()
        rows = [(name, "none" if value is None else f"{value:.3g}") for name, value in temperatures]
        several = Table.of_cells(["subtask", "temperature"], rows) if len(rows) > 1 else None
        chart = _coverage_chart(one["coverage"]) if one["coverage"] else None
        parts.append(ConfidencePart(one, tuple(confidence_tables(one)), chart, several))
    return tuple(parts)


def _coverage_chart(coverage: Sequence[Mapping[str, float]]) -> Chart:
    values = [
        Value(
            row["coverage"],
            row["accuracy"],
            None,
            None,
            f"{100 * row['coverage']:.0f} % answered: {100 * row['accuracy']:.1f} % right",
        )
        for row in sorted(coverage, key=lambda row: row["coverage"])
    ]
    return draw_lines(
        "Accuracy if only the likeliest examples are answered",
        "share of the examples that is answered, %",
        [(value.at, f"{100 * value.at:.0f}") for value in values],
        {"": values},
    )
