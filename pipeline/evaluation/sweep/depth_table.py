"""The points of a sweep over depths: values with intervals, and differences to the whole depth."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.statistics.intervals import (
    estimate_over_draws,
    summarise,
    weigh_units,
)
from savs.pipeline.evaluation.statistics.paired_tests import holm, subtract

DEPTH_SCHEMA = {
    "readout": pl.String,
    "heads": pl.Int64,
    "shots": pl.Int64,
    "max_layer": pl.Int64,
    "share": pl.Float64,
    "metric": pl.String,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "chance": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "draws": pl.Int64,
}
"""Columns of `sweep_depth`. `share` is that of the decoder's layers, and so of its parameters and
FLOP. `difference` is that to the last `max_layer`, on the same draws and units, null for it."""
Point = tuple[str, int | None]
"""Readout and shots."""


def depth_table(
    found: Mapping[Point, Sequence[Sequence[Sequence[Units]]]],
    depths: Sequence[int],
    heads: int,
    layers: int,
) -> pl.DataFrame:
    """Return the points of a sweep over depths; p is corrected for all rows of the headline.

    Parameters
    ----------
    found
        Readout and shots -> the metrics of each draw at each depth.
    depths
        Last layers of each, ascending.
    heads
        Number of heads.
    layers
        Number of decoder layers.
    """
    rows = list(_rows(found, depths, heads, layers))
    headline = rows[0]["metric"]
    tested = [row for row in rows if row["metric"] == headline and row.get("p") is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return pl.DataFrame(rows, schema=DEPTH_SCHEMA)


def _rows(
    found: Mapping[Point, Sequence[Sequence[Sequence[Units]]]],
    depths: Sequence[int],
    count: int,
    layers: int,
) -> Iterator[dict[str, Any]]:
    for (readout, shots), cells in found.items():
        for number, metric in enumerate(cells[0][0]):
            whole = [metrics[number] for metrics in cells[-1]]
            for depth, drawn in zip(depths, cells, strict=True):
                own = [metrics[number] for metrics in drawn]
                row = {"readout": readout, "heads": count, "shots": shots, "max_layer": depth}
                row |= {"share": (depth + 1) / layers, "metric": metric.name}
                row |= {"chance": own[0].chance, "draws": len(own)} | _value(own)
                yield row if depth == depths[-1] else row | _difference(own, whole)


def _value(own: Sequence[Units]) -> dict[str, Any]:
    if len(own) == 1:
        found = summarise(own[0])
        return {"mean": found.value, "low": found.low, "high": found.high}
    over = estimate_over_draws(weigh_units(own[0].scores), _scores(own))
    low, high = over.share_interval()
    return {"mean": over.value, "low": low, "high": high}


def _difference(own: Sequence[Units], whole: Sequence[Units]) -> dict[str, Any]:
    """Return how much better it is than the whole depth, on the same draws and units."""
    names = ("difference", "difference_low", "difference_high", "p")
    if len(own) == 1:
        one = subtract(whole[0].scores, own[0].scores)
        return dict(zip(names, (one.value, one.low, one.high, one.test.p), strict=True))
    apart = _scores(own) - _scores(whole)
    over = estimate_over_draws(weigh_units(own[0].scores), apart)
    return dict(zip(names, (over.value, *over.interval(), over.p()), strict=True))


def _scores(drawn: Sequence[Units]) -> Array:
    """Return `(draws, units)` scores."""
    return np.stack([units.scores["score"].cast(pl.Float64).to_numpy() for units in drawn])
