"""Are heads the best features? Sites of the demo model and a small CLIP on the same draws.

Each task has one pool of training examples, which the model reads once, for all sites together.
Shots are drawn from it as by `savs sweep`; sites are compared with heads of the same readout.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch.utils.flop_counter import FlopCounterMode

from method_comparison.table import CERTAIN
from method_comparison.tasks import Draw
from savs import extract, select, sweep
from savs.datasets import Units
from savs.datasets.splits.clusters import clusters_of
from savs.pipeline.evaluation.sweep.draws import make_draws
from savs.pipeline.evaluation.sweep.table import (
    Sweep,
    SweepTrials,
    headline,
    join_sweeps,
    with_methods,
)
from savs.pipeline.evaluation.trials import Point, Trial
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.readouts import find_readout
from savs.pipeline.running.formatting import counted, percent, points
from savs.pipeline.running.table import Table
from savs.pipeline.selection.left_out import leave_out
from savs.pipeline.selection.selection import choosable
from savs.pipeline.selection.training_data import StoredTraining, TrainingArrays
from savs.pipeline.targets.one import ONE_CLASS
from savs.stores import FeatureStore

SITES = (
    "heads",
    *("residual", "residual-slices", "attention", "attention-slices", "mlp", "mlp-slices", "norm"),
)
"""Stores of the demo model: heads, which others are compared with, then other sites, whole and in
slices, of which there are as many as heads."""
CLIP = "clip"
READOUTS = ("lda", "vote", "posterior", "logistic", "mahalanobis", "ridge")
"""The first has all shots and the control."""
POOL = 30
"""Training examples of each class that shots are drawn from."""
SHOTS = (1, 4, 16)
NUMBERS = (1, 5, DEFAULT_HEADS)
"""Numbers of heads, or of what a site has instead, that nested choice tries; and all of them."""
NEURON_SITES = SITES[:2]
NEURON_READOUTS = ("vote", "lda", "neurons")
EARLY = 1
"""Last layer of an early exit; the demo model has six layers."""
FLOP = "flop.json"
Stores = Mapping[str, FeatureStore]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one task gave."""

    stores: Stores
    flop: Mapping[str, float]
    """Store -> floating-point operations a prompt, checks before the run included."""
    readouts: Mapping[str, Sweep]
    """Readout -> all stores by shots, each paired with the heads."""
    control: Mapping[str, Sweep]
    """See `_control`."""
    neurons: Sweep
    """See `_neurons`."""


def measure(files: Draw, folder: Path, draws: int, seed: int) -> Measured:
    """Read a task with both models, or go on with what is there, and measure all stores."""
    stores, flop = _read(files, folder)
    readouts = {
        readout: sweep(
            stores,
            readouts=[readout],
            heads=[DEFAULT_HEADS],
            shots=SHOTS if readout == READOUTS[0] else SHOTS[-1:],
            draws=draws,
            seed=seed,
        )
        for readout in READOUTS
    }
    control, neurons = _control(stores, draws, seed), _neurons(stores, draws, seed)
    return Measured(stores, flop, readouts, control, neurons)


def _read(files: Draw, folder: Path) -> tuple[Stores, Mapping[str, float]]:
    """Return the stores, and the FLOP of a prompt; after a run that was cut, of its second part."""
    runs: dict[str, Any] = {"demo": {"site": ",".join(SITES), "dtype": "float32"}, "demo-clip": {}}
    stores: dict[str, FeatureStore] = {}
    for model, options in runs.items():
        with FlopCounterMode(display=False) as counter:
            done = extract(
                files.benchmark, **files.keywords(), model=model, **options, out=folder / model
            )
        if done.rows:
            spent = counter.get_total_flops() / done.rows
            (folder / f"{model}-{FLOP}").write_text(json.dumps(spent))
        stores |= done.stores if model == "demo" else {CLIP: done.store}
    spent = {
        model: json.loads((folder / f"{model}-{FLOP}").read_text())
        for model in ("demo", "demo-clip")
    }
    return stores, {name: spent["demo-clip" if name == CLIP else "demo"] for name in stores}


