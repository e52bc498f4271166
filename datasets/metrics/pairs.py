"""Order of scores in pairs of a positive and a negative example."""

from collections.abc import Sequence

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.metrics.class_margin import class_margin
from savs.datasets.metrics.groups import incomplete_note
from savs.datasets.metrics.metrics import Units


def order_metric(
    predictions: pl.DataFrame, positive: str, by: Sequence[str], name: str, of: str = ""
) -> Units:
    """Score a pair 1 if its positive example scores higher than its negative one.

    The score is the margin of the positive class. Equal scores fail, and so does a
    pair with a skipped example.

    Parameters
    ----------
    predictions
        One row per example with `label`, `cluster`, `group`, `votes` and the columns `by`.
    positive
        Label of the example that should score higher.
    by
        Columns that define a pair.
    name, of
        Name of the metric, and its suffix.

    Returns
    -------
    Units
        One unit per pair; chance is 0.5. A note counts and names incomplete pairs, which are left
        out.

    Raises
    ------
    RowError
        No pair is complete.
    """
    full = name + (f", {of}" if of else "")
    keys = [
        pl.col(column).list.join("\n") if column == "media" else pl.col(column) for column in by
    ]
    own = pl.col("label") == positive
    pairs = (
        predictions.drop_nulls("group")
        .with_columns(score=class_margin(positive))
        .group_by(keys, maintain_order=True)
        .agg(
            better=pl.col("score").filter(own).first(),
            worse=pl.col("score").filter(~own).first(),
            whole=(pl.len() == 2) & (own.sum() == 1),
            cluster=pl.col("cluster").first(),
            of=pl.col("group").first(),
        )
    )
    whole = pairs.filter("whole")
    if not whole.height:
        raise RowError(
            f"{full}: no pair of an example labelled {positive!r} and another one is complete;"
            " check whether --limit cuts the test file inside a pair"
        )
    wins = (
        pl.col("better").is_finite()
        & pl.col("worse").is_finite()
        & (pl.col("better") > pl.col("worse"))
    ).fill_null(value=False)
    return Units(
        full,
        whole.select(wins.cast(pl.Float64).alias("score"), "cluster", stratum=pl.lit("all")),
        chance=0.5,
        notes=incomplete_note(full, pairs.filter(~pl.col("whole"))["of"]),
    )
