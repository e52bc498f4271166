"""Several evaluations side by side: on each data set, every other one minus the first.

`compare` has a row a metric, `across_data_sets` one number for several data sets, `method_table` a
row a result, as a paper prints them.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from savs.foundation.files import real_path
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.result_folders import (
    group_results,
    joined_clusters,
    read_result,
    short_names,
)
from savs.pipeline.evaluation.results import Result, require_path
from savs.pipeline.names import READOUT_NAMES
from savs.pipeline.running.result_files import METRICS
from savs.pipeline.statistics.intervals import estimate
from savs.pipeline.statistics.paired_tests import (
    difference_over_data_sets,
    holm,
    subtract,
)
from savs.stores import ResultError
from savs.stores.format.layout import SITE

COMPARISON_SCHEMA = {
    "metric": pl.String,
    "scale": pl.String,
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
if there is one cluster. `scale` says what the metric is, see `Units`: of an error less is better.
`p_holm` is null for all metrics but the headline."""


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
    folders = [require_path(path) for path in paths]
    if len(folders) < 2:
        raise ComparisonError(f"{len(folders)} result given, expected two result folders or more")
    for first, second in combinations(folders, 2):
        if real_path(first) == real_path(second):
            raise ComparisonError(f"{first} and {second} are the same folder; pass each once")
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
            compared = [
                {
                    "metric": name,
                    "scale": a.scales[name],
                    "a": a.name,
                    "b": b.name,
                    **_compared(a, b, name),
                }
                for name in compared_metrics(a, b, metric)
            ]
            headline.append(compared[0])
            rows += compared
    for row, p in zip(headline, holm([row["p"] for row in headline]), strict=True):
        row["p_holm"] = p
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA)


def compared_metrics(a: Result, b: Result, wanted: str | None) -> list[str]:
    """Return the metrics to compare, the headline first; `wanted` alone, if it is given.

    A metric that one result lacks, such as the coverage of intervals, is left out; ComparisonError
    if that is the headline.
    """
    for result in (a, b):
        if wanted is not None and wanted not in result.units():
            raise ComparisonError(
                f"{result.folder} has no metric {wanted!r}; expected one of:"
                f" {'; '.join(result.units())}"
            )
    if wanted is not None:
        return [wanted]
    if next(iter(a.units())) != next(iter(b.units())):
        raise ComparisonError(
            f"{a.folder} and {b.folder} have different metrics: {'; '.join(a.units())} / and"
            f" / {'; '.join(b.units())}. Results of one benchmark are compared; if these are, run"
            " `savs evaluate` again on both"
        )
    return [name for name in a.units() if name in b.units()]


def _compared(a: Result, b: Result, metric: str) -> dict[str, Any]:
    """Return one row of the comparison, without the names."""
    ours, theirs = a.units()[metric], b.units()[metric]
    if not ours["stratum"].equals(theirs["stratum"]):
        raise ComparisonError(
            f"{metric} has {ours.height:,} units in {a.folder} and {theirs.height:,} in {b.folder},"
            " expected the same units; run `savs evaluate` again on both"
        )
    cluster = joined_clusters([ours["cluster"], theirs["cluster"]])
    ours, theirs = ours.with_columns(cluster), theirs.with_columns(cluster)
    paired = subtract(ours, theirs, scale=a.scales[metric])
    return {
        "value_a": estimate(ours).value,
        "value_b": estimate(theirs).value,
        "difference": paired.value,
        "error": paired.error,
        "low": paired.low,
        "high": paired.high,
        "units": paired.units,
        "clusters": paired.clusters,
        "test": paired.test.name,
        "p": paired.test.p,
    }


DATA_SETS_SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "data_sets": pl.Int64,
    "scale": pl.String,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "wins": pl.Int64,
    "ties": pl.Int64,
    "losses": pl.Int64,
}
"""Columns of `across_data_sets`."""


