"""Predictions of a task with two classes, made of scores, as stage 2 hands them to metrics."""

from collections.abc import Sequence

import polars as pl

from savs.datasets import Example, Units

VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
NAMES = ("id", "label", "prompt", "media", "group", "subtask", "category")


def predictions_of(
    examples: Sequence[Example],
    scores: Sequence[float | None],
    classes: tuple[str, str] = ("Yes", "No"),
    clusters: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return predictions: the first class where its score is over a half; None was skipped."""
    first, second = classes
    answers = [s if s is None else first if s > 0.5 else second for s in scores]
    votes = [
        s if s is None else [{"class": c, "soft": v} for c, v in ((first, s), (second, 1 - s))]
        for s in scores
    ]
    frame = pl.DataFrame([{n: getattr(e, n) for n in NAMES} for e in examples]).cast(
        dict.fromkeys(("group", "subtask", "category"), pl.String)
    )
    found = pl.Series(answers, dtype=pl.String)
    return frame.with_columns(
        cluster=pl.Series(clusters or [str(i) for i in range(len(examples))]),
        prediction=found,
        correct=(found == frame["label"]).fill_null(False),
        votes=pl.Series(votes, dtype=VOTES),
    )


def value(units: Units) -> float:
    """Return the mean over strata of the mean score in each."""
    means = units.scores.group_by("stratum").agg(pl.col("score").mean())
    return float(means["score"].to_numpy().mean())
