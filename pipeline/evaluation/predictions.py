"""Predictions: what makes them, which columns they have, and how they are packed.

A `Predictor` yields blocks of examples with their predictions, one row an example. Each block is
packed as it comes, so that memory never holds a whole table of votes.
"""

import io
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.foundation.arrays import Array
from savs.foundation.frames import scan_parquet
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import lead, row_blocks
from savs.pipeline.readouts import ClassScores
from savs.pipeline.selection.selection import Selection, TaskSelection
from savs.pipeline.targets.calibration import (
    Calibration,
    class_probabilities,
    least_examples,
    require_risk,
)
from savs.stores import FeatureStore

VOTES_KEPT = 20
"""Classes named in a prediction's `votes`."""
LEVEL = 1
"""Level of zstd, the fastest: tables are read again soon."""
SLICE = 2**14
"""Predictions that are packed at a time when they are put into order."""
VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
EXAMPLE_SCHEMA = {
    "group": pl.String,
    "subtask": pl.String,
    "category": pl.String,
    "cluster": pl.String,
    "leak": pl.String,
    "content": pl.String,
    "media": pl.List(pl.String),
    "prompt": pl.String,
    "extra": pl.String,
}
"""Columns of all predictions, of one label or of many: what is known of an example. `content` is a
digest of its media, null if it has none or was skipped; `media` are the names of its images and
videos; `extra` is a JSON object of the input's columns that the benchmark does not know."""
PREDICTION_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "correct": pl.Boolean,
    "probability": pl.Float32,
    "margin": pl.Float32,
    "votes": VOTES,
    "prediction_set": pl.List(pl.String),
    "unsure": pl.Boolean,
    "typicality": pl.Float32,
    "atypical": pl.Boolean,
    **EXAMPLE_SCHEMA,
}
"""Columns of the predictions. A skipped example has no prediction and is not correct. `votes` has
the best classes with the readout's score and its soft score, which has no ties in practice.
`prediction_set` and `unsure` are null unless a risk was given, `typicality` and `atypical` without
a calibration."""
LABEL_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "labels": pl.List(pl.String),
    "unknown": pl.List(pl.String),
    "predicted": pl.List(pl.String),
    "probabilities": pl.List(pl.Float32),
    "correct": pl.Boolean,
    **EXAMPLE_SCHEMA,
}
"""Columns of the predictions of examples with many labels. `label` and `prediction` are canonical
texts, as the store has them; `labels` are those that are there, null of an example that is not
labelled; `probabilities` are in the order of the table of labels. A skipped example has no
prediction and is not correct, nor is one with a label too many or too few. Labels that are unknown
of it do not count."""
NUMBER_COLUMNS = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
NUMBER_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "correct": pl.Boolean,
    **NUMBER_COLUMNS,
    **EXAMPLE_SCHEMA,
}
"""Columns of the predictions of numbers. `value` is the predicted number, `prediction` its text, or
that of the level next to it; the truth lies from `low` to `high` with a probability of 95 %, null
if too few examples were left out to know. `correct` is whether the level is the right one, or of
a regression whether the number lies in its interval. A skipped example has no prediction."""


