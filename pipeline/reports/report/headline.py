"""The headline of a report: the results next to chance and majority, and what differs, paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from savs.pipeline.evaluation.compare.compare import compare
from savs.pipeline.evaluation.compare.result_folders import of_same_examples
from savs.pipeline.evaluation.results import Result


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
    differences: tuple[Mapping[str, Any], ...]
    """Rows of `compare` about this metric: each other result minus the first."""
    reach: float
    """Greatest distance from 0 of an end of their intervals."""


def headline_of(results: Sequence[Result]) -> Headline:
    """Return the headline of the first result, and how the others compare.

    Results of the same examples and metrics are compared unit by unit; the others are shown with
    their own interval.
    """
    first, *others = results
    main = first.headline
    paired = [other for other in others if is_paired(first, other)]
    differences = _differences(first, paired, str(main["name"]))
    ends = [row[end] for row in differences for end in ("low", "high", "difference")]
    return Headline(
        metric=str(main["name"]),
        main=main,
        bars=(
            _bar(first, main, "main"),
            *(_bar(other, _like(other, main), "other", _apart(first, other)) for other in others),
            *_baselines(main),
        ),
        differences=differences,
        reach=max((abs(end) for end in ends if end is not None), default=0.0),
    )


def is_paired(first: Result, other: Result) -> bool:
    """Return whether two results have the same examples and metrics."""
    return list(first.units()) == list(other.units()) and of_same_examples(first, other)


def _differences(
    first: Result, others: Sequence[Result], metric: str
) -> tuple[Mapping[str, Any], ...]:
    if not others:
        return ()
    comparison = compare([first.folder, *(other.folder for other in others)], metric=metric)
    names = [other.name for other in others]
    return tuple(
        {**row, "b": name}
        for name, row in zip(names, comparison.iter_rows(named=True), strict=True)
    )


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


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Groups of one size with the same number of right examples."""

    size: int
    right: int
    groups: int
    share: float
    """Share of the groups of this size."""


def groups_part(predictions: pl.DataFrame) -> tuple[GroupCount, ...]:
    """Return how many groups have how many right examples; none if no group has several."""
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
    return tuple(GroupCount(**row) for row in counts.iter_rows(named=True))
