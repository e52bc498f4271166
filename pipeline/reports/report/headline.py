"""The headline of a report: the results next to chance and majority, and what differs, paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from savs.foundation.frames import schema_of
from savs.pipeline.evaluation.compare.compare import compare
from savs.pipeline.evaluation.compare.result_folders import of_same_examples
from savs.pipeline.evaluation.per_class import PartRow
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.tables import INTERVAL, P_VALUES, PAIRED
from savs.pipeline.running.formatting import percent
from savs.pipeline.running.table import Column, Drawing, Table


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a plot of shares: a value with its interval, or a baseline."""

    name: str
    value: float
    low: float | None
    high: float | None
    kind: str
    """`main`, `other` or `baseline`."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """What a reader sees first."""

    metric: str
    main: Mapping[str, Any]
    """The headline of the first result, as in metrics.json."""
    bars: tuple[Bar, ...]
    differences: Table | None
    """Each other result minus the first, of this metric; None without others."""


def headline_of(results: Sequence[Result]) -> Headline:
    """Return the headline of the first result, and how the others compare.

    Results of the same examples and metrics are compared unit by unit; the others are shown with
    their own interval.
    """
    first, *others = results
    main = first.headline
    paired = [other for other in others if is_paired(first, other)]
    return Headline(
        metric=str(main["name"]),
        main=main,
        bars=(
            _bar(first, main, "main"),
            *(_bar(other, _like(other, main), "other", _apart(first, other)) for other in others),
            *_baselines(main),
        ),
        differences=_differences(first, paired, str(main["name"])),
    )


def is_paired(first: Result, other: Result) -> bool:
    """Return whether two results have the same examples and metrics."""
    return list(first.units()) == list(other.units()) and of_same_examples(first, other)


def _differences(first: Result, others: Sequence[Result], metric: str) -> Table | None:
    if not others:
        return None
    rows = compare([first.folder, *(other.folder for other in others)], metric=metric)
    rows = rows.with_columns(b=pl.Series([other.name for other in others]))
    ends = rows.select(pl.max_horizontal(pl.col("difference", "low", "high").abs()).max())
    columns = [Column("result", "b"), *PAIRED, Column("test", "test", is_text=True), *P_VALUES]
    drawing = Drawing("apart", ("difference", "low", "high"), reach=ends.item())
    return Table(rows, columns, drawing=drawing)


def _like(other: Result, main: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metric of another result that has the headline's name; else its own headline."""
    same = (metric for metric in other.metrics["metrics"] if metric["name"] == main["name"])
    return next(same, other.headline)


def _apart(first: Result, other: Result) -> str:
    """Return why a result is not compared example by example."""
    if is_paired(first, other):
        return ""
    if other.split != first.split:
        return f"of the {other.split} examples"
    return "of other examples"


def _bar(result: Result, metric: Mapping[str, Any], kind: str, note: str = "") -> Bar:
    return Bar(result.name, metric["value"], metric["low"], metric["high"], kind, note)


def _baselines(main: Mapping[str, Any]) -> list[Bar]:
    baselines = {"majority class": main["majority"], "chance": main["chance"]}
    return [
        Bar(name, value, None, None, "baseline")
        for name, value in baselines.items()
        if value is not None
    ]


def parts_tables(parts: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
    """Return the accuracy of each subtask, and of each category, rows of metrics.json's `parts`."""
    columns = [
        Column("accuracy", "accuracy", percent),
        INTERVAL,
        Column("right", "correct"),
        Column("of", "n"),
    ]
    drawing = Drawing("track", ("accuracy", "low", "high"))
    tables = {}
    for by in ("subtask", "category"):
        if rows := [row for row in parts if row["by"] == by]:
            frame = pl.DataFrame(rows, schema=schema_of(PartRow))
            name = Column(by, "name", lambda name: "(none)" if name is None else name)
            tables[by] = Table(frame, [name, *columns], drawing=drawing)
    return tables


def groups_table(predictions: pl.DataFrame) -> Table | None:
    """Return how many groups have how many right examples; None if no group has several."""
    groups = (
        predictions.drop_nulls("group")
        .group_by("group")
        .agg(size=pl.len(), right=pl.col("correct").sum())
        .filter(pl.col("size") > 1)
    )
    counts = (
        groups.group_by("size", "right")
        .agg(groups=pl.len())
        .with_columns(share=pl.col("groups") / pl.col("groups").sum().over("size"))
        .sort("size", "right", descending=[False, True])
    )
    if not counts.height:
        return None
    columns = [
        Column("right", ("right", "size"), "{} of {}".format),
        Column("groups", "groups"),
        Column("share (%)", "share", percent),
    ]
    rows = counts.with_columns(wrong=pl.col("right") < pl.col("size"))
    return Table(rows, columns, drawing=Drawing("bar", ("share",), wrong="wrong"))