def _control(stores: Stores, draws: int, seed: int) -> dict[str, Sweep]:
    """Return what is left of differences if stores may choose less, or each as it is best for it.

    The best one alone, `DEFAULT_HEADS`, all, and the number of `NUMBERS` that is best by
    cross-validation within each draw.
    """
    name, first = next(iter(stores.items()))
    columns = {
        text: SweepTrials(name, "readout", pool=StoredTraining(first).tasks())
        for text in ("best one", f"best {DEFAULT_HEADS}", "all", "nested choice")
    }
    examples = pl.DataFrame()
    for name, store in stores.items():
        most = len(store.heads)
        counts = sorted({min(number, most) for number in (*NUMBERS, most)})
        swept = sweep(
            store,
            readouts=READOUTS[:1],
            heads=counts,
            shots=SHOTS[-1:],
            draws=draws,
            seed=seed,
        )
        metric, examples = swept.summary["metric"][0], swept.examples
        by_count = {one.point.heads: one for one in swept.trials if one.units.name == metric}
        nested = list(_nested_numbers(store, counts, draws, seed))
        wanted = ([1] * draws, [min(DEFAULT_HEADS, most)] * draws, [most] * draws, nested)
        for scores, numbers in zip(columns.values(), wanted, strict=True):
            for draw, number in enumerate(numbers):
                point = Point(name, READOUTS[0], min(DEFAULT_HEADS, most), SHOTS[-1])
                scores.add(point, draw, [_units(by_count[number], draw)])
    methods = [(name, READOUTS[0]) for name in stores]
    return {text: scores.sweep(methods, examples) for text, scores in columns.items()}


def _neurons(stores: Stores, draws: int, seed: int) -> Sweep:
    """Return heads, whole residual layers and the neurons of both, of all layers and the first.

    `DEFAULT_HEADS` of each, or all if there are fewer.
    """
    first, last = NEURON_SITES[0], stores[NEURON_SITES[0]].grid[-1].layer
    examples, methods = pl.DataFrame(), []
    trials = SweepTrials(first, "readout", pool=StoredTraining(stores[first]).tasks())
    for depth in (last, EARLY):
        for name, readout in product([s for s in NEURON_SITES if s in stores], NEURON_READOUTS):
            among = choosable(find_readout(readout), stores[name].grid, depth)
            swept = sweep(
                stores[name],
                readouts=[readout],
                heads=[min(DEFAULT_HEADS, len(among))],
                shots=SHOTS,
                max_layers=[depth],
                draws=draws,
                seed=seed,
            )
            metric, examples = swept.summary["metric"][0], swept.examples
            label = readout if depth == last else f"{readout}, layers 0 to {depth}"
            methods.append((name, label))
            for one in swept.trials:
                if one.units.name == metric and one.point.max_layer == depth:
                    point = Point(name, label, DEFAULT_HEADS, one.point.shots)
                    for draw in range(draws):
                        trials.add(point, draw, [_units(one, draw)])
    return trials.sweep(methods, examples)


def _nested_numbers(
    store: FeatureStore, counts: Sequence[int], draws: int, seed: int
) -> Iterator[int]:
    """Yield for each draw the number that its own folds classify best; of equals the least."""
    tasks, values = StoredTraining(store).tasks(), store.features("train")
    clusters = clusters_of(store.examples("train"))
    for draw in make_draws(tasks, SHOTS[-1:], draws, seed):
        rows = draw.task.rows
        drawn = TrainingArrays(
            source=store.manifest.identity.source(),
            values=values[:, rows],
            labels=[draw.task.classes[number] for number in draw.task.labels],
            names=draw.task.classes,
            ids=clusters[rows.tolist()].to_list(),
            target=ONE_CLASS,
        )
        right = []
        for count in counts if len(counts) > 1 else ():
            (part,) = leave_out(drawn, select(drawn, heads=count, readout=READOUTS[0]))
            right.append((part.scores.choice == part.labels).mean())
        yield counts[int(np.argmax(right))] if right else counts[0]


def _units(one: Trial, draw: int) -> Units:
    """Return the scores of one draw."""
    scores = pl.Series(one.scores[draw].astype(float))
    return replace(one.units, scores=one.units.scores.with_columns(score=scores))