class Predictor(Protocol):
    """A method that classifies the test examples from what a store keeps of them.

    Heads that were selected, the model's own answers and captions are predictors; `evaluate` runs
    any of them.
    """

    @property
    def rule(self) -> str:
        """Name of what makes the predictions, e.g. that of the readout."""
        ...

    @property
    def selection(self) -> Selection | None:
        """The heads and their fits; None if none were selected."""
        ...

    @property
    def classes(self) -> Mapping[str | None, Sequence[str]]:
        """The classes of each subtask."""
        ...

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield examples with predictions, see `predicted`, and skipped ones, see `as_wrong`."""
        ...

    def notes(self, table: pl.LazyFrame) -> list[str]:
        """Return what limits the predictions, once all of them are packed in a table."""
        ...

    def cost(self) -> dict[str, Any]:
        """Return what the model ran for the predictions, see `evaluation.cost`."""
        ...


def packed(predictions: pl.DataFrame) -> pl.LazyFrame:
    """Return predictions as Parquet in memory; a query reads only the columns that it names."""
    file = io.BytesIO()
    predictions.write_parquet(file, compression_level=LEVEL, statistics=False)
    return scan_parquet(file.getvalue())


def packed_predictions(store: FeatureStore, predictor: Predictor) -> pl.LazyFrame:
    """Return all predictions in the order of the input file, packed block by block."""
    # A block's votes take far more memory as lists than packed. `map` packs each and lets it go
    # before the next is made; a comprehension would hold a block for longer.
    blocks = map(packed, predictor.predictions())
    table = pl.concat(blocks, how="diagonal_relaxed")
    # Shards hold rows in another order where examples that share an image lie together (`order` of
    # the plan), or where others were appended. Memory then holds the whole table while it is packed
    # anew, once, so that no query has to sort it.
    places = store.places("test", table.select("id").collect())
    if places.is_sorted():
        return table
    rows, order = table.collect(), places.arg_sort()
    return pl.concat(packed(rows[order[some]]) for some in row_blocks(rows.height, 1, SLICE))


@dataclass(frozen=True, slots=True)
class TaskScores:
    """The scores that a task gives some rows of a block."""

    task: TaskSelection
    rows: Array
    """`(n,)` numbers of rows."""
    scores: ClassScores
    typicality: Array | None
    """`(n,)` float32; None without a calibration."""

    @classmethod
    def of(cls, task: TaskSelection, rows: Array, features: Array) -> "TaskScores":
        """Return the scores of `(heads, n, d)` features."""
        scores, known = task.fitted.scores(features), task.calibration
        typical = None if known is None else known.typicality(features, task.fitted, scores)
        return cls(task, rows, scores, typical)


def predicted_by_tasks(
    examples: pl.DataFrame, parts: Sequence[TaskScores], risk: float | None
) -> Iterator[pl.DataFrame]:
    """Yield the examples of a block with their predictions, all tasks of a form in one table.

    Thousands of tasks with few examples each take a table for each number of classes, not one each.
    """
    forms: dict[tuple[int, bool], list[TaskScores]] = {}
    for part in parts:
        form = len(part.task.classes), part.task.calibration is None
        forms.setdefault(form, []).append(part)
    for (classes, is_plain), alike in forms.items():
        scores = ClassScores.joined([part.scores for part in alike])
        sizes = [len(part.rows) for part in alike]
        first = classes * np.repeat(np.arange(len(alike)), sizes)
        names = [name for part in alike for name in part.task.classes]
        rows = examples[np.concatenate([part.rows for part in alike])]
        rows = predicted(rows, names, scores, first)
        if is_plain:
            yield rows.with_columns(probability=choice_probability(scores))
            continue
        tables = [class_probabilities(part.scores, part.task.calibration) for part in alike]
        rows = rows.with_columns(probability=_chosen(scores, np.concatenate(tables)))
        yield _with_calibration(rows, alike, tables, risk)


def _with_calibration(
    rows: pl.DataFrame, parts: Sequence[TaskScores], tables: Sequence[Array], risk: float | None
) -> pl.DataFrame:
    """Return rows with `typicality` and `atypical`; for a risk with `prediction_set`, `unsure`."""
    calibrations = [part.task.calibration for part in parts]
    least = [np.full(len(p.rows), c.typical) for p, c in zip(parts, calibrations, strict=True) if c]
    typical = pl.Series(
        np.concatenate([p.typicality for p in parts if p.typicality is not None]), dtype=pl.Float32
    )
    rows = rows.with_columns(
        typicality=typical, atypical=typical < pl.Series(np.concatenate(least), dtype=pl.Float64)
    )
    if risk is None:
        return rows
    inside = [c.sets(t, risk) for c, t in zip(calibrations, tables, strict=True) if c]
    names = [names_of(p.task.classes, flags) for p, flags in zip(parts, inside, strict=True)]
    unsure = np.concatenate([flags.sum(axis=1) != 1 for flags in inside])
    return rows.with_columns(prediction_set=pl.concat(names), unsure=pl.Series(unsure))


def named(examples: pl.DataFrame, classes: Sequence[str], choice: Array) -> pl.DataFrame:
    """Return examples with the class that each is predicted to be, and whether it is right."""
    names = np.array(classes, dtype=object)[choice]
    return examples.with_columns(prediction=pl.Series(names, dtype=pl.String)).with_columns(
        correct=pl.col("prediction") == pl.col("label")
    )


def predicted(
    examples: pl.DataFrame,
    classes: Sequence[str],
    class_scores: ClassScores,
    first: Array | int = 0,
) -> pl.DataFrame:
    """Return examples with their prediction, whether it is right, its margin and its votes.

    `first` is where in `classes` those of an example begin, `(n,)` where examples have others.
    """
    margins = lead(class_scores.scores, class_scores.choice)
    return named(examples, classes, class_scores.choice + first).with_columns(
        margin=pl.Series(margins, dtype=pl.Float32),
        votes=_votes(classes, class_scores, first),
    )


def _votes(classes: Sequence[str], class_scores: ClassScores, first: Array | int) -> pl.Series:
    """Return each example's best classes with their scores, as lists of structs."""
    order = best_classes(class_scores.scores, VOTES_KEPT)
    places = (order.T + first).T.ravel()
    flat = pl.DataFrame(
        {
            "class": pl.Series(list(classes), dtype=pl.String)[places],
            "score": np.take_along_axis(class_scores.scores, order, axis=1).ravel(),
            "soft": np.take_along_axis(class_scores.soft, order, axis=1).ravel(),
        }
    ).cast({"score": pl.Float32, "soft": pl.Float32})
    return flat.to_struct("votes").reshape(order.shape).arr.to_list()


