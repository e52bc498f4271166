"""From saved results to the table: means over draws with intervals, differences, cost."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from method_comparison.methods import CPU, METHODS, Method, has_result
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.compare.trial_sets import read_result
from savs.pipeline.evaluation.results import Results
from savs.pipeline.statistics.intervals import (
    DrawEstimate,
    estimate_over_draws,
    weigh_units,
)
from savs.pipeline.statistics.paired_tests import holm

Bounds = tuple[float, float] | tuple[None, None]
CERTAIN = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """A readout on a task."""

    task: str
    method: str
    model: str
    readout: str
    draws: int
    mean: float
    sd: float | None
    """Over draws of the training set; None for one, and 0 for what uses no training example."""
    bounds: Bounds
    """95 % interval over draws and test questions; for one draw over test questions."""
    chance: float
    difference: float | None
    """To the first readout of the first method, on the same draws and questions."""
    difference_bounds: Bounds
    p: float | None
    p_holm: float | None
    """p by Holm's correction over all rows."""
    forwards: int | None
    trained: int
    """Passes with gradients."""
    cpu_s: float
    """Processor seconds of a draw, the median: training, loading, checks, prompts of both splits,
    and all readouts of the store."""

    def to_json(self) -> dict[str, Any]:
        """Return the row that table.csv has."""
        low, high = self.bounds
        difference_low, difference_high = self.difference_bounds
        plain = {n: getattr(self, n) for n in self.__slots__ if not n.endswith("bounds")}
        return plain | {
            "low": low,
            "high": high,
            "difference_low": difference_low,
            "difference_high": difference_high,
        }


def cells(runs: Path, tasks: Mapping[str, int], draws: int) -> list[Cell]:
    """Return all rows; `tasks` has the training examples of each task's draws."""
    rows = [cell for task in tasks for cell in _cells(runs / task, task, tasks[task], draws)]
    tested = [cell for cell in rows if cell.p is not None]
    corrected = holm([cell.p for cell in tested if cell.p is not None])
    known = dict(zip(map(id, tested), corrected, strict=True))
    return [replace(cell, p_holm=known.get(id(cell))) for cell in rows]


def _cells(runs: Path, task: str, train: int, draws: int) -> Iterator[Cell]:
    first: Array | None = None
    for method in METHODS:
        folders = [runs / f"draw-{n}" / method.name for n in range(draws if method.learns else 1)]
        for readout in method.readouts:
            if not has_result(folders[0], readout):
                continue
            results = [read_result(Results(f / "store").place(readout).folder) for f in folders]
            metric, units = next(iter(results[0].units().items()))
            facts = next(m for m in results[0].metrics["metrics"] if m["name"] == metric)
            scores = np.stack([result.units()[metric]["score"].to_numpy() for result in results])
            scores = np.broadcast_to(scores, (draws, scores.shape[1]))
            first = scores if first is None else first
            weights = weigh_units(units)
            value = estimate_over_draws(weights, scores)
            apart = None if scores is first else estimate_over_draws(weights, scores - first)
            yield Cell(
                *(task, method.name, method.model, readout, draws, value.value, value.sd),
                bounds=value.interval() if draws > 1 else (facts["low"], facts["high"]),
                chance=facts["chance"],
                difference=None if apart is None else apart.value,
                difference_bounds=(None, None) if apart is None else apart.difference_interval(),
                p=None if apart is None else _p(apart),
                p_holm=None,
                forwards=results[0].metrics["cost"]["forwards"],
                trained=method.trained(train),
                cpu_s=float(np.median([_cpu(folder) for folder in folders])),
            )


def _p(apart: DrawEstimate) -> float | None:
    """Return p; 1 for two readouts that never differ."""
    return 1.0 if apart.error == 0 and apart.value == 0 else apart.p()


def _cpu(folder: Path) -> float:
    return json.loads((folder / CPU).read_text())["cpu_s"]


def as_frame(rows: Sequence[Cell]) -> pl.DataFrame:
    """Return all rows with all numbers."""
    return pl.DataFrame([cell.to_json() for cell in rows], infer_schema_length=None)


def as_markdown(rows: Sequence[Cell]) -> str:
    """Return accuracies, a row a method and a column a task, and what each method costs."""
    tasks = list(dict.fromkeys(cell.task for cell in rows))
    by = {(cell.method, cell.readout, cell.task): cell for cell in rows}
    lines = [
        f"| method | {' | '.join(tasks)} | forwards | CPU s |",
        "| --- " * (len(tasks) + 3) + "|",
        "| chance | " + " | ".join(f"{100 * _chance(rows, t):.0f}" for t in tasks) + " | | |",
    ]
    for method in METHODS:
        for readout in method.readouts:
            of_method = [by.get((method.name, readout, task)) for task in tasks]
            known = [cell for cell in of_method if cell is not None]
            if known:
                texts = [_text(cell) for cell in of_method]
                cost = [_forwards(known), f"{np.mean([cell.cpu_s for cell in known]):.1f}"]
                lines.append(f"| {' | '.join([_name(method, readout), *texts, *cost])} |")
    return "\n".join(lines)


def _name(method: Method, readout: str) -> str:
    called = {"vote": "SAVs (`vote`)", "logistic": "`logistic`, linear probe"}
    if method.lora:
        return f"LoRA + `{readout}`"
    name = called.get(readout, f"`{readout}`")
    return name if method.model == "demo" else f"CLIP, {name}"


def _chance(rows: Sequence[Cell], task: str) -> float:
    return next(cell.chance for cell in rows if cell.task == task)


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    low, high = cell.bounds
    certain = cell.p_holm is not None and cell.p_holm < CERTAIN
    interval = "" if low is None or high is None else f" ({100 * low:.0f} .. {100 * high:.0f})"
    return f"{100 * cell.mean:.1f}{'*' * certain}{interval}"


def _forwards(known: Sequence[Cell]) -> str:
    counts = [cell.forwards for cell in known if cell.forwards is not None]
    trained = np.mean([cell.trained for cell in known])
    text = f"{np.mean(counts):.0f}" if len(counts) == len(known) else "-"
    return f"{text} + {trained:.0f}" if trained else text
