"""Several sweeps side by side: means over stores, and how often a readout is better."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.statistics.paired_tests import (
    difference_over_data_sets,
    holm,
    mean_over_data_sets,
)
from savs.pipeline.evaluation.sweep.summary import Sweep

STORES_SCHEMA = {
    "readout": pl.String,
    "heads": pl.Int64,
    "shots": pl.Int64,
    "stores": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "wins": pl.Int64,
    "ties": pl.Int64,
    "losses": pl.Int64,
}
"""Columns of `across_stores`. `difference` is that to the first readout, null for it. A store is a
win or a loss where the interval of its own difference does not hold 0."""
_POINT = ["readout", "heads", "shots"]


def across_stores(sweeps: Mapping[str, Sweep]) -> pl.DataFrame:
    """Return means over stores of the headline metric and of differences to the first readout.

    Each store counts the same. Intervals are Student's t over stores, p is that of a sign-flip test
    over stores. Only points of the grid that all stores have are there.

    Parameters
    ----------
    sweeps
        Name of each store -> its sweep, at least two.

    Returns
    -------
    polars.DataFrame
        One row a readout, number of heads and shots; columns `STORES_SCHEMA`.

    Raises
    ------
    SelectionError
        There are fewer than two sweeps, or no point of the grid is in all.
    """
    if len(sweeps) < 2:
        raise SelectionError(f"{len(sweeps)} sweep given, expected two stores or more")
    values = pl.concat(headline(found.summary) for found in sweeps.values())
    apart = pl.concat(headline(found.differences) for found in sweeps.values())
    rows: list[dict[str, Any]] = []
    for (readout, heads, shots), own in values.group_by(_POINT, maintain_order=True):
        if own.height < len(sweeps):
            continue
        mean = mean_over_data_sets(own["mean"].to_list())
        row = {"readout": readout, "heads": heads, "shots": shots, "stores": own.height}
        row |= {"mean": mean.value, "low": mean.low, "high": mean.high}
        pairs = apart.filter(
            pl.col("b") == readout,
            pl.col("heads") == heads,
            pl.col("shots").eq_missing(pl.lit(shots, pl.Int64)),
        )
        if pairs.height:
            found = difference_over_data_sets(
                pairs["difference"].to_list(), pairs.select("low", "high").rows()
            )
            row |= {
                "difference": found.mean.value,
                "difference_low": found.mean.low,
                "difference_high": found.mean.high,
                "p": found.p,
                "wins": found.wins,
                "ties": found.ties,
                "losses": found.losses,
            }
        rows.append(row)
    if not rows:
        raise SelectionError(
            "the stores have no number of heads and shots in common; pass --heads and --shots that"
            " all of them have"
        )
    tested = [row for row in rows if row.get("p") is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return pl.DataFrame(rows, schema=STORES_SCHEMA)


def headline(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the first metric."""
    return table.filter(pl.col("metric") == pl.col("metric").first())
