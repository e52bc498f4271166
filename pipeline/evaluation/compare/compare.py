"""Several measurements side by side: on each data set, every other one minus the first.

`compare` has a row a metric, `across_data_sets` one number for several data sets, `method_table` a
row a result, or a point of a sweep, as a paper prints them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from savs.foundation.files import real_path
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.store_methods import measured_methods
from savs.pipeline.evaluation.compare.trial_sets import (
    Pair,
    TrialSet,
    group_sets,
    is_sweep,
    read_trial_sets,
    short_names,
)
from savs.pipeline.evaluation.results import Result, require_path
from savs.pipeline.evaluation.trials import POINT_SCHEMA, SETTING, Point, axis_of
from savs.pipeline.names import OWN_ANSWERS
from savs.pipeline.readouts import BUILT_IN
from savs.pipeline.readouts.answers import ALONE
from savs.pipeline.readouts.vote import VOTE
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.statistics.paired_tests import correct, difference_over_data_sets
from savs.stores.format.layout import MANIFEST, SITE

SETTING_SCHEMA = {name: POINT_SCHEMA[name] for name in SETTING}
COMPARISON_SCHEMA = {
    "metric": pl.String(),
    "scale": pl.String(),
    "a": pl.String(),
    "b": pl.String(),
    **SETTING_SCHEMA,
    "value_a": pl.Float64(),
    "value_b": pl.Float64(),
    "difference": pl.Float64(),
    "error": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "draws": pl.Int64(),
    "units": pl.Int64(),
    "clusters": pl.Int64(),
    "test": pl.String(),
    "p": pl.Float64(),
    "p_holm": pl.Float64(),
}
"""Columns of a comparison. `a` and `b` are short names of folders, or what a sweep varies; the next
columns are the point of a sweep, null of two results. `difference` is value_b minus value_a,
`error` its clustered standard error, `low` and `high` its 95 % interval, null like `error` if there
is one cluster. `scale` says what the metric is, see `Units`: of an error less is better. `p_holm`
is null for all metrics but the headline."""


def compare(
    results: Annotated[Sequence[str | Path], Option(metavar="RESULT")],
    *,
    metric: Annotated[str | None, Option(metavar="NAME")] = None,
    per_result: Annotated[bool, Option(level="python")] = False,
    reporting: Reporting = SILENT,
) -> pl.DataFrame:
    """Compare the methods of a store, or results and sweeps, on the same examples, unit by unit.

    Each method that a store has the features for is measured: the model's own answers, readouts of
    heads, and texts of classes. Its results stay in the store.

    Results of the same examples are one data set. On each, the result given first is the baseline A
    of every other one, B. Two sweeps are compared at the points that both have, draw by draw; an
    evaluation is compared with all points of a sweep. One sweep alone is compared within itself,
    with its first readout, prompt, or last layer.

    The p values of the headline (the first metric of each data set, or `metric`) are corrected
    together by Holm's method, over all data sets and results; those of the other metrics are not,
    they explore. A skipped example counts as wrong.

    Parameters
    ----------
    results
        Stores, whose methods are all measured, or folders of results or sweeps, such as
        STORE/results/vote; the first is the baseline.

        One sweep alone is compared within itself.
    metric
        Compare only this metric (default: all).
    per_result
        Return a row a result, or a point of a sweep, in place of a row a difference, see
        `method_table`. Of stores it is always so.
    reporting
        Receives notes.

    Returns
    -------
    polars.DataFrame
        One row a data set, result B, point and metric, in the order given; columns
        `COMPARISON_SCHEMA`, or of `per_result` and stores `METHOD_SCHEMA`.

    Raises
    ------
    ComparisonError
        Fewer than two results, or one twice; one without another of the same examples; one that
        has other metrics; an unknown metric; sweeps without a common point, or with other numbers
        of draws; a store without a method.
    StoreError, SelectionError
        A store is incomplete, or a class of it has no usable training example.
    ResultError
        A file of a result is missing or damaged.
    """
    folders = _different(results)
    stores = [folder for folder in folders if (folder / MANIFEST).exists()]
    if stores:
        folders = [
            one
            for folder in folders
            for one in (measured_methods(folder, reporting) if folder in stores else [folder])
        ]
        if len(folders) == 1:
            raise ComparisonError(
                f"{stores[0]} has one method, {folders[0].name}, measured now; pass a second store"
                " of the same examples, or another result"
            )
    if per_result or stores:
        return method_table(folders, metric=metric)
    return _compared(read_groups(folders), metric)


def read_groups(paths: Sequence[str | Path]) -> list[list[TrialSet]]:
    """Return measurements, those of the same examples together; errors as in `compare`."""
    folders = _different(paths)
    if len(folders) == 1 and is_sweep(folders[0]):
        return [[one] for one in read_trial_sets(folders[0], short_names(folders)[0])]
    if len(folders) < 2:
        raise ComparisonError(
            f"{counted(len(folders), 'result')} given, expected two folders or more, or one sweep"
        )
    pairs = zip(folders, short_names(folders), strict=True)
    return group_sets([one for folder, name in pairs for one in read_trial_sets(folder, name)])


def _different(paths: Sequence[str | Path]) -> list[Path]:
    folders = [require_path(path) for path in paths]
    for first, second in combinations(folders, 2):
        if real_path(first) == real_path(second):
            raise ComparisonError(f"{first} and {second} are the same folder; pass each once")
    return folders


def _compared(
    groups: Sequence[Sequence[TrialSet]], metric: str | None, *, headline_alone: bool = False
) -> pl.DataFrame:
    rows, headline = [], []
    for a, *others in groups:
        for b in others or [a]:
            names = compared_metrics(a, b, metric)
            for name in names[:1] if headline_alone else names:
                pairs = a.pairs(name) if b is a else a.pairs_with(b, name)
                compared = [_row(pair, name) for pair in pairs]
                rows += compared
                headline += compared * (name == names[0])
    correct(headline)
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA)


def compared_metrics(a: TrialSet, b: TrialSet, wanted: str | None) -> list[str]:
    """Return the metrics to compare, the headline first; `wanted` alone, if it is given.

    A metric that one result lacks, such as the coverage of intervals, is left out; ComparisonError
    if that is the headline.
    """
    for one in (a, b):
        if wanted is not None and wanted not in one.trials:
            raise ComparisonError(
                f"{one.folder} has no metric {wanted!r}; expected one of: {'; '.join(one.trials)}"
            )
    if wanted is not None:
        return [wanted]
    if a.headline != b.headline:
        raise ComparisonError(
            f"{a.folder} and {b.folder} have different metrics: {'; '.join(a.trials)} / and"
            f" / {'; '.join(b.trials)}. Results of one benchmark are compared; if these are, run"
            " `savs evaluate` again on both"
        )
    return [name for name in a.trials if name in b.trials]


def _row(pair: Pair, metric: str) -> dict[str, Any]:
    first, other = pair.first, pair.other
    apart = other.minus(first, within_draw=pair.within_draw)
    point = dict.fromkeys(SETTING) if pair.setting is None else pair.setting._asdict()
    return {
        "metric": metric,
        "scale": first.units.scale,
        "a": pair.a,
        "b": pair.b,
        **{name: point[name] for name in SETTING},
        "value_a": first.mean(within_draw=pair.within_draw)["mean"],
        "value_b": other.mean(within_draw=pair.within_draw)["mean"],
        **apart.row(),
        "draws": max(first.draws, other.draws),
        "units": apart.units,
        "clusters": apart.clusters,
    }


DATA_SETS_SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    **SETTING_SCHEMA,
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
    not hold 0. Errors are left out: each has the unit of its labels. A row is a pair of names, and
    point of sweeps, that several data sets have; columns `DATA_SETS_SCHEMA`.
    """
    headline = pl.col("metric") == pl.col("metric").first().over("a", "b")
    named = comparison.filter(headline, pl.col("scale") != "error").with_columns(
        pl.col("a", "b").str.split("/").list.last()
    )
    rows = []
    names = ["a", "b", *SETTING]
    for key, pairs in named.group_by(names, maintain_order=True):
        if pairs.height > 1:
            ends = pairs.select("low", "high").rows()
            overall = difference_over_data_sets(pairs["difference"].to_list(), ends)
            facts = {"data_sets": pairs.height, "scale": pairs["scale"][0]}
            rows.append(dict(zip(names, key, strict=True)) | facts | overall.row())
    return pl.DataFrame(rows, schema=DATA_SETS_SCHEMA)


