"""Winoground's text, image and group score, from scores of captions and images.

Source: Thrush et al., Winoground, arXiv 2204.03162; NaturalBench's official retrieval score.
"""

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.metrics.class_margin import class_margin
from savs.datasets.metrics.groups import GROUP_ROWS, incomplete_note
from savs.datasets.metrics.metrics import Units

YES = "Yes"
CHANCES = {"text": 0.25, "image": 0.25, "group": 1 / 6}
"""Expected for scores in random order. `group` needs both true pairs above both false ones, as in a
sixth of the orders of four scores."""


def matching_metrics(predictions: pl.DataFrame, of: str = "") -> list[Units]:
    """Return the official text, image and group score of groups of two captions and two images.

    A pair's score s(caption, image) is the margin of Yes. Text: each image scores its own caption
    higher than the other one. Image: each caption scores its own image higher. Group: both. Equal
    scores fail, and so does a group with a skipped example.

    Parameters
    ----------
    predictions
        One row per example with `group`, `prompt`, `media`, `label` (Yes if caption and image
        match), `cluster` and `votes`, whose field `soft` is the readout's score.
    of
        Suffix of the metrics' names.

    Raises
    ------
    RowError
        No group is complete.
    """
    rows = (
        predictions.drop_nulls("group")
        .with_columns(
            score=class_margin(YES),
            image=pl.col("media").list.join("\n"),
            own=pl.col("label") == YES,
        )
        .with_columns(by_image=_own_wins("image"), by_caption=_own_wins("prompt"))
    )
    groups = (
        rows.group_by("group", maintain_order=True)
        .agg(
            cluster=pl.col("cluster").first(),
            whole=(pl.len() == GROUP_ROWS)
            & (pl.col("prompt").n_unique() == 2)
            & (pl.col("image").n_unique() == 2)
            & (pl.struct("prompt", "image").n_unique() == GROUP_ROWS)
            & (pl.col("prompt").filter("own").n_unique() == 2)
            & (pl.col("image").filter("own").n_unique() == 2)
            & (pl.col("own").sum() == 2),
            text=pl.col("by_image").all(),
            image_=pl.col("by_caption").all(),
        )
        .rename({"image_": "image"})
    )
    whole = groups.filter("whole").with_columns(group=pl.col("text") & pl.col("image"))
    if not whole.height:
        raise RowError(
            "no group of two captions and two images is complete; check whether --limit cuts the"
            " test file inside a group"
        )
    notes = incomplete_note("text, image and group score", groups.filter(~pl.col("whole"))["group"])
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


def _own_wins(by: str) -> pl.Expr:
    """Return whether the true pair scores higher among a group's rows with equal `by`."""
    own = pl.col("score").filter(pl.col("own")).max().over("group", by)
    other = pl.col("score").filter(~pl.col("own")).max().over("group", by)
    return (own.is_finite() & other.is_finite() & (own > other)).fill_null(value=False)
