"""Trials: what a method scores on each unit, at one point and in all its draws.

Every measurement fills them: an evaluation, or folds, is one trial a metric, a sweep is a grid of
them. `units.parquet` holds them, one row a trial and unit. Means, differences and corrected p
values are views of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array
from savs.foundation.frames import schema_of
from savs.pipeline.running.result_files import read_table, reading
from savs.pipeline.statistics.intervals import (
    UnitWeights,
    estimate_over_draws,
    summarise,
    unit_rows,
    weigh_units,
)
from savs.pipeline.statistics.paired_tests import Difference, PairedTest, subtract

SWEEP = "savs sweep"
SUMMARY_FILE = "summary.parquet"
EXAMPLES_FILE = "examples.parquet"


class Point(NamedTuple):
    """What was measured, with one draw or more; None for what was not varied."""

    store: str | None
    readout: str
    heads: int
    """0 for what uses no heads: the model's own answers, and captions."""
    shots: int | None = None
    """None if all training examples were taken."""
    max_layer: int | None = None
    prompt: str | None = None


SETTING = ("readout", "heads", "shots", "max_layer", "prompt")
"""The columns of a point that stores of different examples have in common."""
POINT_SCHEMA = {"data_set": pl.String(), **schema_of(Point)}
"""The first columns of all tables of a sweep. Stores of the same examples have one `data_set`."""
UNIT_SCHEMA = pl.Schema(
    POINT_SCHEMA
    | {
        "metric": pl.String(),
        "scale": pl.String(),
        "unit": pl.UInt32(),
        "cluster": pl.String(),
        "stratum": pl.String(),
        "scores": pl.List(pl.Float64()),
        "chance": pl.Float64(),
        "pool_variance": pl.Float64(),
        "inflation": pl.Float64(),
    }
)
"""Columns of units.parquet. `unit` counts from 0 in each trial, in the order of the examples;
`scores` has one a draw. Of an evaluation `data_set` and `store` are null."""
FILLED = [name for name in UNIT_SCHEMA if name not in ("data_set", "store", *SETTING[2:])]
"""Columns that have every value."""
OF_A_TRIAL = (*POINT_SCHEMA, "metric", "scale", "chance", "pool_variance", "inflation")
"""Columns that are the same in all rows of a trial."""
Axis = Literal["readout", "max_layer", "prompt"]
"""What a sweep compares: with the first readout, the last layer, or the first prompt."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The scores of one metric's units at one point."""

    point: Point
    units: Units
    """For the name, the scale, the clusters, the strata, and the mean chance of the draws."""
    weights: UnitWeights
    scores: Array
    """`(draws, units)`, in one byte each where all are 0 or 1."""
    pool_variance: float = 0.0
    """What the pool of all draws adds to the variance of the mean, in variances between draws."""
    inflation: float = 1.0
    """Factor on the variance of the mean of one draw, see `Evaluation.inflation`."""
    data_set: str | None = None

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.scores)

    def frame(self) -> pl.DataFrame:
        """Return one row a unit, columns `UNIT_SCHEMA`."""
        table = self.units.scores.select("cluster", "stratum").with_row_index("unit")
        constants = {
            "data_set": self.data_set,
            **self.point._asdict(),
            "metric": self.units.name,
            "scale": self.units.scale,
            "chance": self.units.chance,
            "pool_variance": self.pool_variance,
            "inflation": self.inflation,
        }
        return table.with_columns(
            *(pl.lit(value).alias(name) for name, value in constants.items()),
            scores=pl.Series(self.scores.T.astype(float)).arr.to_list(),
        ).select(pl.col(name).cast(dtype) for name, dtype in UNIT_SCHEMA.items())

    def one_draw(self) -> pl.DataFrame:
        """Return `score`, `cluster` and `stratum` of the units in the first draw."""
        score = pl.Series("score", self.scores[0].astype(float))
        return self.units.scores.select(score, "cluster", "stratum")

    def in_clusters(self, cluster: pl.Series) -> "Trial":
        """Return the same scores with other clusters."""
        scores = self.units.scores
        if scores["cluster"].equals(cluster):
            return self
        scores = scores.with_columns(cluster=cluster)
        return replace(self, units=replace(self.units, scores=scores), weights=weigh_units(scores))

    def mean(self, *, within_draw: bool) -> dict[str, Any]:
        """Return `mean`, `low`, `high` and `clusters`, and the `sd` over draws.

        `within_draw` gives the interval of one draw over clusters alone; else it is over draws and
        clusters, and one draw has none.
        """
        if within_draw:
            one = summarise(replace(self.units, scores=self.one_draw()), inflation=self.inflation)
            return {"mean": one.value, "low": one.low, "high": one.high, "clusters": one.clusters}
        over = estimate_over_draws(
            self.weights,
            self.scores.astype(float),
            pool_variance=self.pool_variance,
            scale=self.units.scale,
        )
        low, high = over.interval()
        ends = {"low": low, "high": high}
        return {"mean": over.value, "sd": over.sd, **ends, "clusters": over.clusters}

    def minus(self, first: "Trial", *, within_draw: bool) -> Difference:
        """Return how much better this is than `first`, on the same units.

        `within_draw` compares one draw of each, as `savs compare` does of two evaluations; else
        draws of the same number are paired, and the interval is over draws and clusters. One draw
        alone then has no interval. A trial of one draw is compared with each draw of the other.
        ValueError if units, or numbers of draws, differ.
        """
        if within_draw:
            return subtract(first.one_draw(), self.one_draw(), scale=self.units.scale)
        over = estimate_over_draws(
            self.weights,
            self.scores.astype(float) - first.scores,
            pool_variance=max(self.pool_variance, first.pool_variance),
            scale=self.units.scale,
        )
        p, (low, high) = over.p(), over.difference_interval()
        return Difference(
            value=over.value,
            error=over.error,
            low=low,
            high=high,
            units=self.scores.shape[1],
            clusters=over.clusters,
            test=None if p is None else PairedTest("Student's t", p),
        )


