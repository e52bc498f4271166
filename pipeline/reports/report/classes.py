"""The part of a report about classes: a confusion matrix and a table for each subtask.

Of many labels: a table, and which are together. Of numbers: predicted against true ones.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.many_labels import label_table
from savs.datasets.metrics.many_labels import cooccurrence
from savs.foundation.bounds import whole_number
from savs.pipeline.evaluation.results import Result
from savs.pipeline.reports.pages.charts import Scatter, draw_scatter, grid_path, matrix_paths
from savs.pipeline.reports.report.gallery import Gallery
from savs.pipeline.running.table import Table
from savs.pipeline.targets.tables import (
    classes_table,
    confusions_table,
    labels_table,
    pairs_table,
    ranges_table,
)

MOST_NUMBERED = 20
"""Most classes of a matrix that has its numbers; a larger one is drawn with shades alone."""
MOST_CONFUSIONS = 20
"""Most rows of the table of confusions, or of pairs of labels."""
MOST_TOGETHER = 200
"""Most labels of a matrix of those that are together: the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """The classes of one subtask: rows are labels, columns predictions."""

    subtask: str | None
    labels: tuple[dict[str, Any], ...]
    """The classes with test examples, rows of metrics.json's `per_class`."""
    table: Table
    """Of all classes."""
    columns: tuple[str | None, ...]
    """Predictions; None if some were skipped."""
    cells: tuple[tuple[int, ...], ...]
    """Counts of each label with test examples; empty for a large matrix."""
    right: Mapping[int, str]
    """Shade -> SVG path of the cells on the diagonal, for a large matrix."""
    wrong: Mapping[int, str]
    lines: str
    accuracy: float
    examples: int

    @property
    def name(self) -> str:
        """What its heading says."""
        return "all classes" if self.subtask is None else self.subtask


@dataclass(frozen=True, slots=True)
class ClassesPart:
    """What a report shows of classes."""

    matrices: tuple[Matrix, ...]
    """One for each subtask, the least accurate first."""
    confusions: Table | None
    """The most frequent ones."""
    has_subtasks: bool
    labels: Table | None = None
    """The labels by their names; None of one label. The matrix then has those that are together."""
    pairs: Table | None = None
    """The most frequent pairs of labels."""
    ranges: Table | None = None
    """The errors of ranges of numbers; None of classes and labels."""
    numbers: Scatter | None = None
    """Predicted against true numbers."""
    others: tuple[Table, ...] = ()
    """The tables of a target that has none of these."""

    @property
    def name(self) -> str:
        """What the part is called."""
        return "labels" if self.labels else "numbers" if self.ranges else "classes"


def classes_part(result: Result, gallery: Gallery | None) -> ClassesPart:
    """Return the matrices and tables of the classes in metrics.json, classes by their names.

    Counts of examples that the gallery shows are links to these.
    """
    metrics = result.metrics
    if "ranges" in metrics:
        return _numbers_part(result)
    if "per_label" in metrics:
        return _labels_part(result, gallery)
    if "per_class" not in metrics:
        return ClassesPart(
            (), None, has_subtasks=False, others=tuple(result.target.worded(metrics))
        )
    wrong = metrics["confusions"]
    matrices = [
        _matrix(
            subtask, sorted(rows, key=_by_name), [row for row in wrong if row["subtask"] == subtask]
        )
        for subtask, rows in groupby(metrics["per_class"], key=lambda row: row["subtask"])
    ]
    several = len(matrices) > 1
    confusions = None
    if wrong:
        table = confusions_table(wrong, has_subtasks=several, most=MOST_CONFUSIONS)
        rows = table.frame.select("subtask", "label", "prediction").rows()
        picks = [gallery.pick(*row) if gallery and gallery.has(*row) else None for row in rows]
        confusions = _with_picks(table, picks)
    return ClassesPart(
        matrices=tuple(sorted(matrices, key=lambda matrix: matrix.accuracy)),
        confusions=confusions,
        has_subtasks=several,
    )


def _numbers_part(result: Result) -> ClassesPart:
    """Return predicted against true numbers, and the errors of each range."""
    known = result.predictions().filter(pl.col("prediction").is_not_null())
    columns = known.select(pl.col("label").cast(pl.Float64), "value", "low", "high")
    return ClassesPart(
        matrices=(),
        confusions=None,
        has_subtasks=False,
        ranges=ranges_table(result.metrics["ranges"]),
        numbers=draw_scatter(columns.rows()) if columns.height else None,
    )


def _with_picks(table: Table, picks: Sequence[str | None]) -> Table:
    return replace(table, frame=table.frame.with_columns(pick=pl.Series(picks, dtype=pl.String)))


def _labels_part(result: Result, gallery: Gallery | None) -> ClassesPart:
    """Return the table of many labels, and which are together."""
    rows = sorted(result.metrics["per_label"], key=_by_name)
    often = sorted(rows, key=lambda row: -row["positive"])[:MOST_TOGETHER]
    names = [row["label"] for row in sorted(often, key=_by_name) if row["positive"]]
    counts = cooccurrence(label_table(result.predictions()["label"], names).states)
    of_labels = [
        {"label": name, "n": int(counts[n, n]), "correct": int(counts[n, n])}
        for n, name in enumerate(names)
    ]
    together = [
        {"label": names[a], "prediction": names[b], "n": int(counts[a, b])}
        for a, b in np.argwhere(counts)
        if a != b
    ]
    pairs = result.metrics["pairs"]
    return ClassesPart(
        matrices=(_matrix(None, of_labels, together),) if len(names) > 1 else (),
        confusions=None,
        has_subtasks=False,
        labels=_with_picks(
            labels_table(rows), [gallery.errors(row["label"]) if gallery else None for row in rows]
        ),
        pairs=pairs_table(pairs, most=MOST_CONFUSIONS) if pairs else None,
    )


def _by_name(row: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return a key that puts `class 9` before `class 10`."""
    parts = re.split(r"(\d+)", row["label"])
    numbers = map(whole_number, parts)
    return [(-1 if n is None else n, part) for n, part in zip(numbers, parts, strict=True)]


def _matrix(
    subtask: str | None, rows: Sequence[dict[str, Any]], wrong: Sequence[dict[str, Any]]
) -> Matrix:
    skipped = any(row["prediction"] is None for row in wrong)
    columns = [row["label"] for row in rows] + ([None] if skipped else [])
    counts = {(row["label"], row["prediction"]): row["n"] for row in wrong}
    counts |= {(row["label"], row["label"]): row["correct"] for row in rows}
    labels = [row for row in rows if row["n"]]
    is_small = len(columns) <= MOST_NUMBERED
    examples = sum(row["n"] for row in rows)
    return Matrix(
        subtask=subtask,
        labels=tuple(labels),
        table=classes_table(rows),
        columns=tuple(columns),
        cells=tuple(
            tuple(counts.get((row["label"], name), 0) for name in columns) for row in labels
        )
        if is_small
        else (),
        right={} if is_small else matrix_paths(labels, columns, counts, right=True),
        wrong={} if is_small else matrix_paths(labels, columns, counts, right=False),
        lines=grid_path(1, 1) if is_small else grid_path(len(columns), len(labels)),
        accuracy=sum(row["correct"] for row in rows) / max(examples, 1),  # the file may be edited
        examples=examples,
    )
