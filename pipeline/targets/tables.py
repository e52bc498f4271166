"""The tables of metrics.json as people read them: by class, by label, by range of numbers."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from savs.foundation.frames import schema_of
from savs.pipeline.running.formatting import apart, interval, measured, percent
from savs.pipeline.running.table import Column, Drawing, Table
from savs.pipeline.statistics.per_class import ClassRow, ConfusionRow, LabelRow, PairRow, RangeRow

Rows = pl.DataFrame | Sequence[Mapping[str, Any]]
"""Rows of a table: a frame, or those of metrics.json."""
MOST_CONFUSIONS = 10
"""Confusions, or pairs of labels, that are printed."""
INTERVAL = Column("95 % interval", ("low", "high"), interval)
PRECISION, RECALL, F1 = (
    Column(name, name.lower(), percent) for name in ("precision", "recall", "F1")
)
SUBTASK = Column("subtask", "subtask", is_text=True)


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
