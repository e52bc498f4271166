"""Metrics over sets of examples: pairs, and NaturalBench's groups of four.

Groups are found by id, never by line position.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.metrics.metrics import Classes, Units, guess_score

NAMED = 5
"""Number of incomplete groups that a note names."""
GROUP_ROWS = 4
"""A NaturalBench group is two images x two questions."""


def set_accuracy(
    predictions: pl.DataFrame, classes: Classes, name: str, by: Sequence[str], rows: int
) -> Units:
    """Score 1 for each set of rows, equal in the columns `by`, whose predictions are all right.

    Parameters
    ----------
    predictions
        One row per example with `correct`, `label`, `subtask`, `cluster` and the columns `by`.
    classes
        The classes of each subtask.
    name
        Name of the metric.
    by
        Columns that define a set.
    rows
        Rows of a complete set.

    Returns
    -------
    Units
        One unit per complete set; chance is that of independent uniform guesses. A note counts
        and names the groups of incomplete sets, which are left out.

    Raises
    ------
    RowError
        No set is complete.
    """
    keys = [pl.col(column).cast(pl.List(pl.String)).list.join("\n") if column == "media" else column
            for column in by]  # fmt: skip
    sets = (
        predictions.drop_nulls("group")
        .with_columns(guess=guess_score(classes))
        .group_by(keys, maintain_order=True)
        .agg(
            score=pl.col("correct").all().cast(pl.Float64),
            guess=pl.col("guess").product(),
            cluster=pl.col("cluster").first(),
            of=pl.col("group").first(),
            rows=pl.len(),
        )
    )
    whole = sets.filter(pl.col("rows") == rows)
    if not whole.height:
        raise RowError(
            f"{name}: no set of {rows} rows that share {', '.join(by)} is complete; check whether"
            " --limit cuts the test file inside a group"
        )
    return Units(
        name,
        whole.select("score", "cluster", stratum=pl.lit("all")),
        chance=float(whole.select(pl.col("guess").mean()).item()),
        notes=incomplete_note(name, sets.filter(pl.col("rows") != rows)["of"]),
    )


def incomplete_note(name: str, groups: Iterable[str]) -> tuple[str, ...]:
    """Return a note that counts and names incomplete groups, if any."""
    found = list(dict.fromkeys(groups))
    if not found:
        return ()
    names = ", ".join(found[:NAMED]) + (" ..." if len(found) > NAMED else "")
    return (f"{name}: incomplete groups left out: {len(found)} ({names})",)


def group_metrics(predictions: pl.DataFrame, classes: Classes, of: str = "") -> list[Units]:
    """Return Q-Acc, I-Acc and G-Acc of groups of two images and two questions.

    Q-Acc: a question right on both images. I-Acc: an image right for both questions. G-Acc: all.
    Source: Li et al., NaturalBench, arXiv 2410.14669.
    """
    suffix = f", {of}" if of else ""
    return [
        set_accuracy(predictions, classes, f"Q-Acc{suffix}", ["group", "prompt"], 2),
        set_accuracy(predictions, classes, f"I-Acc{suffix}", ["group", "media"], 2),
        set_accuracy(predictions, classes, f"G-Acc{suffix}", ["group"], GROUP_ROWS),
    ]


def pair_metric(predictions: pl.DataFrame, classes: Classes, of: str = "") -> Units:
    """Return the share of pairs with both captions right: the true one Yes, the false one No."""
    return set_accuracy(
        predictions, classes, "both right" + (f", {of}" if of else ""), ["group"], 2
    )
