"""The one table of results that every sweep gives, and its views: means, differences, stores.

`Sweep.values` is long: one row for each point, draw and metric. A point says what was measured:
store, readout, heads, shots, last layer, prompt; a column that a sweep does not vary is null. The
views are made of the units' scores: `summary` over draws, paired with the first readout, the last
layer or the first prompt, and `over_stores` over stores of different examples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.foundation.arrays import Array
from savs.foundation.frames import lazy_frames
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.draws import pool_variance
from savs.pipeline.evaluation.trials import (
    EXAMPLES_FILE,
    POINT_SCHEMA,
    SETTING,
    SUMMARY_FILE,
    SWEEP,
    UNIT_SCHEMA,
    Axis,
    Point,
    Trial,
    name_on,
    reference,
)
from savs.pipeline.running.formatting import counted, listed, measured
from savs.pipeline.running.result_files import UNITS, read_table, write_table, writing
from savs.pipeline.selection.training_data import TrainingTask
from savs.pipeline.statistics.intervals import UnitWeights, weigh_units
from savs.pipeline.statistics.paired_tests import (
    correct,
    difference_over_data_sets,
    mean_over_data_sets,
)

VALUES_FILE = "values.parquet"
STORES_FILE = "stores.parquet"
VALUES_SCHEMA = POINT_SCHEMA | {
    "draw": pl.Int64(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "chance": pl.Float64(),
    "units": pl.Int64(),
}
_DIFFERENCE_SCHEMA = {
    "difference": pl.Float64(),
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
    "p": pl.Float64(),
    "p_holm": pl.Float64(),
}
SUMMARY_SCHEMA = POINT_SCHEMA | {
    "share": pl.Float64(),
    "metric": pl.String(),
    "scale": pl.String(),
    "mean": pl.Float64(),
    "sd": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "chance": pl.Float64(),
    "draws": pl.Int64(),
    "units": pl.Int64(),
    "clusters": pl.Int64(),
    "against": pl.String(),
    **_DIFFERENCE_SCHEMA,
    "error": pl.Float64(),
    "test": pl.String(),
}
STORES_SCHEMA = {name: POINT_SCHEMA[name] for name in SETTING} | {
    "stores": pl.Int64(),
    "mean": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    **_DIFFERENCE_SCHEMA,
    "wins": pl.Int64(),
    "ties": pl.Int64(),
    "losses": pl.Int64(),
}
"""Columns of `Sweep.over_stores`. A store is a win or a loss if the interval of its own difference
does not contain 0."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep measured. `shots` is null if all training examples were taken."""

    values: pl.DataFrame
    """One row a point, draw and metric; columns `VALUES_SCHEMA`."""
    summary: pl.DataFrame
    """One row a point and metric: `mean` and `sd` over draws, the 95 % interval `low`, `high` over
    draws and clusters, and the paired difference to `against`, on the same draws and units. The
    headline metric comes first. Columns `SUMMARY_SCHEMA`.

    One draw does not show how much draws differ: readouts then have no interval. Depths and
    prompts, which are compared within the draw, have that over test examples, as in `evaluate`.
    `p_holm` corrects all headline rows of a data set, and is null for other metrics."""
    trials: tuple[Trial, ...] = field(repr=False)
    """What the tables are views of, point by point."""
    examples: pl.DataFrame = field(repr=False)
    """The measured examples, one row each, see `IDENTITY_SCHEMA`."""
    notes: tuple[str, ...] = ()
    """What a reader must know, a sentence each: readouts that a store lacks, examples that are left
    out."""
    files: tuple[Path, ...] = ()
    """Where it was saved, if it was."""

    def __repr__(self) -> str:
        """Return a few lines: its size, the best of the headline metric, and where more is."""
        lines = [f"Sweep({counted(self.summary.height, 'row')} of a point and metric)"]
        headline = self.summary.filter(pl.col("metric") == self.summary["metric"].first())
        is_error = headline["scale"].first() == "error"
        best = headline.sort("mean", descending=not is_error, maintain_order=True).head(1)
        for row in best.iter_rows(named=True):
            shots = "all" if row["shots"] is None else row["shots"]
            lines.append(
                f"  best {row['metric']}: {measured(row['mean'], row['scale'])},"
                f" {row['readout']} of"
                f" {counted(row['heads'], 'head')}, shots: {shots}"
            )
        lines.append("  next: sweep.summary, sweep.values")
        return "\n".join(lines)

    @property
    def units(self) -> pl.LazyFrame:
        """One row a trial and unit, with its `scores` in all draws.

        Columns `UNIT_SCHEMA`. It is made trial by trial, so that memory need not hold it.
        """
        return lazy_frames(
            lambda: (trial.frame() for trial in self.trials), UNIT_SCHEMA, "savs sweep units"
        )

    def over_stores(self) -> pl.DataFrame:
        """Return means over stores of different examples, as `STORES_SCHEMA`.

        They are those of the headline metric and of the differences. Each store counts the same.
        Intervals are Student's t over stores, p is that of a sign-flip test over stores. A row is a
        point that all stores have; SelectionError if there is none.
        """
        rows = with_methods(headline(self.summary)).drop("store")
        count = rows["data_set"].n_unique()
        means = [
            _over_stores(point, stores)
            for point, stores in rows.group_by(SETTING, maintain_order=True)
            if stores.height == count
        ]
        if not means:
            raise SelectionError(
                "the stores have no number of heads and shots in common; pass `heads` and `shots`"
                " that all have"
            )
        correct(means)
        return pl.DataFrame(means, schema=STORES_SCHEMA)


