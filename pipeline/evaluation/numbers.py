"""Predictions of numbers: their columns, and their metrics."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.datasets.label_kinds import number_text
from savs.datasets.metrics.numbers import NumberPredictions, number_metrics
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.predictions import NUMBER_COLUMNS
from savs.pipeline.readouts import ClassScores
from savs.pipeline.running.formatting import counted
from savs.pipeline.selection.left_out import LeftOut, left_out_errors
from savs.pipeline.targets.number_rules import COVERAGE, NumberRule, fit_reach

DIGITS = 7
"""Significant digits of a prediction as text: those of float32."""


def with_numbers(
    examples: pl.DataFrame, rule: NumberRule, scores: ClassScores, reach: Array | float | None
) -> pl.DataFrame:
    """Return examples with their predictions; `reach` is one for all or one each, maybe NaN."""
    numbers = rule.numbers(scores.soft)
    predicted = (
        rule.nearest(numbers) if rule.levels else [float(f"{n:.{DIGITS}g}") for n in numbers]
    )
    reaches = np.full(len(numbers), np.nan if reach is None else reach)
    low, high = rule.intervals(numbers, reaches)
    known = ~np.isnan(reaches)
    table = examples.with_columns(
        prediction=pl.Series([number_text(float(n)) for n in predicted], dtype=pl.String),
        value=pl.Series(numbers, dtype=pl.Float64),
        low=pl.Series(np.where(known, low, np.nan), dtype=pl.Float64).fill_nan(None),
        high=pl.Series(np.where(known, high, np.nan), dtype=pl.Float64).fill_nan(None),
    )
    truth = pl.col("label").cast(pl.Float64)
    right = (
        pl.col("prediction") == pl.col("label")
        if rule.levels
        else truth.is_between("low", "high").fill_null(value=False)
    )
    return table.with_columns(correct=right)


def left_out_numbers(examples: pl.DataFrame, part: LeftOut) -> pl.DataFrame:
    """Return the examples that were left out, whose intervals come from the other folds."""
    rule = part.task.number
    assert rule is not None
    errors, reaches = left_out_errors(part, rule), np.full(len(part.fold), np.nan)
    for turn in np.unique(part.fold):
        others = part.fold != turn
        reaches[~others] = fit_reach(errors[others], part.clusters[others]) or np.nan
    return with_numbers(examples[part.rows], rule, part.scores, reaches)


def measure_numbers(table: pl.LazyFrame, rule: NumberRule) -> list[Units]:
    """Return the metrics of predictions; of a skipped example the mean counts as predicted.

    The coverage of intervals is that of the examples with one, and a skipped example is outside.
    """
    columns = table.select("label", "cluster", *NUMBER_COLUMNS).collect()
    truth = columns["label"].cast(pl.Float64).to_numpy()
    value = columns["value"].fill_null(rule.mean).to_numpy()
    inside = None
    if columns["low"].count():
        low, high = (columns[name].fill_null(np.nan).to_numpy() for name in ("low", "high"))
        has_none = (columns["low"].is_null() & columns["value"].is_not_null()).to_numpy()
        inside = np.where(has_none, np.nan, (low <= truth) & (truth <= high))
    predictions = NumberPredictions(
        truth, value, rule.nearest(value) if rule.levels else None, rule.levels, inside
    )
    return number_metrics(predictions, columns["cluster"], rule.mean, rule.median, COVERAGE)


def number_notes(table: pl.LazyFrame, rule: NumberRule) -> Iterator[str]:
    """Yield notes on levels that training lacks, and on predictions without an interval."""
    if rule.levels:
        texts = table.select("label").drop_nulls().collect()["label"]
        for text, count in texts.value_counts(sort=True).iter_rows():
            if float(text) not in rule.levels:
                yield (
                    f"level {text} of {counted(count, 'example')} is in no training example; it is"
                    " never predicted"
                )
    count = table.select(pl.col("value").count() - pl.col("low").count()).collect().item()
    if count:
        yield (
            f"there are no intervals for {counted(count, 'example')}: they need 19 independent"
            " training examples that were left out"
        )