def across_data_sets(comparison: pl.DataFrame) -> pl.DataFrame:
    """Return the mean differences of the headline metric over data sets, of a `compare`.

    Results belong together if their folders have the same name: `one/results/lda` and
    `two/results/lda`. Each data set counts the same. The interval is Student's t over data sets, p
    that of a sign-flip test over data sets. A data set is a win or a loss if its own interval does
    not hold 0. Errors are left out: each has the unit of its labels.

    Parameters
    ----------
    comparison
        What `compare` returned.

    Returns
    -------
    polars.DataFrame
        One row a pair of names that several data sets have; columns `DATA_SETS_SCHEMA`.
    """
    headline = pl.col("p_holm").is_not_null() & (pl.col("scale") != "error")
    named = comparison.filter(headline).with_columns(pl.col("a", "b").str.split("/").list.last())
    rows = []
    for (a, b), pairs in named.group_by("a", "b", maintain_order=True):
        if pairs.height < 2:
            continue
        ends = pairs.select("low", "high").rows()
        overall = difference_over_data_sets(pairs["difference"].to_list(), ends)
        mean = overall.mean
        counts = (overall.wins, overall.ties, overall.losses)
        scale = pairs["scale"][0]
        rows.append(
            (a, b, pairs.height, scale, mean.value, mean.low, mean.high, overall.p, *counts)
        )
    return pl.DataFrame(rows, schema=DATA_SETS_SCHEMA, orient="row")


METHOD_SCHEMA = {
    "benchmark": pl.String,
    "result": pl.String,
    "method": pl.String,
    "model": pl.String,
    "metric": pl.String,
    "scale": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "units": pl.Int64,
    "forwards": pl.Int64,
    "seconds": pl.Float64,
    "bytes": pl.Int64,
}
"""Columns of a table of methods. `result` is the short name of a folder, `low` and `high` are the
95 % interval of `value`. The difference is to the first result of the same examples, paired, and
null for that one. `forwards`, `seconds` and `bytes` are the cost, null if it is not recorded."""


def method_table(paths: Sequence[str | Path], *, metric: str | None = None) -> pl.DataFrame:
    """Return one row a result: method, model, headline metric, difference to the first, cost.

    Results of the same examples are one data set, and each data set has its own first result. p is
    corrected by Holm's method over all rows of the table.

    Parameters
    ----------
    paths
        Two folders of results or more, as in `compare`.
    metric
        The metric; by default the first of each data set.

    Returns
    -------
    polars.DataFrame
        Data set by data set, each in the order given; columns `METHOD_SCHEMA`.

    Raises
    ------
    ComparisonError, ResultError
        As in `compare`.
    """
    groups = read_groups(paths)
    headline = compare_groups(groups, metric=metric).filter(pl.col("p_holm").is_not_null())
    differences = {row["b"]: row for row in headline.iter_rows(named=True)}
    rows = []
    for group in groups:
        name = compared_metrics(group[0], group[1], metric)[0]
        rows += [_row(result, name, differences.get(result.name)) for result in group]
    return pl.DataFrame(rows, schema=METHOD_SCHEMA)


def _row(result: Result, metric: str, difference: dict[str, Any] | None) -> dict[str, Any]:
    cost = result.metrics.get("cost") or {}
    row = {
        "benchmark": str(result.metrics.get("benchmark") or ""),
        "result": result.name,
        "method": _method(result),
        "model": _model(result),
        **_interval(result, metric),
        "forwards": cost.get("forwards"),
        "seconds": cost.get("seconds"),
        "bytes": cost.get("bytes"),
    }
    if difference is not None:
        row |= {
            "difference": difference["difference"],
            "difference_low": difference["low"],
            "difference_high": difference["high"],
            "p": difference["p"],
            "p_holm": difference["p_holm"],
        }
    return row


def _interval(result: Result, metric: str) -> dict[str, Any]:
    try:
        measured = next(m for m in result.metrics["metrics"] if m["name"] == metric)
        names = ("scale", "value", "low", "high", "units")
        return {"metric": metric} | {name: measured[name] for name in names}
    except (KeyError, StopIteration, TypeError) as error:
        raise ResultError(
            f"{result.folder / METRICS} has no {metric!r}; run `savs evaluate` again"
        ) from error


def _method(result: Result) -> str:
    """Return the readout with the number of heads; `vote` is the paper's method."""
    readout = str(result.metrics.get("readout"))
    heads = result.metrics.get("heads")
    name = "SAVs (vote)" if readout == READOUT_NAMES[0] else readout
    return f"{name}, {heads} head{'s' * (heads != 1)}" if heads else name


def _model(result: Result) -> str:
    """Return the name of the model, with its adapter, and the site if features are not of heads."""
    facts = result.metrics.get("model") or {}
    name = str(facts.get("name") or "-")
    adapter, site = facts.get("adapter"), facts.get(SITE)
    return (f"{name} + {adapter}" if adapter else name) + (f", {site}" if site else "")


def repeated(table: pl.DataFrame) -> bool:
    """Return whether two rows of one benchmark have the same method and model."""
    counts = Counter(table.select("benchmark", "method", "model").iter_rows())
    return max(counts.values(), default=0) > 1
