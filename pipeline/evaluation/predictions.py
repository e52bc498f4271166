"""Predictions: one row for each example, with its prediction, margin and votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.selection.readouts import ClassScores

VOTES_KEPT = 20
"""Classes named in a prediction's `votes`."""

VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
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
"""Columns of the predictions. A skipped example has no prediction and is not correct. `votes` has
the best classes with the readout's score and its soft score, which has no ties in practice.
`content` is a digest of the example's media, null where it has none or was skipped.
`prediction_set` and `unsure` are null unless a risk was given, `typicality` and `atypical` without
a calibration. `media` are the names of its images
and videos. `extra` is a JSON object of the input's columns that the benchmark does not know."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Test examples with predictions that need no selection."""

    parts: list[pl.DataFrame]
    """Those of each subtask, see `predicted`."""
    classes: Mapping[str | None, Sequence[str]]
    """The classes of each subtask."""
    notes: tuple[str, ...] = ()


def named(examples: pl.DataFrame, classes: Sequence[str], choice: Array) -> pl.DataFrame:
    """Return examples with the class that each is predicted to be, and whether it is right."""
    names = np.array(classes, dtype=object)[choice]
    return examples.with_columns(prediction=pl.Series(names, dtype=pl.String)).with_columns(
        correct=pl.col("prediction") == pl.col("label")
    )


def predicted(examples: pl.DataFrame, classes: Sequence[str], found: ClassScores) -> pl.DataFrame:
    """Return examples with their prediction, whether it is right, its margin and its votes."""
    rows = np.arange(examples.height)
    chosen = found.scores[rows, found.choice]
    others = found.scores.copy()
    others[rows, found.choice] = -np.inf
    return named(examples, classes, found.choice).with_columns(
        margin=pl.Series(chosen - others.max(axis=1), dtype=pl.Float32),
        votes=_votes(classes, found),
    )


def _votes(classes: Sequence[str], found: ClassScores) -> pl.Series:
    """Return each example's best classes with their scores, as lists of structs."""
    order = best_classes(found.scores, VOTES_KEPT)
    flat = pl.DataFrame(
        {
            "class": pl.Series(list(classes), dtype=pl.String)[order.ravel()],
            "score": np.take_along_axis(found.scores, order, axis=1).ravel(),
            "soft": np.take_along_axis(found.soft, order, axis=1).ravel(),
        }
    ).cast({"score": pl.Float32, "soft": pl.Float32})
    return flat.to_struct("votes").reshape(order.shape).arr.to_list()


def best_classes(scores: Array, count: int) -> Array:
    """Return the classes of greatest score, best first; of equal ones the first class.

    Parameters
    ----------
    scores
        `(n, classes)` float32.
    count
        How many; all, if there are fewer classes.

    Returns
    -------
    ndarray
        `(n, count)` class numbers.

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
    kept = better | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= wanted))
    found = np.nonzero(kept)[1].reshape(n, count)
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def in_schema(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return a table with the columns of `PREDICTION_SCHEMA` alone, null where it has none."""
    there = frame.collect_schema()
    return frame.select(
        (pl.col(name) if name in there else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in PREDICTION_SCHEMA.items()
    )
