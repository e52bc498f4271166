"""One number for comparisons on several data sets."""

import polars as pl

from savs.pipeline.evaluation.statistics.data_sets import difference_over_data_sets

DATA_SETS_SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "data_sets": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "wins": pl.Int64,
    "ties": pl.Int64,
    "losses": pl.Int64,
}
"""Columns of `across_data_sets`."""


def across_data_sets(comparison: pl.DataFrame) -> pl.DataFrame:
    """Return the mean differences of the headline metric over data sets, of a `compare`.

    Results belong together if their folders have the same name: `one/results/lda` and
    `two/results/lda`. Each data set counts the same. The interval is Student's t over data sets, p
    that of a sign-flip test over data sets. A data set is a win or a loss if its own interval does
    not hold 0.

    Parameters
    ----------
    comparison
        What `compare` returned.

    Returns
    -------
    polars.DataFrame
        One row a pair of names that several data sets have; columns `DATA_SETS_SCHEMA`.
    """
    named = comparison.filter(pl.col("p_holm").is_not_null()).with_columns(
        pl.col("a", "b").str.split("/").list.last()
    )
    rows = []
    for (a, b), own in named.group_by("a", "b", maintain_order=True):
        if own.height < 2:
            continue
        ends = own.select("low", "high").rows()
        found = difference_over_data_sets(own["difference"].to_list(), ends)
        mean = found.mean
        counts = (found.wins, found.ties, found.losses)
        rows.append((a, b, own.height, mean.value, mean.low, mean.high, found.p, *counts))
    return pl.DataFrame(rows, schema=DATA_SETS_SCHEMA, orient="row")
