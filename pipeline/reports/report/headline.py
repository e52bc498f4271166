"""The headline of a report: the results next to chance and majority, and what differs, paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from savs.datasets.metrics.metrics import Scale
from savs.foundation.frames import schema_of
from savs.pipeline.evaluation.compare.compare import compare
from savs.pipeline.evaluation.compare.trial_sets import of_same_examples
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.tables import P_VALUES, Scaled, metrics_table
from savs.pipeline.running.formatting import percent, visible
from savs.pipeline.running.table import Column, Drawing, Table
from savs.pipeline.statistics.per_class import PartRow
from savs.pipeline.targets.tables import INTERVAL


@dataclass(frozen=True, slots=True)
class Headline:
    """What a reader sees first."""

    metric: str
    scale: Scale
    main: Mapping[str, Any]
    """The headline of the first result, as in metrics.json."""
    results: Table
    """Every result next to chance and majority."""
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
    same = [other for other in paired if is_same(first, other)]
    scale = main["scale"]
    baselines = {"chance": main["chance"], "majority": main["majority"], "scale": scale}
    rows = [{"name": visible(first.name), "style": "main", **_ends(main), **baselines}]
    for other in others:
        apart = _apart(first, other, paired, same)
        named = (one for one in other.metrics["metrics"] if one["name"] == main["name"])
        own = next(named, other.headline)  # else its own headline, whose chance is another
        has_same = own["name"] == main["name"]
        of_other = baselines if has_same else {"scale": own["scale"]}
        name = f"{visible(other.name)}{apart}" + ("" if has_same else f", {visible(own['name'])}")
        rows.append({"name": name, "style": "other", **_ends(own), **of_other})
    rows += [
        {"name": name, "style": "baseline", "value": value, "scale": scale}
        for name, value in (("majority class", main["majority"]), ("chance", main["chance"]))
        if value is not None
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    scaled = Scaled.of(frame)
    drawing = Drawing("track", ("value", "low", "high", "chance", "majority"), style="style")
    columns = [Column("result", "name"), scaled.value("value", "value"), scaled.interval()]
    return Headline(
        metric=str(main["name"]),
        scale=scale,
        main=main,
        results=Table(frame, columns, drawing=drawing if scaled.are_shares else None),
        differences=_differences(
            first, [other for other in paired if other not in same], str(main["name"])
        ),
    )


def is_paired(first: Result, other: Result) -> bool:
    """Return whether two results have the same examples and the same headline."""
    is_same = first.headline["name"] == other.headline["name"]
    return is_same and of_same_examples(first, other)


def is_same(first: Result, other: Result) -> bool:
    """Return whether two results have the same predictions, so that there is nothing to test."""
    values = [{**_ends(one.headline), "name": one.headline["name"]} for one in (first, other)]
    said = [one.predictions().select("id", "prediction").sort("id") for one in (first, other)]
    return values[0] == values[1] and said[0].equals(said[1])


def _differences(first: Result, others: Sequence[Result], metric: str) -> Table | None:
    if not others:
        return None
    rows = compare([first.folder, *(other.folder for other in others)], metric=metric)
    rows = rows.with_columns(b=pl.Series([visible(other.name) for other in others]))
    ends = rows.select(pl.max_horizontal(pl.col("difference", "low", "high").abs()).max())
    scaled = Scaled.of(rows)
    columns = [
        Column("result", "b"),
        *scaled.difference(INTERVAL.heading),
        Column("test", "test", is_text=True),
        *P_VALUES,
    ]
    drawing = Drawing("apart", ("difference", "low", "high"), reach=ends.item())
    return Table(rows, columns, drawing=drawing if scaled.are_shares else None)


def _ends(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric[name] for name in ("value", "low", "high")}


def _apart(first: Result, other: Result, paired: Sequence[Result], same: Sequence[Result]) -> str:
    """Return why a result is not compared example by example; nothing if it is."""
    if other in paired:
        return f" (the predictions of {visible(first.name)})" if other in same else ""
    split = "training" if other.split == "train" else other.split
    of_other = "other" if other.split == first.split else f"the {split}"
    return f" (of {of_other} examples)"


def metrics_part(result: Result) -> Table | None:
    """Return the table of all metrics of a result; None if the headline is the only one."""
    metrics = result.metrics["metrics"]
    return metrics_table(metrics) if len(metrics) > 1 else None


@dataclass(frozen=True, slots=True)
class PartsOfTest:
    """Accuracies of parts of the test examples."""

    tables: dict[str, Table]
    """`subtask` or `category` -> the accuracy of each."""
    groups: Table | None
    """How many groups have how many right examples; None if no group has several."""


def parts_part(result: Result) -> PartsOfTest | None:
    """Return the accuracies of subtasks, categories and groups; None if there are none."""
    tables = _parts_tables(result.metrics.get("parts", ()))
    groups = _groups_table(result.predictions())
    return PartsOfTest(tables, groups) if tables or groups else None


def _parts_tables(parts: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
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


def _groups_table(predictions: pl.DataFrame) -> Table | None:
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
    style = pl.when(pl.col("right") < pl.col("size")).then(pl.lit("wrong"))
    rows = counts.with_columns(style=style)
    return Table(rows, columns, drawing=Drawing("bar", ("share",), style="style"))
