"""Where an evaluation is right and wrong: by class, by confusion, by subtask and category."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import polars as pl

from savs.pipeline.evaluation.statistics.intervals import estimate_share

CLASS_SCHEMA = pl.Schema(
    {
        "subtask": pl.String,
        "label": pl.String,
        "n": pl.Int64,
        "predicted": pl.Int64,
        "correct": pl.Int64,
        "precision": pl.Float64,
        "recall": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "f1": pl.Float64,
    }
)
"""Columns of `class_table`. `n` are the examples of the class, `predicted` those that are said to
be of it. `low` and `high` are the 95 % interval of the recall."""
PART_SCHEMA = pl.Schema(
    {
        "by": pl.String,
        "name": pl.String,
        "n": pl.Int64,
        "correct": pl.Int64,
        "accuracy": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)
"""Columns of `part_table`; `by` is `subtask` or `category`."""


def class_table(
    predictions: pl.DataFrame | pl.LazyFrame, *, inflation: float = 1.0
) -> pl.DataFrame:
    """Return precision, recall and F1 of each class of each subtask.

    A class that is never predicted has no precision, one without test examples no recall; a skipped
    example counts as wrong. F1 is 2 correct / (n + predicted). Columns `CLASS_SCHEMA`, in order of
    first appearance; empty if examples have no labels. `inflation` multiplies the variance of
    the recall.
    """
    labelled = _labelled(predictions)
    prediction_counts: defaultdict[str | None, dict[str | None, int]] = defaultdict(dict)
    for subtask, name, count in _counts(labelled, "subtask", "prediction").iter_rows():
        if name is not None:
            prediction_counts[subtask][name] = count
    rows: list[dict[str, Any]] = []
    for subtask, part in _parts(_scored(labelled, "subtask", "label"), "subtask"):
        of_label = dict(_parts(part.drop("subtask"), "label"))
        for label in dict.fromkeys([*of_label, *prediction_counts[subtask]]):
            examples = of_label.get(label, part.clear())
            n, correct = examples.height, examples["correct"].sum()
            predicted = prediction_counts[subtask].get(label, 0)
            rows.append(
                {
                    "subtask": subtask,
                    "label": label,
                    "n": n,
                    "predicted": predicted,
                    "correct": correct,
                    "precision": correct / predicted if predicted else None,
                    "f1": 2 * correct / (n + predicted),
                }
                | _share(examples, "recall", inflation)
            )
    return pl.DataFrame(rows, schema=CLASS_SCHEMA)


def confusion_table(predictions: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Return how often each class is taken for another, most frequent first.

    Columns `subtask`, `label`, `prediction`, which a skipped example has not, and `n`. Equal counts
    are in order of first appearance.
    """
    wrong = _labelled(predictions).filter(~pl.col("correct"))
    counts = _counts(wrong, "subtask", "label", "prediction")
    return counts.sort("n", descending=True, maintain_order=True)


def part_table(predictions: pl.DataFrame | pl.LazyFrame, *, inflation: float = 1.0) -> pl.DataFrame:
    """Return the accuracy in each subtask and each category, if there are several.

    Columns `PART_SCHEMA`; subtasks first, each in order of first appearance. `inflation` multiplies
    the variance of the accuracy.
    """
    labelled, rows = _labelled(predictions), []
    for by in ("subtask", "category"):
        if len(_counts(labelled, by).drop_nulls(by)) < 2:
            continue
        for name, part in _parts(_scored(labelled, by), by):
            counts = {"n": part.height, "correct": part["correct"].sum()}
            rows.append({"by": by, "name": name} | counts | _share(part, "accuracy", inflation))
    return pl.DataFrame(rows, schema=PART_SCHEMA)


def _labelled(predictions: pl.DataFrame | pl.LazyFrame) -> pl.LazyFrame:
    return predictions.lazy().filter(pl.col("label").is_not_null())


def _counts(predictions: pl.LazyFrame, *by: str) -> pl.DataFrame:
    """Return how many rows have the same values, in order of first appearance."""
    rows = predictions.group_by(by, maintain_order=True)
    counts = rows.agg(n=pl.len().cast(pl.Int64))
    return counts.collect(engine="streaming")  # the other engine copies the rows


def _scored(predictions: pl.LazyFrame, *by: str) -> pl.DataFrame:
    """Return whether each example is right, with some columns and a number of its cluster."""
    rows = predictions.select(*by, "correct", "cluster").collect()
    return rows.with_columns(pl.col("cluster").rank("dense"))


def _parts(rows: pl.DataFrame, by: str) -> Iterator[tuple[str | None, pl.DataFrame]]:
    """Yield each value of a column with its rows, in order of first appearance."""
    if rows[by].null_count() == rows.height > 0:
        yield None, rows  # without a copy
        return
    for (value,), part in rows.group_by(by, maintain_order=True):
        yield None if value is None else str(value), part


def _share(part: pl.DataFrame, name: str, inflation: float) -> dict[str, float | None]:
    """Return the share of right examples and its interval; none of no example."""
    if not part.height:
        return dict.fromkeys((name, "low", "high"))
    estimated = estimate_share(part["correct"], part["cluster"], inflation=inflation)
    return dict(zip((name, "low", "high"), (estimated.value, *estimated.interval()), strict=True))
