"""The tables of results: how metrics, classes, labels, sweeps and comparisons are worded.

Commands print them; reports and model cards show them, too. Rows are frames, or those of
metrics.json. Shares are in percent, differences in percentage points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.compare.compare import across_data_sets, repeated
from savs.pipeline.running.formatting import (
    apart,
    counted,
    format_bytes,
    interval,
    measured,
    measured_interval,
    of_shares,
    percent,
    points,
    probability,
)
from savs.pipeline.running.output_files import with_media_cells
from savs.pipeline.running.table import Column, Drawing, Table, plain
from savs.pipeline.selection.selection import Selection
from savs.pipeline.statistics.intervals import Metric
from savs.pipeline.targets import Target
from savs.pipeline.targets.tables import INTERVAL
from savs.stores import head_name

HEADS_SHOWN = 8
LABELS_SHOWN = 20
P_VALUES = (Column("p", "p", probability), Column("p (Holm)", "p_holm", probability))
WINS = tuple(Column(name, name) for name in ("wins", "ties", "losses"))
WIN = "win, loss: a {} where the interval of the difference lies above, or below 0"


@dataclass(frozen=True, slots=True)
class Scaled:
    """Columns of metrics: in percent where all are shares, else each as its `scale` wants it."""

    are_shares: bool

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Scaled":
        """Return the columns for rows of metrics."""
        return cls("scale" not in rows.columns or (rows["scale"] == "share").all())

    def named(self, name: str) -> str:
        """Return a heading."""
        return f"{name} (%)" if self.are_shares else name

    def value(self, heading: str, of: str) -> Column:
        """Return the column of a value."""
        if self.are_shares:
            return Column(heading, of, percent)
        return Column(heading, (of, "scale"), measured)

    def interval(self, heading: str = INTERVAL.heading, *, of: str = "") -> Column:
        """Return the column of the interval of a value."""
        return self._interval(heading, of, percent, measured)

    def difference(self, heading: str, *, of: str = "") -> list[Column]:
        """Return the columns of a paired difference and its interval, under that heading."""
        column = (
            Column("difference", "difference", points)
            if self.are_shares
            else Column("difference", ("difference", "scale"), apart)
        )
        return [column, self._interval(heading, of, points, apart)]

    def _interval(
        self, heading: str, of: str, share: Callable[..., str], other: Callable[..., str]
    ) -> Column:
        if self.are_shares:
            return Column(heading, (f"{of}low", f"{of}high"), partial(interval, show=share))

        def cell(low: float | None, high: float | None, scale: str) -> str:
            return interval(low, high, partial(other, scale=scale))

        return Column(heading, (f"{of}low", f"{of}high", "scale"), cell)

    def unit(self) -> str:
        """Return the unit of differences, after a comma."""
        return ", percentage points" if self.are_shares else ""


def evaluation_tables(evaluation: Evaluation, *, per_class: bool = False) -> list[Table]:
    """Return the metrics, and with `per_class` those of classes, or of many labels."""
    tables = []
    if evaluation.metrics:
        rows = [metric.to_json() for metric in evaluation.metrics]
        tables.append(metrics_table(rows, evaluation.train_shares))
    if not per_class:
        return tables
    return tables + evaluation.target.worded(evaluation.tables)


def metrics_table(
    metrics: Sequence[Mapping[str, Any]], train_shares: tuple[float, float] | None = None
) -> Table:
    """Return metrics with their intervals and baselines.

    `train_shares` says of how much of the training examples the measured classifiers were made.
    """
    frame = pl.DataFrame(metrics, infer_schema_length=None)
    scaled = Scaled.of(frame)
    columns = [
        Column(scaled.named("metric"), "name"),
        scaled.value("value", "value"),
        scaled.interval(),
        scaled.value("chance", "chance"),
        *([Column("majority", "majority", percent)] if scaled.are_shares else []),
        Column("units", "units"),
    ]
    if train_shares is not None:
        columns.append(Column("trained on", "trained_on"))
        frame = frame.with_columns(trained_on=pl.lit(of_shares(*train_shares)))
    drawing = Drawing("track", ("value", "low", "high", "chance", "majority"))
    return Table(frame, columns, drawing=drawing if scaled.are_shares else None)


def confidence_tables(confidence: Mapping[str, Any]) -> list[Table]:
    """Return how often probabilities are right, and what not answering would gain.

    `confidence` is one of those of metrics.json; of many labels it is about pairs of an example and
    a label.
    """
    temperatures, atypical = confidence["temperatures"], confidence["atypical"]
    are_pairs = not confidence["coverage"]
    how = "not calibrated" if temperatures is None else "calibrated by left-out training examples"
    if temperatures and len(temperatures) == 1:
        how += f", temperature {next(iter(temperatures.values())):.3g}"
    error = percent(confidence["calibration_error"])
    count = counted(confidence["examples"], "pair" if are_pairs else "example")
    notes, details = [], []
    notes.append(f"expected calibration error {error} points on {count}; probabilities are {how}")
    if are_pairs:
        details.append("of all pairs of an example and a label: right where the label is there")
    if atypical:
        among = f"; right among them: {_share(atypical['right'])} %" if atypical["right"] else ""
        line = f"atypical, like no training example: {_share(atypical['share'])} %{among}"
        (notes if atypical["share"]["value"] else details).append(line)
    columns = [
        Column("probability (%)", ("low", "high"), partial(interval, show=_whole)),
        Column("mean", "probability", percent),
        Column("right (%)", "accuracy", percent),
        Column("pairs" if are_pairs else "examples", "examples"),
    ]
    tables = [
        Table(
            pl.DataFrame(confidence["reliability"]),
            columns,
            notes=tuple(notes),
            details=tuple(details),
            drawing=Drawing("track", ("accuracy", None, None, "probability")),
        )
    ]
    if not are_pairs:
        columns = [
            Column("answered (%)", "coverage", _whole),
            Column("right (%)", "accuracy", percent),
            Column("least probability (%)", "threshold", percent),
        ]
        title = "accuracy if only the likeliest examples are answered"
        tables.append(Table(pl.DataFrame(confidence["coverage"]), columns, title=title))
    if confidence["risk"] is not None:
        tables.append(risk_table(confidence["risk"]))
    return tables


def _share(mean: Mapping[str, Any]) -> str:
    return f"{percent(mean['value'])} ({interval(mean['low'], mean['high'])})"


def _whole(share: float | None) -> str:
    return f"{100 * (share or 0):.0f}"


def risk_table(report: Mapping[str, Any]) -> Table:
    """Return what prediction sets of a chosen risk came to."""
    are_labels = report["answered"] is None
    truth = "true labels" if are_labels else "truth"
    rows = [
        {"name": f"{truth} outside the prediction set", "most": report["risk"], **report["outside"]}
    ]
    if not are_labels:
        rows += [
            {"name": "answered: one class in the set", **report["answered"]},
            {"name": "wrong among the answered", **(report["wrong"] or {})},
        ]
    names = ("value", "low", "high", "most")
    schema = {"name": pl.String, **dict.fromkeys(names, pl.Float64)}
    columns = [
        Column(f"risk {report['risk']:g}", "name"),
        Column("value (%)", "value", percent),
        INTERVAL,
        Column("at most", "most", percent),
    ]
    kind = "labels" if are_labels else "classes"
    other = ", and the error among the answered is another number" * (not are_labels)
    share = "the share of the true labels" if are_labels else "the share of true classes"
    notes = (
        f"a set has {report['classes']:.2f} {kind} on average; the risk is {share} outside the"
        f" set{other}"
    )
    drawing, title = Drawing("track", ("value", "low", "high")), "prediction sets"
    frame = pl.DataFrame(rows, schema=schema)
    return Table(frame, columns, title, notes=(notes,), drawing=drawing)


def selection_table(
    selection: Selection, estimates: Mapping[str | None, Metric] | None = None
) -> Table:
    """Return each subtask's classes, examples and best heads with their strengths.

    `estimates` are the cross-validated accuracies, if they are known. Of many labels those are
    average precisions, and the table has the first `LABELS_SHOWN` labels.
    """
    target = selection.target
    tasks = selection.tasks[: LABELS_SHOWN if target.tasks_share_rows else None]
    known, rows = estimates or {}, []
    for task in tasks:
        names = [head_name(head) for head in task.heads[:HEADS_SHOWN]]
        more = len(task.heads) - len(names)
        weakest, strongest = (percent(end(task.strengths)) for end in (min, max))
        rows.append(
            [
                task.subtask or "all",
                len(task.classes) if target.kinds_of_task else target.name,
                str(task.examples),
                f"{weakest} to {strongest}{target.share_of}",
                _estimate(known.get(task.subtask)),
                " ".join(names) + (f" and {more} more" if more else ""),
            ]
        )
    header = [
        target.part,
        "classes" if target.kinds_of_task else "labels",
        *("examples", "head strength (%)", target.estimated_as),
        "heads, best first",
    ]
    more = len(selection.tasks) - len(tasks)
    strength = (
        "head strength: the share of the training examples that each chosen head classifies alone;"
        " it does not estimate test accuracy"
    )
    notes = (f"and {counted(more, 'other label')}; --json lists all",) if more else ()
    return replace(Table.of_cells(header, rows), notes=notes, details=(strength,))


def _estimate(metric: Metric | None) -> str:
    if metric is None:
        return "-"
    value = measured(metric.value, metric.scale).removesuffix(" %")
    return f"{value} ({measured_interval(metric.low, metric.high, metric.scale)})"


def suspects_table(suspects: pl.DataFrame, target: Target) -> Table:
    """Return training examples whose label others contradict, see `suspects`."""
    if suspects.schema["media"] != pl.String:
        suspects = with_media_cells(suspects)
    has_media = suspects.filter(pl.col("media").ne_missing(pl.col("id"))).height > 0
    has_subtasks = suspects["subtask"].count() > 0
    columns = [
        Column("suspect", "id"),
        *([Column("media", "media", is_text=True)] if has_media else []),
        *([Column(target.doubted, "subtask", is_text=True)] if has_subtasks else []),
        Column("label", "label", is_text=True),
        Column("predicted", "prediction", is_text=True),
        Column("margin", "margin", "{:.3g}".format),
        Column("strength (%)", "strength", percent),
    ]
    return Table(suspects, columns)


def sweep_table(rows: pl.DataFrame, metric: str) -> Table:
    """Return one metric of a sweep's summary; a column is there if it has something to say."""
    is_depth, is_prompts, is_paired = (
        rows[name].count() > 0 for name in ("max_layer", "prompt", "difference")
    )
    scaled = Scaled.of(rows)
    columns = [*_point_columns(rows), scaled.value(scaled.named(metric), "mean")]
    if rows["sd"].count() or not (is_depth or is_prompts):
        columns += [scaled.value("SD", "sd"), Column("draws", "draws")]
    columns.append(scaled.interval())
    if is_paired:
        columns += [*scaled.difference("its interval", of="difference_"), *P_VALUES]
    ends = rows["chance"].min(), rows["chance"].max()
    chance = " to ".join(dict.fromkeys(_chance(end, rows["scale"][0]) for end in ends))
    notes, details = [], []
    if is_prompts:
        notes.append(f"{counted(rows['units'][0], 'training example')}, cross-validated")
    elif is_depth:
        notes.append(
            f"chance {chance}; the best {rows['heads'][0]} heads of layers up to the max layer; of"
            " decoder: the share of its layers, so of its parameters and FLOP, that savs classify"
            " then loads and runs"
        )
    else:
        notes.append(f"chance {chance}; SD over draws, intervals over draws and examples")
        if (rows["draws"] == 1).any():
            notes.append(
                "one draw has no interval: it does not show how much draws differ; savs evaluate"
                " has the interval over test examples alone"
            )
    if is_paired:
        first = (
            "the first prompt"
            if is_prompts
            else f"layers up to {rows['max_layer'].max()}"
            if is_depth
            else rows["against"].drop_nulls()[0]
        )
        sources = "draws and examples" if rows["draws"].max() != 1 else "examples"
        same = "draws and examples" if not is_prompts else "examples"
        notes.append(
            f"difference: minus {first} on the same {same}{scaled.unit()}; intervals and p over"
            f" {sources}"
        )
        if count := rows["p_holm"].count():
            corrected = f"corrected for the {counted(count, 'row')} of the headline metric"
            details.append(f"p (Holm): {corrected}")
    if is_prompts:
        notes.append(
            "the best of several prompts looks a little better than it is; savs evaluate tests it"
        )
    return Table(rows, columns, notes=tuple(notes), details=tuple(details))


