"""Metrics over sets of examples: pairs, groups of four, matching of captions, order of scores.

`predictions` have one row per example with `group`, `cluster` and the columns that a metric names;
`classes` are those of each subtask, `name` is a metric's name and `of` its suffix.

Groups are found by id, never by line position. A note counts and names the groups of incomplete
sets, which are left out; RowError if no set is complete.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.example import first_few
from savs.datasets.metrics.metrics import Classes, Units, class_margin, with_guess

NAMED = 5
"""Number of incomplete groups that a note names."""
GROUP_ROWS = 4
"""A NaturalBench group is two images x two questions."""
YES = "Yes"
CHANCES = {"text": 0.25, "image": 0.25, "group": 1 / 6}
"""Expected for scores in random order. `group` needs both true pairs above both false ones, as in a
sixth of the orders of four scores."""


def set_accuracy(
    predictions: pl.DataFrame, classes: Classes, name: str, by: Sequence[str], rows: int
) -> Units:
    """Score 1 for each set of rows, equal in the columns `by`, whose predictions are all right.

    One unit per complete set; chance is that of independent uniform guesses.

    Parameters
    ----------
    predictions
        One row per example with `correct`, `label`, `subtask`, `group`, `cluster` and those of
        `by`.
    classes
        The classes of each subtask.
    name
        The metric's name.
    by
        Columns that define a set.
    rows
        Rows of a complete set.
    """
    sets = (
        with_guess(predictions.drop_nulls("group"), classes)
        .group_by(_keys(by), maintain_order=True)
        .agg(
            score=pl.col("correct").all().cast(pl.Float64),
            guess=pl.col("guess").product(),
            cluster=pl.col("cluster").first(),
            of=pl.col("group").first(),
            whole=pl.len() == rows,
        )
    )
    whole = _complete(sets, f"{name}: no set of {rows} rows that share {', '.join(by)}")
    return Units(
        name,
        whole.select("score", "cluster", stratum=pl.lit("all")),
        chance=float(whole.select(pl.col("guess").mean()).item()),
        notes=_incomplete_note(name, sets.filter(~pl.col("whole"))["of"]),
    )


def group_metrics(predictions: pl.DataFrame, classes: Classes, of: str = "") -> list[Units]:
    """Return Q-Acc, I-Acc and G-Acc of groups of two images and two questions.

    Q-Acc: a question right on both images. I-Acc: an image right for both questions. G-Acc: all.
    Source: Li et al., NaturalBench, arXiv 2410.14669.

    The three are about the same groups: one that lacks any of its four rows counts in none of them.

    Parameters
    ----------
    predictions
        One row per example with `correct`, `prompt`, `media`, `subtask`, `label`, `group` and
        `cluster`.
    classes
        The classes of each subtask.
    of
        What the metric's name ends with; nothing for all examples.
    """
    suffix = f", {of}" if of else ""
    sets = (("Q-Acc", ["group", "prompt"], 2), ("I-Acc", ["group", "media"], 2),
            ("G-Acc", ["group"], GROUP_ROWS))  # fmt: skip
    rows = predictions.drop_nulls("group").with_columns(
        whole=pl.all_horizontal(pl.len().over(_keys(by)) == count for _, by, count in sets)
    )
    rows = rows.with_columns(whole=pl.col("whole").all().over("group"))
    what = f"{sets[0][0]}{suffix}: no group of {GROUP_ROWS} rows, two questions on two images,"
    whole, incomplete = _complete(rows, what), rows.filter(~pl.col("whole"))["group"]
    return [
        replace(
            set_accuracy(whole, classes, name + suffix, by, count),
            notes=_incomplete_note(name + suffix, incomplete),
        )
        for name, by, count in sets
    ]


def pair_metric(predictions: pl.DataFrame, classes: Classes, of: str = "") -> Units:
    """Return the share of pairs with both captions right: the true one Yes, the false one No.

    Parameters
    ----------
    predictions
        One row per example with `correct`, `label`, `subtask`, `group` and `cluster`.
    classes
        The classes of each subtask.
    of
        What the metric's name ends with; nothing for all examples.
    """
    return set_accuracy(
        predictions, classes, "both right" + (f", {of}" if of else ""), ["group"], 2
    )


def matching_metrics(predictions: pl.DataFrame, of: str = "") -> list[Units]:
    """Return the official text, image and group score of groups of two captions and two images.

    A pair's score s(caption, image) is the margin of Yes. Text: each image scores its own caption
    higher than the other one. Image: each caption scores its own image higher. Group: both. Equal
    scores fail, and so does a group with a skipped example.

    Source: Thrush et al., Winoground, arXiv 2204.03162; NaturalBench's official retrieval score.

    Parameters
    ----------
    predictions
        One row per example with `prompt`, `media`, `label` (Yes if caption and image match),
        `group`, `cluster` and `votes`, whose field `soft` is read.
    of
        What the metric's name ends with; nothing for all examples.
    """
    rows = (
        predictions.drop_nulls("group")
        .with_columns(
            score=class_margin(YES),
            image=pl.col("media").list.join("\n"),
            matches=pl.col("label") == YES,
        )
        .with_columns(by_image=_true_pair_wins("image"), by_caption=_true_pair_wins("prompt"))
    )
    groups = (
        rows.group_by("group", maintain_order=True)
        .agg(
            cluster=pl.col("cluster").first(),
            whole=(pl.len() == GROUP_ROWS)
            & (pl.col("prompt").n_unique() == 2)
            & (pl.col("image").n_unique() == 2)
            & (pl.struct("prompt", "image").n_unique() == GROUP_ROWS)
            & (pl.col("prompt").filter("matches").n_unique() == 2)
            & (pl.col("image").filter("matches").n_unique() == 2)
            & (pl.col("matches").sum() == 2),
            text=pl.col("by_image").all(),
            image_=pl.col("by_caption").all(),
        )
        .rename({"image_": "image"})
    )
    whole = _complete(groups, "no group of two captions and two images")
    whole = whole.with_columns(group=pl.col("text") & pl.col("image"))
    notes = _incomplete_note(
        "text, image and group score", groups.filter(~pl.col("whole"))["group"]
    )
    return [
        Units(
            f"{name} score (official)" + (f", {of}" if of else ""),
            whole.select(
                pl.col(name).cast(pl.Float64).alias("score"), "cluster", stratum=pl.lit("all")
            ),
            chance=chance,
            notes=notes,
        )
        for name, chance in CHANCES.items()
    ]


def _true_pair_wins(by: str) -> pl.Expr:
    """Return whether the true pair scores higher among a group's rows with equal `by`."""
    true_score = pl.col("score").filter(pl.col("matches")).max().over("group", by)
    false_score = pl.col("score").filter(~pl.col("matches")).max().over("group", by)
    return _beats(true_score, false_score)


