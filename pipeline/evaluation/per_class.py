"""Where an evaluation is right and wrong: by class, by confusion, by subtask and category.

The rows of these tables, and of those of many labels, are dataclasses: metrics.json has them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import polars as pl
from msgspec import Meta

from savs.foundation.frames import schema_of
from savs.pipeline.evaluation.statistics.intervals import estimate_share
from savs.stores.format.layout import Count


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A row of `class_table`."""

    subtask: str | None
    label: str
    n: Count
    """Examples of the class."""
    predicted: Count
    """Examples that are said to be of it."""
    correct: Count
    precision: float | None
    recall: float | None
    low: float | None
    """Lower end of the 95 % interval of the recall."""
    high: float | None
    f1: float


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """A row of `confusion_table`."""

    subtask: str | None
    label: str
    prediction: str | None
    n: Count


@dataclass(frozen=True, slots=True)
class PartRow:
    """A row of `part_table`."""

    by: Annotated[str, Meta(pattern=r"^(subtask|category)\Z")]
    name: str | None
    n: Count
    correct: Count
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row of the table of many labels, see `LabelUnits`."""

    label: str
    n: Count
    positive: Count
    predicted: Count
    correct: Count
    average_precision: float | None
    low: float | None
    high: float | None
    chance: float | None
    """Average precision to expect of these probabilities in random order."""
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float
    """That of the probability."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two labels: in how many examples both are there, and predicted."""

    label: str
    other: str
    n: Count
    predicted: Count


def class_table(
    predictions: pl.DataFrame | pl.LazyFrame, *, inflation: float = 1.0
) -> pl.DataFrame:
    """Return precision, recall and F1 of each class of each subtask.

    A class that is never predicted has no precision, one without test examples no recall; a skipped
    example counts as wrong. F1 is 2 correct / (n + predicted). Rows are `ClassRow`, in order of
    first appearance; empty if examples have no labels. `inflation` multiplies the variance of the
    recall.
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
    return pl.DataFrame(rows, schema=schema_of(ClassRow))


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

    Rows are `PartRow`; subtasks first, each in order of first appearance. `inflation` multiplies
    the variance of the accuracy.
    """
    labelled, rows = _labelled(predictions), []
    for by in ("subtask", "category"):
        if len(_counts(labelled, by).drop_nulls(by)) < 2:
            continue
        for name, part in _parts(_scored(labelled, by), by):
            counts = {"n": part.height, "correct": part["correct"].sum()}
            rows.append({"by": by, "name": name} | counts | _share(part, "accuracy", inflation))
    return pl.DataFrame(rows, schema=schema_of(PartRow))


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
