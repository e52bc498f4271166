"""From predictions to one score per unit, from which means and error bars are computed.

`predictions` have one row per example with the columns `SCORED`, `classes` are those of each
subtask, `name` is a metric's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

Scale = Literal["share", "error", "fit", "correlation"]
Classes = Mapping[str | None, Sequence[str]]
"""Subtask (None without subtasks) -> the classes that can be predicted."""
SCORED = ("label", "correct", "subtask", "cluster")
"""Columns of the predictions that accuracies are made of."""


@dataclass(frozen=True, slots=True)
class Units:
    """One metric before its mean is taken."""

    name: str
    """For example `accuracy`."""
    scores: pl.DataFrame
    """Columns `score` (float, 0 to 1, or an influence value of `ranking.py`), `cluster` (text;
    dependent units share it) and `stratum` (text). The metric is the mean over strata of the mean
    score in each."""
    chance: float
    """Expected value of a uniform guess among the classes."""
    majority: float | None = None
    """Value of always predicting the most frequent class of the test set."""
    notes: tuple[str, ...] = ()
    """Remarks that are printed with the number."""
    scale: Scale = "share"
    """What the metric is, which its interval keeps to: a `share` of 0 to 1, an `error` of 0 or
    more, what a `fit` explains, 1 at most, or a `correlation` of -1 to 1."""


def accuracy(predictions: pl.DataFrame, classes: Classes, name: str = "accuracy") -> Units:
    """Score each example 1 if the prediction is right, 0 if it is wrong or was skipped.

    One unit per example, one stratum; chance is the mean of 1 / classes.

    Parameters
    ----------
    predictions
        One row per example with the columns `SCORED`.
    classes
        The classes of each subtask.
    name
        The metric's name.
    """
    return Units(name, _scores(predictions, pl.lit("all")), *_baselines(predictions, classes))


def subtask_accuracies(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Return the accuracy of each subtask, then their mean (`accuracy, macro`).

    Parameters
    ----------
    predictions
        One row per example with the columns `SCORED`.
    classes
        The classes of each subtask.
    """
    predictions = predictions.select(SCORED)
    # One table for all subtasks, which is cut: there may be thousands with few examples each.
    baselines = _baselines_by_subtask(predictions, classes).rows_by_key("subtask", unique=True)
    scores = _scores(predictions, pl.lit("all")).with_columns(predictions["subtask"])
    parts = scores.partition_by("subtask", maintain_order=True, include_key=False, as_dict=True)
    single = [
        Units(f"accuracy, {subtask}", part, *baselines[subtask])
        for (subtask,), part in parts.items()
    ]
    chances, majorities = zip(*(baselines[subtask] for (subtask,) in parts), strict=True)
    macro = Units(
        "accuracy, macro",
        _scores(predictions, pl.col("subtask").fill_null(str(None))),
        chance=sum(chances) / len(parts),
        majority=sum(majorities) / len(parts),
    )
    return [*single, macro]


def balanced_accuracy(
    predictions: pl.DataFrame, classes: Classes, name: str = "balanced accuracy"
) -> Units:
    """Score each example as `accuracy` does, with equal weight for each class of the test set.

    One unit per example, a stratum per label; chance is the mean of that of the labels.

    Parameters
    ----------
    predictions
        One row per example with the columns `SCORED`.
    classes
        The classes of each subtask.
    name
        The metric's name.
    """
    counts = _counts(predictions, classes)
    guesses = counts.group_by("label", maintain_order=True).agg(_mean_guess())["guess"]
    return Units(name, _scores(predictions, pl.col("label")), float(guesses.to_numpy().mean()))


CLASS_METRICS = {"accuracy": accuracy, "balanced accuracy": balanced_accuracy}
"""Metrics of examples with one class each, the headline first; folds and prompts have the same."""


def class_metrics(predictions: pl.DataFrame, classes: Classes, of: str = "") -> list[Units]:
    """Return `CLASS_METRICS` of predictions; `of` follows their names."""
    return [measure(predictions, classes, name + of) for name, measure in CLASS_METRICS.items()]