METHOD_SCHEMA = {
    "benchmark": pl.String,
    "result": pl.String,
    "method": pl.String,
    "readout": pl.String,
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
    """Return one row a result, or a point of a sweep: method, model, value, difference, cost.

    Results of the same examples are one data set, and each data set has its own first result; rows
    are in the order given, columns `METHOD_SCHEMA`. p is corrected by Holm's method over all rows.
    `metric` is by default the first of each data set. `paths` and errors are as in `compare`.
    """
    groups = read_groups(paths)
    compared = _compared(groups, metric, headline_alone=True)
    differences = {
        (row["b"], *(row[name] for name in SETTING)): row for row in compared.iter_rows(named=True)
    }
    rows = []
    for group in groups:
        name = compared_metrics(group[0], group[-1], metric)[0]
        for one in group:
            rows += _method_rows(one, name, differences, is_alone=len(group) == 1)
    return pl.DataFrame(rows, schema=METHOD_SCHEMA)


def _method_rows(
    one: TrialSet, metric: str, differences: Mapping[Any, Mapping[str, Any]], *, is_alone: bool
) -> Iterator[dict[str, Any]]:
    along, names = axis_of(list(one.trials[metric])), one.names(metric)
    for setting, trial in one.trials[metric].items():
        b = names[setting] if is_alone else one.data_set + one.name
        point = [getattr(setting, name) if one.is_grid else None for name in SETTING]
        apart = differences.get((b, *point), {})
        within_draw = trial.draws == 1 and (one.result is not None or along != "readout")
        mean = trial.mean(within_draw=within_draw)
        yield {
            "result": one.data_set + one.name,
            "method": _method(setting, one),
            "readout": setting.readout,
            **({"model": trial.point.store} if one.result is None else _of_result(one.result)),
            "metric": metric,
            "scale": trial.units.scale,
            "value": mean["mean"],
            "low": mean["low"],
            "high": mean["high"],
            "units": trial.scores.shape[1],
            "difference": apart.get("difference"),
            "difference_low": apart.get("low"),
            "difference_high": apart.get("high"),
            "p": apart.get("p"),
            "p_holm": apart.get("p_holm"),
        }


def _of_result(result: Result) -> dict[str, Any]:
    cost, facts = (result.metrics.get(name) or {} for name in ("cost", "model"))
    model, adapter, site = (facts.get(name) for name in ("name", "adapter", SITE))
    return {
        "benchmark": str(result.metrics.get("benchmark") or ""),
        "model": str(model or "-") + f" + {adapter}" * bool(adapter) + f", {site}" * bool(site),
        "forwards": cost.get("forwards"),
        "seconds": cost.get("seconds"),
        "bytes": cost.get("bytes"),
    }


def _method(setting: Point, one: TrialSet) -> str:
    """Return the readout with the number of heads, and what a sweep varies; `vote` is SAVs."""
    readout = setting.readout
    rule = BUILT_IN.get(readout)
    is_answer = readout in OWN_ANSWERS or (rule is not None and rule.answers == ALONE)
    parts = [
        f"SAVs ({readout})"
        if readout == VOTE.name
        else f"own answers ({readout})"
        if is_answer
        else readout
    ]
    if setting.heads:
        parts.append(counted(setting.heads, "head" if rule is None else rule.unit))
    if one.result is None:
        if setting.prompt is None:
            parts.append("all shots" if setting.shots is None else counted(setting.shots, "shot"))
        if setting.max_layer is not None:
            parts.append(f"layers up to {setting.max_layer}")
        if setting.prompt is not None:
            parts.append(setting.prompt)
    return ", ".join(parts)


def repeated(table: pl.DataFrame) -> bool:
    """Return whether two rows of one benchmark have the same method and model."""
    counts = Counter(table.select("benchmark", "method", "model").iter_rows())
    return max(counts.values(), default=0) > 1
