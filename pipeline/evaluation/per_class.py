"""Where an evaluation is right and wrong: by class, by confusion, by subtask and category."""

from typing import Any

import polars as pl

from savs.pipeline.statistics.intervals import estimate_share

CLASS_SCHEMA = pl.Schema(
    {
        "subtask": pl.String,
        "label": pl.String,
        "n": pl.Int64,
        "predicted": pl.Int64,
        "correct": pl.Int64,
        "precision": pl.Float64,
        "recall": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "f1": pl.Float64,
    }
)
"""Columns of `class_table`. `n` are the examples of the class, `predicted` those that are said to
be of it. `low` and `high` are the 95 % interval of the recall."""
CONFUSION_SCHEMA = pl.Schema(
    {"subtask": pl.String, "label": pl.String, "prediction": pl.String, "n": pl.Int64}
)
"""Columns of `confusion_table`. A skipped example has no prediction."""
PART_SCHEMA = pl.Schema(
    {
        "by": pl.String,
        "name": pl.String,
        "n": pl.Int64,
        "correct": pl.Int64,
        "accuracy": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)
"""Columns of `part_table`; `by` is `subtask` or `category`."""


def class_table(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return precision, recall and F1 of each class of each subtask.

    A class that is never predicted has no precision, one without test examples no recall; a skipped
    example counts as wrong. F1 is 2 correct / (n + predicted).

    Parameters
    ----------
    predictions
        Columns `PREDICTION_SCHEMA`.

    Returns
    -------
    polars.DataFrame
        Columns `CLASS_SCHEMA`, in order of first appearance; empty where examples have no labels.
    """
    rows: list[dict[str, Any]] = []
    for (subtask,), part in _labelled(predictions).group_by("subtask", maintain_order=True):
        of_label = part.partition_by("label", as_dict=True, maintain_order=True)
        said = dict(part["prediction"].drop_nulls().value_counts().iter_rows())
        for label in dict.fromkeys([*part["label"].unique(maintain_order=True), *said]):
            own = of_label.get((label,), part.clear())
            n, predicted, correct = own.height, said.get(label, 0), int(own["correct"].sum())
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
                | _share(own, "recall")
            )
    return pl.DataFrame(rows, schema=CLASS_SCHEMA)


def confusion_table(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return how often each class is taken for another, most frequent first.

    Returns
    -------
    polars.DataFrame
        Columns `CONFUSION_SCHEMA`; equal counts in order of first appearance.
    """
    wrong = _labelled(predictions).filter(~pl.col("correct"))
    counts = wrong.group_by("subtask", "label", "prediction", maintain_order=True).agg(
        n=pl.len().cast(pl.Int64)
    )
    return counts.sort("n", descending=True, maintain_order=True).select(list(CONFUSION_SCHEMA))


def part_table(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the accuracy in each subtask and each category, where there are several.

    Returns
    -------
    polars.DataFrame
        Columns `PART_SCHEMA`; subtasks first, each in order of first appearance.
    """
    labelled, rows = _labelled(predictions), []
    for by in ("subtask", "category"):
        if labelled[by].drop_nulls().n_unique() < 2:
            continue
        for (name,), part in labelled.group_by(by, maintain_order=True):
            counts = {"n": part.height, "correct": int(part["correct"].sum())}
            rows.append({"by": by, "name": name} | counts | _share(part, "accuracy"))
    return pl.DataFrame(rows, schema=PART_SCHEMA)


def _labelled(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return what is counted of the examples with labels; numbers for their clusters."""
    counted = predictions.select(
        *("subtask", "category", "label", "prediction", "correct"),
        cluster=pl.col("cluster").rank("dense"),
    )
    return counted.filter(pl.col("label").is_not_null())


def _share(part: pl.DataFrame, name: str) -> dict[str, float | None]:
    """Return the share of right examples and its interval; none of no example."""
    if not part.height:
        return dict.fromkeys((name, "low", "high"))
    found = estimate_share(part["correct"], part["cluster"])
    return dict(zip((name, "low", "high"), (found.value, *found.interval()), strict=True))