def mean_metric(name: str, parts: Sequence[Units]) -> Units:
    """Return the mean of one or more metrics.

    Each metric counts the same. Chance is the mean of theirs; the majority class, too, where all
    have one.

    Parameters
    ----------
    name
        The metric's name.
    parts
        The metrics, which have equally many strata.
    """
    majorities = [part.majority for part in parts if part.majority is not None]
    return Units(
        name,
        pl.concat(
            part.scores.with_columns(stratum=pl.format("{} {}", pl.lit(number), "stratum"))
            for number, part in enumerate(parts)
        ),
        chance=sum(part.chance for part in parts) / len(parts),
        majority=sum(majorities) / len(parts) if len(majorities) == len(parts) else None,
    )


def parts_by(predictions: pl.DataFrame, column: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield each value of a column with its predictions, in order of first appearance; no null."""
    for value in predictions[column].drop_nulls().unique(maintain_order=True):
        yield str(value), predictions.filter(pl.col(column) == value)


def class_margin(name: str) -> pl.Expr:
    """Return the soft score of a class minus the best soft score of another one.

    It is an expression over the predictions' column `votes`, null for a skipped example.

    Examples
    --------
    >>> votes = [{"class": "No", "soft": 0.75}, {"class": "Yes", "soft": 0.25}]
    >>> pl.DataFrame({"votes": [votes]}).select(class_margin("Yes")).item()
    -0.5
    """
    is_class = pl.element().struct.field("class") == name
    return _soft(is_class) - _soft(~is_class)


def _soft(which: pl.Expr) -> pl.Expr:
    """Return the greatest soft score of the classes that an expression over `votes` picks."""
    return pl.col("votes").list.eval(pl.element().struct.field("soft").filter(which)).list.max()


def with_guess(rows: pl.DataFrame, classes: Classes) -> pl.DataFrame:
    """Return rows with `guess`, the expected score of a uniform guess.

    It is 0 if the `label` is not among the classes of the `subtask`.
    """
    chances = pl.DataFrame(
        [(subtask, name, 1 / len(names)) for subtask, names in classes.items() for name in names],
        schema={"subtask": pl.String, "label": pl.String, "guess": pl.Float64},
        orient="row",
    )
    on = ["subtask", "label"]
    rows = rows.with_columns(pl.col(on).cast(pl.String))  # a column of nulls alone has no type
    joined = rows.join(chances, on=on, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.col("guess").fill_null(0.0))


def _scores(predictions: pl.DataFrame, stratum: pl.Expr) -> pl.DataFrame:
    return predictions.select(
        score=pl.col("correct").cast(pl.Float64), cluster="cluster", stratum=stratum
    )


def _baselines(predictions: pl.DataFrame, classes: Classes) -> tuple[float, float]:
    """Return the accuracy of a uniform guess and of the most frequent label of the classes."""
    counts = _counts(predictions, classes)
    known = counts.filter(pl.col("guess") > 0).group_by("subtask").agg(pl.col("examples").max())
    hits = int(known["examples"].sum())
    return float(counts.select(_mean_guess()).item()), hits / predictions.height


def _baselines_by_subtask(predictions: pl.DataFrame, classes: Classes) -> pl.DataFrame:
    """Return `subtask` and what `_baselines` returns of it."""
    often = pl.col("examples").filter(pl.col("guess") > 0).max().fill_null(0)
    counts = _counts(predictions, classes).group_by("subtask", maintain_order=True)
    return counts.agg(chance=_mean_guess(), majority=often / pl.col("examples").sum())


def _counts(predictions: pl.DataFrame, classes: Classes) -> pl.DataFrame:
    """Return the examples of each label of each subtask, and the score of a guess."""
    rows = predictions.lazy().group_by("subtask", "label", maintain_order=True)
    counts = rows.agg(examples=pl.len()).collect(engine="streaming")  # the other copies rows
    return with_guess(counts, classes)


def _mean_guess() -> pl.Expr:
    return (pl.col("guess") * pl.col("examples")).sum() / pl.col("examples").sum()