def _chance(chance: Any, scale: str) -> str:
    return percent(chance) if scale == "share" else measured(chance, scale)


def stores_table(rows: pl.DataFrame) -> Table:
    """Return means over stores of different examples, see `Sweep.over_stores`."""
    columns = [
        *_point_columns(rows),
        Column("mean (%)", "mean", percent),
        INTERVAL,
        *Scaled(are_shares=True).difference("its interval", of="difference_"),
        *P_VALUES,
        *WINS,
    ]
    notes = (
        f"means over {rows['stores'][0]} stores of the headline metric; difference: minus"
        f" {rows['readout'][0]}, percentage points; intervals and p over stores",
        WIN.format("store"),
    )
    return Table(rows, columns, notes=notes)


def _point_columns(rows: pl.DataFrame) -> list[Column]:
    """Return what tells the points of a sweep apart."""
    readout = Column("readout", "readout", is_text=True)
    heads = Column("heads", "heads", lambda count: plain(count or None))
    if rows["prompt"].count():
        return [Column("prompt", "prompt"), readout, heads]
    shots = Column("shots", "shots", lambda shots: "all" if shots is None else str(shots))
    if not rows["max_layer"].count():
        return [readout, shots, heads]
    depth = [Column("max layer", "max_layer")]
    if "share" in rows.columns:
        depth.append(Column("of decoder (%)", "share", percent))
    return [readout, shots, heads, *depth]


