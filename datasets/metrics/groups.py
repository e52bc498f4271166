"""Metrics over sets of examples: pairs, and NaturalBench's groups of four.

Groups are found by id, never by line position.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

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
    sets = (
        predictions.drop_nulls("group")
        .with_columns(guess=guess_score(classes))
        .group_by(_keys(by), maintain_order=True)
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

    The three are about the same groups: one that lacks any of its four rows counts in none of them,
    and a note names it.

    Parameters
    ----------
    predictions
        One row per example with `correct`, `group`, `prompt`, `media`, `subtask`, `label` and
        `cluster`.
    classes
        The classes of each subtask.
    of
        Suffix of the metrics' names.

    Raises
    ------
    RowError
        No group is complete.
    """
    suffix = f", {of}" if of else ""
    sets = (("Q-Acc", ["group", "prompt"], 2), ("I-Acc", ["group", "media"], 2),
            ("G-Acc", ["group"], GROUP_ROWS))  # fmt: skip
    rows = predictions.drop_nulls("group").with_columns(
        whole=pl.all_horizontal(pl.len().over(_keys(by)) == count for _, by, count in sets)
    )
    rows = rows.with_columns(whole=pl.col("whole").all().over("group"))
    whole, incomplete = rows.filter("whole"), rows.filter(~pl.col("whole"))["group"]
    if not whole.height:
        raise RowError(
            f"{sets[0][0]}{suffix}: no group of {GROUP_ROWS} rows, two questions on two images, is"
            " complete; check whether --limit cuts the test file inside a group"
        )
    return [
        replace(
            set_accuracy(whole, classes, name + suffix, by, count),
            notes=incomplete_note(name + suffix, incomplete),
        )
        for name, by, count in sets
    ]


def _keys(by: Sequence[str]) -> list[pl.Expr]:
    """Return the columns that define a set; images in their order."""
    return [
        pl.col(column).cast(pl.List(pl.String)).list.join("\n")
        if column == "media"
        else pl.col(column)
        for column in by
    ]


def pair_metric(predictions: pl.DataFrame, classes: Classes, of: str = "") -> Units:
    """Return the share of pairs with both captions right: the true one Yes, the false one No.

    Parameters
    ----------
    predictions
        One row per example with `correct`, `group`, `subtask`, `label` and `cluster`.
    classes
        The classes of each subtask.
    of
        Suffix of the metric's name.
    """
    return set_accuracy(
        predictions, classes, "both right" + (f", {of}" if of else ""), ["group"], 2
    )
