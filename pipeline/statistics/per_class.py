"""Where an evaluation is right and wrong: by class, by confusion, by subtask and category.

The rows of these tables, and of those of many labels and of numbers, are dataclasses: metrics.json
has them. Each has a function that returns the `Table` that people read.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import polars as pl
from msgspec import Meta

from savs.foundation.frames import schema_of
from savs.pipeline.running.formatting import apart, interval, measured, percent
from savs.pipeline.running.table import Column, Drawing, Table
from savs.pipeline.statistics.intervals import estimate_share, wilson_interval
from savs.stores.format.layout import Count

Rows = pl.DataFrame | Sequence[Mapping[str, Any]]
"""Rows of a table: a frame, or those of metrics.json."""
MOST_CONFUSIONS = 10
"""Confusions, or pairs of labels, that are printed."""
INTERVAL = Column("95 % interval", ("low", "high"), interval)
PRECISION, RECALL, F1 = (
    Column(name, name.lower(), percent) for name in ("precision", "recall", "F1")
)
SUBTASK = Column("subtask", "subtask", is_text=True)


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


def classes_table(rows: Rows) -> Table:
    """Return how well each class is found, rows of `class_table`."""
    frame = _frame(rows, ClassRow)
    columns = [
        Column("class", "label"),
        RECALL,
        INTERVAL,
        PRECISION,
        F1,
        Column("examples", "n"),
        Column("predicted", "predicted"),
        *([SUBTASK] if frame["subtask"].n_unique() > 1 else []),
    ]
    return Table(frame, columns, drawing=Drawing("track", ("recall", "low", "high"), "recall"))


def confusions_table(
    rows: Rows, *, has_subtasks: bool = False, most: int = MOST_CONFUSIONS
) -> Table:
    """Return the most frequent confusions, rows of `confusion_table`."""
    frame = _frame(rows, ConfusionRow)
    columns = [
        Column("class", "label"),
        Column("taken for", "prediction", lambda name: name or "(skipped)", is_text=True),
        Column("examples", "n", link="pick"),
        *([SUBTASK] if has_subtasks else []),
    ]
    more = frame.height - most
    return Table(
        frame.head(most).with_columns(share=pl.col("n") / pl.col("n").max(), style=pl.lit("wrong")),
        columns,
        notes=(f"and {more:,} other confusions, see metrics.json",) if more > 0 else (),
        drawing=Drawing("bar", ("share",), style="style"),
    )


def labels_table(rows: Rows) -> Table:
    """Return how well each of many labels is found, rows of `LabelRow`."""
    frame = _frame(rows, LabelRow)
    columns = [
        Column("label", "label"),
        Column("AP", "average_precision", percent),
        INTERVAL,
        PRECISION,
        RECALL,
        F1,
        Column("threshold", "threshold", percent),
        Column("examples", "n"),
        Column("there", "positive"),
        Column("predicted", "predicted"),
        Column("wrong", "wrong", link="pick"),
    ]
    wrong = pl.col("positive") + pl.col("predicted") - 2 * pl.col("correct")
    drawn = Drawing("track", ("average_precision", "low", "high", "chance"), "AP")
    return Table(frame.with_columns(wrong=wrong), columns, drawing=drawn)


def ranges_table(rows: Rows) -> Table:
    """Return the errors of ranges of numbers, rows of `RangeRow`."""
    columns = [
        Column("numbers", "range"),
        Column("MAE", "mae", number_cell),
        Column("95 % interval", ("low", "high"), partial(interval, show=number_cell)),
        Column("bias", "bias", partial(apart, scale="error")),
        Column("in its interval (%)", "inside", percent),
        Column("examples", "n"),
    ]
    frame = _frame(rows, RangeRow)
    largest = pl.max_horizontal(pl.col("mae").max(), pl.lit(1e-300))
    drawing = Drawing("bar", ("share",))
    return Table(frame.with_columns(share=pl.col("mae") / largest), columns, drawing=drawing)


number_cell = partial(measured, scale="error")
"""Number -> its text."""


def pairs_table(rows: Rows, *, most: int = MOST_CONFUSIONS) -> Table:
    """Return the labels that are most often together, rows of `PairRow`."""
    frame = _frame(rows, PairRow).head(most)
    columns = [
        Column("label", "label"),
        Column("with", "other", is_text=True),
        Column("both there", "n"),
        Column("both predicted", "predicted"),
    ]
    frame = frame.with_columns(share=pl.col("n") / pl.col("n").max())
    return Table(frame, columns, drawing=Drawing("bar", ("share",)))


def _frame(rows: Rows, kind: type) -> pl.DataFrame:
    return rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, schema=schema_of(kind))