def tables(measured: Mapping[str, Measured]) -> list[Table]:
    """Return readouts and shots as means over tasks, each task, and the control.

    FLOP are those of the last task.
    """
    first, *_, last = measured.values()
    means = over_tasks(measured)
    columns = {
        f"{readout}, {counted(shots, 'shot')}": mean.filter(shots=shots)
        for readout, mean in means.items()
        for shots in mean["shots"].unique().sort()
    }
    header, rows = _site_cells(first.stores, columns)
    cost = [_cost(store, last.flop[name]) for name, store in first.stores.items()]
    whole = Table.of_cells(
        [header[0], "candidates", "bytes", "MFLOP", *header[1:]],
        [[row[0], *costs, *row[1:]] for row, costs in zip(rows, cost, strict=True)],
    )
    of_task = {
        name: _most_shots(one.readouts[READOUTS[0]].summary) for name, one in measured.items()
    }
    control = {
        text: join_sweeps({name: one.control[text] for name, one in measured.items()}).over_stores()
        for text in first.control
    }
    return [
        whole,
        Table.of_cells(*_site_cells(first.stores, of_task, has_intervals=False)),
        Table.of_cells(*_site_cells(first.stores, control)),
        _neuron_table(measured),
    ]


def _neuron_table(measured: Mapping[str, Measured]) -> Table:
    """Return the means over tasks by shots, and how far they differ from the vote of heads."""
    means = join_sweeps({name: one.neurons for name, one in measured.items()}).over_stores()
    rows: dict[str, list[str]] = {}
    for row in means.sort("shots", maintain_order=True).iter_rows(named=True):
        text = percent(row["mean"])
        if row["difference"] is not None:
            low, high = points(row["difference_low"]), points(row["difference_high"])
            text += f", {points(row['difference'])} ({low} .. {high})"
        rows.setdefault(row["readout"], []).append(text)
    header = ["of", *(counted(shots, "shot") for shots in SHOTS)]
    return Table.of_cells(header, [[name, *cells] for name, cells in rows.items()])


def all_rows(measured: Mapping[str, Measured]) -> pl.DataFrame:
    """Return all means with their paired intervals over draws and test examples, task by task."""
    return pl.concat(
        sweep.summary.with_columns(data_set=pl.lit(task), choice=pl.lit(choice))
        for task, one in measured.items()
        for choice, sweeps in (
            ("", one.readouts),
            *((name, {name: swept}) for name, swept in one.control.items()),
            ("neurons", {"": one.neurons}),
        )
        for sweep in sweeps.values()
    )


def over_tasks(measured: Mapping[str, Measured]) -> dict[str, pl.DataFrame]:
    """Return for each readout the means over tasks, see `Sweep.over_stores`."""
    return {
        readout: join_sweeps(
            {name: one.readouts[readout] for name, one in measured.items()}
        ).over_stores()
        for readout in READOUTS
    }


def _most_shots(summary: pl.DataFrame) -> pl.DataFrame:
    rows = with_methods(headline(summary))
    return rows.filter(pl.col("shots") == rows["shots"].max())


def _site_cells(
    stores: Stores, columns: Mapping[str, pl.DataFrame], *, has_intervals: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Return the header, and a row a store: the mean of the first, and how far others differ."""
    rows = []
    for name in stores:
        cells = []
        for column in columns.values():
            (row,) = column.filter(pl.col("readout").str.starts_with(f"{name}:")).to_dicts()
            text = points(row["difference"])
            if row["difference"] is None:
                text = percent(row["mean"])
            elif has_intervals:
                text += f" ({points(row['difference_low'])} .. {points(row['difference_high'])})"
            elif row["p_holm"] is not None and row["p_holm"] < CERTAIN:
                text += "*"
            cells.append(text)
        rows.append([name, *cells])
    return ["site", *columns], rows


def _cost(store: FeatureStore, flop: float) -> list[str]:
    grid = store.grid[0]
    count = f"{len(store.heads)} x {grid.head_dim}"
    return [count, f"{store.manifest.identity.row_bytes:,}", f"{flop / 1e6:.0f}"]
