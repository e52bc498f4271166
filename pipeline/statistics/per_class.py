"""Where an evaluation is right and wrong: by class, by confusion, by subtask and category.

The rows of these tables, and of those of many labels and of numbers, are dataclasses: metrics.json
has them. `targets/tables.py` words them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import polars as pl
from msgspec import Meta

from savs.foundation.frames import schema_of
from savs.pipeline.statistics.intervals import estimate_share, wilson_interval
from savs.stores.format.layout import Count


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A row of `measure_classes`."""

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
    """A row of `count_confusions`."""

    subtask: str | None
    label: str
    prediction: str | None
    n: Count


@dataclass(frozen=True, slots=True)
class PartRow:
    """A row of `measure_parts`."""

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


@dataclass(frozen=True, slots=True)
class RangeRow:
    """The examples whose number lies in a range, or has a level."""

    range: str
    n: Count
    mae: float
    """Mean absolute error."""
    low: float | None
    """Lower end of its 95 % interval."""
    high: float | None
    bias: float
    """Mean of the predicted less the true numbers."""
    inside: float | None
    """Share of the numbers that lie in their intervals; None without any."""


def measure_classes(
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
    of_labels: defaultdict[str | None, dict[str, _Share]] = defaultdict(dict)
    for (subtask, label), share in _shares(labelled, ("subtask", "label"), inflation):
        of_labels[subtask][str(label)] = share
    rows: list[dict[str, Any]] = []
    for subtask, of_label in of_labels.items():
        for label in dict.fromkeys([*of_label, *prediction_counts[subtask]]):
            share, predicted = of_label.get(str(label)), prediction_counts[subtask].get(label, 0)
            n, correct = (0, 0) if share is None else (share.n, share.correct)
            rows.append(
                {
                    "subtask": subtask,
                    "label": label,
                    "n": n,
                    "predicted": predicted,
                    "correct": correct,
                    "precision": correct / predicted if predicted else None,
                    "recall": None if share is None else share.value,
                    "low": None if share is None else share.low,
                    "high": None if share is None else share.high,
                    "f1": 2 * correct / (n + predicted),
                }
            )
    return pl.DataFrame(rows, schema=schema_of(ClassRow))


def count_confusions(predictions: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Return how often each class is taken for another, most frequent first.

    Columns `subtask`, `label`, `prediction`, which a skipped example has not, and `n`. Equal counts
    are in order of first appearance.
    """
    wrong = _labelled(predictions).filter(~pl.col("correct"))
    counts = _counts(wrong, "subtask", "label", "prediction")
    return counts.sort("n", descending=True, maintain_order=True)


def measure_parts(
    predictions: pl.DataFrame | pl.LazyFrame, *, inflation: float = 1.0
) -> pl.DataFrame:
    """Return the accuracy in each subtask and each category, if there are several.

    Rows are `PartRow`; subtasks first, each in order of first appearance. `inflation` multiplies
    the variance of the accuracy.
    """
    labelled, rows = _labelled(predictions), []
    for by in ("subtask", "category"):
        if len(_counts(labelled, by).drop_nulls(by)) < 2:
            continue
        for (name,), share in _shares(labelled, (by,), inflation):
            row = {"by": by, "name": name, "n": share.n, "correct": share.correct}
            rows.append(row | {"accuracy": share.value, "low": share.low, "high": share.high})
    return pl.DataFrame(rows, schema=schema_of(PartRow))


def _labelled(predictions: pl.DataFrame | pl.LazyFrame) -> pl.LazyFrame:
    return predictions.lazy().filter(pl.col("label").is_not_null())


def _counts(predictions: pl.LazyFrame, *by: str) -> pl.DataFrame:
    """Return how many rows have the same values, in order of first appearance."""
    rows = predictions.group_by(by, maintain_order=True)
    counts = rows.agg(n=pl.len().cast(pl.Int64))
    return counts.collect(engine="streaming")  # the other engine copies the rows


@dataclass(frozen=True, slots=True)
class _Share:
    """The share of right examples among some, and its interval."""

    n: int
    correct: int
    value: float
    low: float | None
    high: float | None


def _shares(
    predictions: pl.LazyFrame, by: tuple[str, ...], inflation: float
) -> Iterator[tuple[tuple[Any, ...], _Share]]:
    """Yield each combination of values with its share, in order of first appearance.

    There may be thousands with few examples each, so only those whose examples share clusters get a
    table of their own.
    """
    cluster = pl.col("cluster")
    counts = (
        predictions.group_by(by, maintain_order=True)
        .agg(
            n=pl.len().cast(pl.Int64),
            correct=pl.col("correct").sum().cast(pl.Int64),
            clusters=cluster.n_unique().cast(pl.Int64),
        )
        .collect(engine="streaming")
    )
    tied = counts.filter(pl.col("clusters") < pl.col("n"))
    parts: dict[tuple[Any, ...], pl.DataFrame] = {}
    if tied.height:
        rows = predictions.select(*by, "correct", cluster.rank("dense"))
        among = rows.collect().join(tied.select(by), on=by, how="semi", nulls_equal=True)
        parts = among.partition_by(by, as_dict=True)
    for *values, n, correct, _ in counts.iter_rows():
        part, key = parts.get((*values,)), (*values,)
        if part is None:
            ends = wilson_interval(correct / n, n / inflation)
            yield key, _Share(n, correct, correct / n, *ends)
            continue
        estimated = estimate_share(part["correct"], part["cluster"], inflation=inflation)
        yield key, _Share(n, correct, estimated.value, *estimated.interval())