def best_classes(scores: Array, count: int) -> Array:
    """Return the classes of greatest score, best first; of equal ones the first class.

    `scores` are `(n, classes)` float32; the result `(n, count)`, or fewer if there are fewer
    classes.

    Examples
    --------
    >>> best_classes(np.float32([[0, 2, 0, 3, 2]]), 4)
    array([[3, 1, 4, 0]])
    """
    n, classes = scores.shape
    lowest = scores.min(axis=1, keepdims=True)
    if classes <= count or np.count_nonzero(scores == lowest) > scores.size / 2:
        return np.argsort(-scores, axis=1, kind="stable")[:, :count]  # fast where most are equal
    last = np.partition(scores, classes - count, axis=1)[:, classes - count, None]
    better, equal = scores > last, scores == last
    wanted = count - better.sum(axis=1, keepdims=True)
    # of equal scores at the cut the first classes fill up, as a stable sort would have them
    is_best = better | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= wanted))
    columns = np.nonzero(is_best)[1].reshape(n, count)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def in_schema(frame: pl.LazyFrame, schema: Mapping[str, Any] = PREDICTION_SCHEMA) -> pl.LazyFrame:
    """Return a table with the columns of a schema alone, null if it has none."""
    there = frame.collect_schema()
    return frame.select(
        (pl.col(name) if name in there else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.items()
    )


def names_of(classes: Sequence[str], inside: Array) -> pl.Series:
    """Return `(n, classes)` flags as lists of classes."""
    rows, columns = np.nonzero(inside)
    names = pl.Series(list(classes), dtype=pl.String)[columns]
    flat = pl.DataFrame({"row": rows, "name": names}, schema={"row": pl.Int64, "name": pl.String})
    lists = flat.group_by("row", maintain_order=True).agg("name")
    whole = pl.DataFrame({"row": np.arange(len(inside))}, schema={"row": pl.Int64})
    joined = whole.join(lists, on="row", how="left", maintain_order="left")
    return joined["name"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def choice_probability(
    class_scores: ClassScores, calibration: Calibration | None = None
) -> pl.Series:
    """Return the probability of each choice, see `class_probabilities`; null if that is NaN."""
    return _chosen(class_scores, class_probabilities(class_scores, calibration))


def _chosen(class_scores: ClassScores, table: Array) -> pl.Series:
    chosen = table[np.arange(len(table)), class_scores.choice]
    return pl.Series(chosen.astype(np.float32)).fill_nan(None)


def risk_notes(selection: Selection, risk: float | None) -> list[str]:
    """Return a note for each task that can answer nothing at a risk.

    Raises
    ------
    ParameterError
        The risk is not between 0 and 1.
    SelectionError
        A task has no calibration.
    """
    if risk is None:
        return []
    require_risk(risk)
    notes, least = [], least_examples(risk)
    for task in selection.tasks:
        where = of_subtask(task.subtask)
        if task.calibration is None:
            raise SelectionError(
                f"the selection{where} has no calibration, which `risk` needs: it was made with"
                " --no-estimate, of too few examples, or by a readout with negative scores; run"
                " `savs select` again, or in Python take calibrate(store, selection).selection"
            )
        if task.examples < least:
            notes.append(
                f"with {task.examples} training examples{where} every prediction is unsure at risk"
                f" {risk:g}: at least {least} are needed"
            )
    return notes


def as_wrong(skipped: pl.DataFrame, subtasks: Container[str | None]) -> pl.DataFrame:
    """Return the skipped examples of some subtasks as rows of predictions."""
    rows = skipped.filter([subtask in subtasks for subtask in skipped["subtask"]])
    return rows.with_columns(correct=pl.lit(False), prediction=pl.lit(None, pl.String))


def with_skipped(
    store: FeatureStore, parts: Sequence[pl.DataFrame], skipped: pl.DataFrame
) -> pl.DataFrame:
    """Return the predictions of all tasks, and the skipped examples, in the store's order."""
    return store.in_order("test", pl.concat([*parts, skipped], how="diagonal_relaxed"))