def _beats(score: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether a score is higher than another one; not if one is missing or not finite."""
    return (score.is_finite() & other.is_finite() & (score > other)).fill_null(value=False)


def order_metric(
    predictions: pl.DataFrame, positive: str, by: Sequence[str], name: str, of: str = ""
) -> Units:
    """Score a pair, equal in the columns `by`, 1 if its `positive` example scores higher.

    The score is the margin of the positive class. Equal scores fail, and so does a pair with a
    skipped example. Chance is 0.5.

    Parameters
    ----------
    predictions
        One row per example with `label`, `votes`, `group`, `cluster` and those of `by`.
    positive
        The class whose example should score higher.
    by
        Columns that define a pair.
    name
        The metric's name.
    of
        What the metric's name ends with; nothing for all examples.
    """
    full = name + (f", {of}" if of else "")
    is_positive = pl.col("label") == positive
    pairs = (
        predictions.drop_nulls("group")
        .with_columns(score=class_margin(positive))
        .group_by(_keys(by), maintain_order=True)
        .agg(
            better=pl.col("score").filter(is_positive).first(),
            worse=pl.col("score").filter(~is_positive).first(),
            whole=(pl.len() == 2) & (is_positive.sum() == 1),
            cluster=pl.col("cluster").first(),
            of=pl.col("group").first(),
        )
    )
    whole = _complete(pairs, f"{full}: no pair of an example labelled {positive!r} and another one")
    wins = _beats(pl.col("better"), pl.col("worse")).cast(pl.Float64)
    return Units(
        full,
        whole.select(wins.alias("score"), "cluster", stratum=pl.lit("all")),
        chance=0.5,
        notes=_incomplete_note(full, pairs.filter(~pl.col("whole"))["of"]),
    )


def _keys(by: Sequence[str]) -> list[pl.Expr]:
    """Return the columns that define a set; images in their order."""
    return [
        pl.col(column).cast(pl.List(pl.String)).list.join("\n")
        if column == "media"
        else pl.col(column)
        for column in by
    ]


def _complete(sets: pl.DataFrame, none: str) -> pl.DataFrame:
    """Return the sets that are `whole`; RowError, which begins with `none`, if no set is."""
    whole = sets.filter("whole")
    if not whole.height:
        raise RowError(
            f"{none} is complete; check whether `limit` cuts the test file inside a group"
        )
    return whole


def _incomplete_note(name: str, groups: Iterable[str]) -> tuple[str, ...]:
    """Return a note that counts and names incomplete groups, if any."""
    names = list(dict.fromkeys(groups))
    if not names:
        return ()
    return (f"{name}: incomplete groups left out: {len(names)} ({first_few(names, NAMED)})",)