def comparison_tables(rows: pl.DataFrame) -> list[Table]:
    """Return one table for each two results of a `compare`, then the means over data sets.

    Of sweeps a table has a row a point, of the headline alone.
    """
    tables = []
    scaled = Scaled.of(rows)
    for (a, b), part in rows.group_by("a", "b", maintain_order=True):
        of_points = part["readout"].count() > 0
        metric = part["metric"][0]
        columns = [
            *(_point_columns(part) if of_points else [Column(scaled.named("metric"), "metric")]),
            scaled.value(str(a), "value_a"),
            scaled.value(str(b), "value_b"),
            *scaled.difference(INTERVAL.heading),
            *([Column("draws", "draws")] if of_points else []),
            Column("units", "units"),
            Column("clusters", "clusters"),
            Column("test", "test", is_text=True),
            *P_VALUES,
        ]
        title = scaled.named(metric) if of_points else ""
        tables.append(Table(part.filter(metric=metric) if of_points else part, columns, title))
    count = counted(rows["p_holm"].count(), "test")
    has_draws = bool((rows["draws"] > 1).any())
    notes = (
        f"difference: the second minus the first{scaled.unit()}",
        f"p (Holm): corrected for {count} of the headline metric; the other p are not corrected",
        *(["intervals: over draws and examples; of one draw, over examples"] * has_draws),
    )
    tables[-1] = replace(tables[-1], notes=notes)
    means = across_data_sets(rows)
    if means.height:
        of_points = means["readout"].count() > 0
        columns = [
            Column("mean over data sets", ("b", "a"), "{} minus {}".format),
            *(_point_columns(means) if of_points else []),
            Column("data sets", "data_sets"),
            *Scaled.of(means).difference(INTERVAL.heading),
            P_VALUES[0],
            *WINS,
        ]
        tables.append(Table(means, columns, notes=(WIN.format("data set"),)))
    return tables


def methods_table(rows: pl.DataFrame) -> Table:
    """Return a row a result, see `method_table`. Columns that say nothing here are left out."""
    metrics, scaled = rows["metric"].unique(maintain_order=True).to_list(), Scaled.of(rows)
    is_useful = {
        "benchmark": rows["benchmark"].n_unique() > 1,
        "result": repeated(rows),
        "method": True,
        "model": True,
        "metric": len(metrics) > 1,
    }
    columns = [
        *(Column(name, name, is_text=True) for name, wanted in is_useful.items() if wanted),
        scaled.value(scaled.named("value" if len(metrics) > 1 else metrics[0]), "value"),
        scaled.interval(),
        *scaled.difference("its 95 % interval", of="difference_"),
        P_VALUES[1],
    ]
    cost = (
        Column("forwards", "forwards"),
        Column("seconds", "seconds", lambda s: "-" if s is None else f"{s:,.1f}"),
        Column("bytes", "bytes", lambda size: "-" if size is None else format_bytes(size)),
    )
    if rows.select("forwards", "seconds", "bytes").count().sum_horizontal().item():
        columns += cost
    return Table(rows, columns)
