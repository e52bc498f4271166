"""Methods and models side by side on the same examples, as a paper prints them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.evaluation.compare.compare import compare_groups, compared_metrics, read_groups
from savs.pipeline.evaluation.compare.result_folders import Result
from savs.pipeline.names import READOUT_NAMES
from savs.stores import ResultError
from savs.stores.results import METRICS

METHOD_SCHEMA = {
    "benchmark": pl.String,
    "result": pl.String,
    "method": pl.String,
    "model": pl.String,
    "metric": pl.String,
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
}
"""Columns of a table of methods. `result` is the short name of a folder, `low` and `high` are the
95 % interval of `value`. The difference is to the first result of the same examples, paired, and
null for that one. `forwards` and `seconds` are the cost, null where it is not recorded."""


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
    cost = result.facts.get("cost") or {}
    row = {
        "benchmark": str(result.facts.get("benchmark") or ""),
        "result": result.name,
        "method": _method(result),
        "model": _model(result),
        **_interval(result, metric),
        "forwards": cost.get("forwards"),
        "seconds": cost.get("seconds"),
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
        found = next(m for m in result.facts["metrics"] if m["name"] == metric)
        return {"metric": metric} | {n: found[n] for n in ("value", "low", "high", "units")}
    except (KeyError, StopIteration, TypeError) as error:
        raise ResultError(
            f"{result.folder / METRICS} has no {metric!r}; run `savs evaluate` again"
        ) from error


def _method(result: Result) -> str:
    """Return the readout with the number of heads; `vote` is the paper's method."""
    readout = str(result.facts.get("readout"))
    heads = result.facts.get("heads")
    name = "SAVs (vote)" if readout == READOUT_NAMES[0] else readout
    return f"{name}, {heads} head{'s' * (heads != 1)}" if heads else name


def _model(result: Result) -> str:
    facts = result.facts.get("model") or {}
    name = str(facts.get("name") or "-")
    adapter = facts.get("adapter")
    return f"{name} + {adapter}" if adapter else name


def repeated(table: pl.DataFrame) -> bool:
    """Return whether two rows of one benchmark have the same method and model."""
    counts = Counter(table.select("benchmark", "method", "model").iter_rows())
    return max(counts.values(), default=0) > 1