def _over_stores(point: tuple[Any, ...], stores: pl.DataFrame) -> dict[str, Any]:
    mean = mean_over_data_sets(stores["mean"].to_list())
    row = dict(zip(SETTING, point, strict=True)) | {"stores": stores.height}
    row |= {"mean": mean.value, "low": mean.low, "high": mean.high}
    pairs = stores.drop_nulls("difference")
    if not pairs.height:
        return row
    over = difference_over_data_sets(
        pairs["difference"].to_list(), pairs.select("difference_low", "difference_high").rows()
    )
    return row | over.row("difference_")


def headline(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of each data set's first metric."""
    return table.filter(pl.col("metric") == pl.col("metric").first().over("data_set"))


def with_methods(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose readouts are `STORE:READOUT` if a data set has several stores."""
    name = pl.format("{}:{}", "store", "readout")
    several = pl.col("store").n_unique().over("data_set") > 1
    return table.with_columns(readout=pl.when(several).then(name).otherwise("readout"))


def join_sweeps(sweeps: Mapping[str, Sweep]) -> Sweep:
    """Return sweeps of stores of different examples as one table: each is a `data_set`.

    `sweeps` are by the name of the data set. SelectionError for fewer than two, and for errors.
    """
    if len(sweeps) < 2:
        raise SelectionError(f"{len(sweeps)} sweep given, expected two stores or more")
    for name, one in sweeps.items():
        if (headline(one.summary)["scale"] == "error").any():
            raise SelectionError(
                f"the headline of {name} is an error in the unit of its labels: it has no"
                " mean over data sets; sweep each by itself"
            )
    names = [pl.lit(name).alias("data_set") for name in sweeps]
    pairs = list(zip(names, sweeps.values(), strict=True))
    return Sweep(
        values=pl.concat(one.values.with_columns(name) for name, one in pairs),
        summary=pl.concat(one.summary.with_columns(name) for name, one in pairs),
        trials=tuple(
            replace(trial, data_set=name) for name, one in sweeps.items() for trial in one.trials
        ),
        examples=pl.concat(one.examples.with_columns(name) for name, one in pairs),
        notes=tuple(dict.fromkeys(note for one in sweeps.values() for note in one.notes)),
    )


@dataclass(slots=True)
class SweepTrials:
    """Collects the trials of one data set, draw by draw, and makes the tables of them.

    The units are the same at all points, so that arrays of scores are enough. A metric that is not
    defined in some draw, such as the correlation of predictions that are all equal, is left out.
    """

    data_set: str
    along: Axis
    pool: Sequence[TrainingTask] = ()
    """What draws are taken from, the same examples in all stores; empty if none are drawn."""
    drawn: Mapping[int | None, float] = field(default_factory=dict)
    """Shots -> examples that a draw has in the mean, of many labels: a class of `pool` is then all
    examples."""
    layers: int | None = None
    """Number of decoder layers, for `share`."""
    inflation: float = 1.0
    """Factor on the variance of the mean of one draw, see `Evaluation.inflation`."""
    _metrics: dict[str, tuple[Units, UnitWeights]] = field(default_factory=dict)
    _draws: dict[Point, dict[int, dict[str, tuple[Array, float]]]] = field(default_factory=dict)
    """Draws of each point: of each metric the scores of its units, and its chance."""

    def add(self, point: Point, draw: int, metrics: Sequence[Units]) -> None:
        """Keep the metrics of a draw at a point.

        SelectionError if a metric has other units than in the first draw.
        """
        for units in metrics:
            if units.name not in self._metrics:
                self._metrics[units.name] = units, weigh_units(units.scores)
                continue
            first = self._metrics[units.name][0].scores
            same = [frame.select("cluster", "stratum") for frame in (first, units.scores)]
            if not same[0].equals(same[1]):
                raise SelectionError(
                    f"metric {units.name!r} has other units in one draw than in another, expected"
                    " the same in all: `measure` of the benchmark must not choose units by their"
                    " predictions"
                )
        scores = {units.name: (_small(units.scores["score"]), units.chance) for units in metrics}
        self._draws.setdefault(point, {})[draw] = scores

    def sweep(
        self, methods: Sequence[tuple[str, str]], examples: pl.DataFrame, notes: Sequence[str] = ()
    ) -> Sweep:
        """Return the tables, in the order of the methods: pairs of store and readout."""
        places = {method: place for place, method in enumerate(methods)}
        points = sorted(self._draws, key=lambda point: _place(point, places))
        everywhere = [draw for draws in self._draws.values() for draw in draws.values()]
        absent = {n for n in self._metrics if not all(n in metrics for metrics in everywhere)}
        if absent:
            notes = [*notes, f"not defined in all draws, and left out: {listed(sorted(absent))}"]
            self._metrics = {n: own for n, own in self._metrics.items() if n not in absent}
        trials = {(point, n): self._trial(point, n) for point in points for n in self._metrics}
        rows = [self._summary(trial, trials, points) for trial in trials.values()]
        correct([row for row in rows if row["metric"] == next(iter(self._metrics))])
        return Sweep(
            values=pl.DataFrame(list(self._values(points)), schema=VALUES_SCHEMA),
            summary=pl.DataFrame(rows, schema=SUMMARY_SCHEMA),
            trials=tuple(trials.values()),
            examples=examples.with_columns(data_set=pl.lit(self.data_set)),
            notes=tuple(notes),
        )

    def _trial(self, point: Point, metric: str) -> Trial:
        units, weights = self._metrics[metric]
        scores, chances = zip(*(draw[metric] for draw in self._draws[point].values()), strict=True)
        chance = chances[0] if len(set(chances)) == 1 else float(np.mean(chances))
        pool = pool_variance(self.pool, self.drawn.get(point.shots, point.shots))
        units = replace(units, chance=chance)
        return Trial(point, units, weights, np.stack(scores), pool, self.inflation, self.data_set)

    def _values(self, points: Sequence[Point]) -> Iterator[dict[str, Any]]:
        for point in points:
            for draw, metrics in self._draws[point].items():
                for name, (_, weights) in self._metrics.items():
                    scores, chance = metrics[name]
                    yield self._names(point) | {
                        "draw": draw,
                        "metric": name,
                        "value": weights.value(scores.astype(float)),
                        "chance": chance,
                        "units": len(scores),
                    }

    def _names(self, point: Point) -> dict[str, Any]:
        return {"data_set": self.data_set, **point._asdict()}

    def _summary(
        self, here: Trial, trials: Mapping[tuple[Point, str], Trial], points: Sequence[Point]
    ) -> dict[str, Any]:
        point, units = here.point, here.units
        # depths and prompts are compared within a draw: one draw has an interval over examples
        within_draw = self.along != "readout" and here.draws == 1
        row = self._names(point) | {
            "metric": units.name,
            "scale": units.scale,
            **here.mean(within_draw=within_draw),
            "chance": units.chance,
            "draws": here.draws,
            "units": here.scores.shape[1],
        }
        if point.max_layer is not None and self.layers:
            row["share"] = (point.max_layer + 1) / self.layers
        first = reference(point, self.along, points)
        if first != point:
            several = len({one.store for one in points}) > 1
            row["against"] = name_on(self.along, first, several)
            apart = here.minus(trials[first, units.name], within_draw=within_draw)
            row |= apart.row("difference_")
        return row


def _place(point: Point, methods: Mapping[tuple[str, str], int]) -> tuple[float, ...]:
    """Return the sort key of a point; prompts keep their order."""
    shots = float("inf") if point.shots is None else point.shots
    depth = -1 if point.max_layer is None else point.max_layer
    return methods[str(point.store), point.readout], shots, point.heads, depth


def _small(scores: pl.Series) -> Array:
    """Return scores in one byte each where all are 0 or 1."""
    values = scores.cast(pl.Float64).to_numpy()
    return values.astype(np.uint8) if np.isin(values, (0, 1)).all() else values


def save_sweep(sweep: Sweep, folder: Path) -> list[Path]:
    """Write the tables of a sweep and return their paths.

    SelectionError if stores of different examples have no point in common; StoreWriteError if the
    folder cannot be written.
    """
    tables = {
        VALUES_FILE: sweep.values,
        SUMMARY_FILE: sweep.summary,
        UNITS: sweep.units,
        EXAMPLES_FILE: sweep.examples,
    }
    if sweep.summary["data_set"].n_unique() > 1:
        tables[STORES_FILE] = sweep.over_stores()
    with writing(folder) as new:
        for name, table in tables.items():
            write_table(new / name, table)
    return [folder / name for name in tables]


def load_summary(folder: Path) -> pl.DataFrame:
    """Return the summary of a sweep, columns `SUMMARY_SCHEMA`.

    ResultError if the file is not there, or not as `save_sweep` wrote it.
    """
    filled = ["data_set", "store", "readout", "heads", "metric", "scale", "mean", "chance", "draws"]
    return read_table(folder / SUMMARY_FILE, pl.Schema(SUMMARY_SCHEMA), filled, SWEEP)
