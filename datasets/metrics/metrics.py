"""From predictions to one score a unit; means, error bars and comparisons come from those alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

Classes = Mapping[str | None, Sequence[str]]
"""Subtask (None where there are none) -> the classes that a prediction can name."""


@dataclass(frozen=True, slots=True)
class Units:
    """One metric before it is mean_metric."""

    name: str
    """What is measured, e.g. `accuracy`."""
    scores: pl.DataFrame
    """Columns `score` (float, 0 to 1; beyond these where values of `ranking.py` stand for an
    order), `cluster` (text; units that are not independent share it) and `stratum` (text). The
    metric is the mean over strata of the mean score in each."""
    chance: float
    """Expected value for a guess that knows nothing but the classes."""
    majority: float | None = None
    """Value for always naming the most frequent class of the test set."""
    notes: tuple[str, ...] = ()
    """What a reader of the number must know."""


def accuracy(predictions: pl.DataFrame, classes: Classes, name: str = "accuracy") -> Units:
    """Score each example 1 where the prediction is right, 0 where it is wrong or was skipped.

    Parameters
    ----------
    predictions
        One row an example with `label`, `correct`, `subtask` and `cluster`.
    classes
        The classes of each subtask.

    Returns
    -------
    Units
        One unit an example, one stratum; chance is the mean of 1 / classes.
    """
    return Units(name, _scores(predictions, pl.lit("all")), *_baselines(predictions, classes))


def subtask_accuracies(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Score each subtask by itself, then all of them with equal weight (`accuracy, macro`)."""
    parts = [
        (str(subtask), predictions.filter(pl.col("subtask") == subtask))
        for subtask in predictions["subtask"].unique(maintain_order=True)
    ]
    single = [accuracy(part, classes, f"accuracy, {subtask}") for subtask, part in parts]
    majorities = [units.majority for units in single if units.majority is not None]
    macro = Units(
        "accuracy, macro",
        _scores(predictions, pl.col("subtask")),
        chance=sum(units.chance for units in single) / len(single),
        majority=sum(majorities) / len(majorities),
    )
    return [*single, macro]


def balanced_accuracy(
    predictions: pl.DataFrame, classes: Classes, name: str = "balanced accuracy"
) -> Units:
    """Score each example as `accuracy` does, each class of the test set with equal weight."""
    guesses = predictions.select(guess_score(classes).mean().over("label").alias("guess"), "label")
    chance = guesses.unique("label").select(pl.col("guess").mean()).item()
    return Units(name, _scores(predictions, pl.col("label")), float(chance))


def mean_metric(name: str, parts: Sequence[Units]) -> Units:
    """Return the mean of metrics with equal weight; each has equally many strata.

    Parameters
    ----------
    name
        Of the mean.
    parts
        The metrics, one or more.
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


def _scores(predictions: pl.DataFrame, stratum: pl.Expr) -> pl.DataFrame:
    return predictions.select(
        score=pl.col("correct").cast(pl.Float64), cluster="cluster", stratum=stratum
    )


def guess_score(classes: Classes) -> pl.Expr:
    """Return what a uniform guess among the classes scores; 0 where the label is none of them."""
    chances = [
        pl.when(pl.col("subtask").eq_missing(pl.lit(subtask)) & pl.col("label").is_in(names))
        .then(1 / len(names))
        .otherwise(0.0)
        for subtask, names in classes.items()
    ]
    return pl.sum_horizontal(chances)


def _baselines(predictions: pl.DataFrame, classes: Classes) -> tuple[float, float]:
    """Return the accuracy of a uniform guess and of the most frequent label that can be named."""
    hits = 0
    for (subtask,), part in predictions.group_by("subtask"):
        names = classes[str(subtask) if subtask is not None else None]
        known = part.filter(pl.col("label").is_in(names))["label"].value_counts()["count"]
        hits += int(known.to_numpy().max(initial=0))
    return float(predictions.select(guess_score(classes).mean()).item()), hits / predictions.height
