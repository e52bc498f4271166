"""Several evaluations side by side: on each data set, every other one minus the first."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from savs.foundation.files import real_path
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.result_folders import (
    Result,
    group_results,
    read_result,
    short_names,
)
from savs.pipeline.evaluation.same_examples import joined_clusters
from savs.pipeline.evaluation.statistics.intervals import estimate
from savs.pipeline.evaluation.statistics.paired_tests import holm, subtract

COMPARISON_SCHEMA = {
    "metric": pl.String,
    "a": pl.String,
    "b": pl.String,
    "value_a": pl.Float64,
    "value_b": pl.Float64,
    "difference": pl.Float64,
    "error": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "units": pl.Int64,
    "clusters": pl.Int64,
    "test": pl.String,
    "p": pl.Float64,
    "p_holm": pl.Float64,
}
"""Columns of a comparison. `a` and `b` are short names of folders, `difference` is value_b minus
value_a, `error` its clustered standard error, `low` and `high` its 95 % interval, null like `error`
where there is one cluster. `p_holm` is null for all metrics but the headline."""


def compare(paths: Sequence[str | Path], *, metric: str | None = None) -> pl.DataFrame:
    """Compare evaluations on the same test examples, unit by unit.

    Results of the same examples are one data set. On each, the result given first is the baseline A
    of every other one, B. The p values of the headline (the first metric of each data set, or
    `metric`) are corrected together by Holm's method, over all data sets and results; those of
    the other metrics are not, they explore. A skipped example counts as wrong.

    Parameters
    ----------
    paths
        Two folders of results or more, that `savs evaluate` or `save_evaluation` wrote.
    metric
        Compare this one alone; all by default.

    Returns
    -------
    polars.DataFrame
        One row a data set, result B and metric, in the order given; columns `COMPARISON_SCHEMA`.

    Raises
    ------
    ComparisonError
        Fewer than two results, or one twice; one without another of the same examples; one that
        has other metrics; an unknown metric.
    ResultError
        A file of a result is missing or damaged.
    """
    return compare_groups(read_groups(paths), metric=metric)


def read_groups(paths: Sequence[str | Path]) -> list[list[Result]]:
    """Return results, those of the same examples together; errors as in `compare`."""
    folders = [Path(path) for path in paths]
    _require_distinct(folders)
    names = short_names(folders)
    return group_results(
        [read_result(folder, name) for folder, name in zip(folders, names, strict=True)]
    )


def compare_groups(
    groups: Sequence[Sequence[Result]], *, metric: str | None = None
) -> pl.DataFrame:
    """Compare results that `read_groups` read, see `compare`."""
    rows, headline = [], []
    for a, *others in groups:
        for b in others:
            found = [
                {"metric": name, "a": a.name, "b": b.name, **_compared(a, b, name)}
                for name in compared_metrics(a, b, metric)
            ]
            headline.append(found[0])
            rows += found
    for row, p in zip(headline, holm([row["p"] for row in headline]), strict=True):
        row["p_holm"] = p
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA)


def _require_distinct(folders: Sequence[Path]) -> None:
    if len(folders) < 2:
        raise ComparisonError(f"{len(folders)} result given, expected two result folders or more")
    for first, second in combinations(folders, 2):
        if real_path(first) == real_path(second):
            raise ComparisonError(f"{first} and {second} are the same folder; pass each once")


def compared_metrics(a: Result, b: Result, wanted: str | None) -> list[str]:
    """Return the metrics to compare, the headline first; `wanted` alone, if it is given."""
    if list(a.units) != list(b.units):
        raise ComparisonError(
            f"{a.folder} and {b.folder} have different metrics: {', '.join(a.units)}; and"
            f" {', '.join(b.units)}; run `savs evaluate` again on both"
        )
    if wanted is None:
        return list(a.units)
    if wanted not in a.units:
        raise ComparisonError(
            f"{a.folder} has no metric {wanted!r}; expected one of: {', '.join(a.units)}"
        )
    return [wanted]


def _compared(a: Result, b: Result, metric: str) -> dict[str, Any]:
    """Return one row of the comparison, without the names."""
    ours, theirs = a.units[metric], b.units[metric]
    if not ours["stratum"].equals(theirs["stratum"]):
        raise ComparisonError(
            f"{metric} has {ours.height:,} units in {a.folder} and {theirs.height:,} in {b.folder},"
            " expected the same units; run `savs evaluate` again on both"
        )
    cluster = joined_clusters([ours["cluster"], theirs["cluster"]])
    found = subtract(ours.with_columns(cluster), theirs.with_columns(cluster))
    return {
        "value_a": estimate(ours).value,
        "value_b": estimate(theirs).value,
        "difference": found.value,
        "error": found.error,
        "low": found.low,
        "high": found.high,
        "units": found.units,
        "clusters": found.clusters,
        "test": found.test.name,
        "p": found.test.p,
    }