def axis_of(points: Sequence[Point]) -> Axis:
    """Return what the points of a sweep are compared along."""
    if any(point.prompt is not None for point in points):
        return "prompt"
    return "readout" if all(point.max_layer is None for point in points) else "max_layer"


def reference(point: Point, along: Axis, points: Sequence[Point]) -> Point:
    """Return the point that another is compared with; itself for one that others are."""
    first = points[0]
    if along == "prompt":
        return point._replace(prompt=first.prompt)
    if along == "max_layer":
        return point._replace(max_layer=max(one.max_layer or 0 for one in points))
    # a method of 0 heads, or of a store with fewer, is compared with the first one's only number
    heads = [one.heads for one in points if one[:2] == first[:2]]
    number = point.heads if point.heads in heads else heads[0]
    return point._replace(store=first.store, readout=first.readout, heads=number)


def name_on(along: Axis, point: Point, several: bool) -> str:
    """Return what a point is called among others; `several` stores are named, too."""
    if along == "readout":
        return f"{point.store}:{point.readout}" if several else point.readout
    return str(getattr(point, along))


def units_of_evaluation(units: Sequence[Units], point: Point, inflation: float) -> pl.DataFrame:
    """Return the trials of one point and one draw, one a metric; columns `UNIT_SCHEMA`."""
    if not units:
        return pl.DataFrame(schema=UNIT_SCHEMA)
    sizes = [metric.scores.height for metric in units]
    facts = pl.DataFrame(
        {
            "metric": [metric.name for metric in units],
            "scale": [metric.scale for metric in units],
            "chance": [metric.chance for metric in units],
        }
    )
    rows = unit_rows([metric.scores for metric in units]).with_columns(
        facts[np.repeat(np.arange(len(sizes)), sizes)],
        unit=pl.Series(np.concatenate([np.arange(size, dtype=np.uint32) for size in sizes])),
        scores=pl.concat_list("score"),
    )
    constants = {"data_set": None, **point._asdict(), "pool_variance": 0.0, "inflation": inflation}
    columns = [pl.lit(value).alias(name) for name, value in constants.items()]
    return rows.with_columns(columns).select(list(UNIT_SCHEMA)).cast(UNIT_SCHEMA)


def read_units(path: Path, command: str) -> pl.DataFrame:
    """Read units.parquet, which `command` writes; columns `UNIT_SCHEMA`.

    ResultError if it is not there, or not as it was written.
    """
    table = read_table(path, UNIT_SCHEMA, FILLED, command)
    with reading(path, command):
        if table["scores"].list.len().eq(0).any() or table["scores"].explode().has_nulls():
            raise ValueError("column 'scores' has an empty cell")
    return table


def trials_of(units: pl.DataFrame) -> Iterator[Trial]:
    """Yield the trials of a table that `read_units` read, in its order.

    ValueError if the units of a trial have different numbers of draws.
    """
    weighed: dict[Any, UnitWeights] = {}
    rows_of: dict[Any, pl.DataFrame] = {}
    for key, part in units.group_by(OF_A_TRIAL, maintain_order=True):
        facts = dict(zip(OF_A_TRIAL, key, strict=True))
        draws = part["scores"].list.len()[0]
        if (part["scores"].list.len() != draws).any():
            raise ValueError("column 'scores' has other numbers of draws in one unit than another")
        scores = part["scores"].list.to_array(draws).to_numpy().T
        rows = part.select("cluster", "stratum").with_columns(score=scores[0])
        of_metric = facts["data_set"], facts["metric"]
        if not rows_of.get(of_metric, pl.DataFrame()).equals(rows.drop("score")):
            rows_of[of_metric], weighed[of_metric] = rows.drop("score"), weigh_units(rows)
        yield Trial(
            Point(*(facts[name] for name in Point._fields)),
            Units(facts["metric"], rows, facts["chance"], scale=facts["scale"]),
            weighed[of_metric],
            scores,
            facts["pool_variance"],
            facts["inflation"],
            facts["data_set"],
        )
