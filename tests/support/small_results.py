"""Result folders made from lists of right and wrong, without a store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from savs import Evaluation, save_evaluation
from savs.datasets import Benchmark, find_benchmark
from savs.pipeline.statistics.intervals import summarise
from savs.pipeline.targets.one import ONE_CLASS
from savs.pipeline.targets.tasks import Measuring


def save_result(
    folder: Path,
    right: Sequence[int | None],
    *,
    stem: str = "test",
    labels: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
    benchmark: Benchmark | None = None,
    facts: Mapping[str, Any] | None = None,
    **columns: Sequence[str],
) -> Path:
    """Write the results of examples that are right (1), wrong (0) or skipped (None).

    `facts` are further fields of the `Evaluation`, `columns` further columns of the examples.
    """
    rows = len(right)
    labels = list(labels or ("ab" * rows)[:rows])
    whole = pl.DataFrame(
        {
            **dict.fromkeys(("group", "subtask", "category", "leak"), [None] * rows),
            "id": [f"{stem}:{i}" for i in range(rows)],
            "split": ["test"] * rows,
            "label": labels,
            "prediction": [
                None if hit is None else label if hit else "other"
                for hit, label in zip(right, labels, strict=True)
            ],
            "correct": [bool(hit) for hit in right],
            "cluster": list(clusters or map(str, range(rows))),
            **columns,
        }
    )
    subtasks = whole["subtask"].unique(maintain_order=True)
    classes = {subtask: list(dict.fromkeys(labels)) for subtask in subtasks}
    given = {"skipped": sum(hit is None for hit in right), **(facts or {})}
    return save_table(folder, whole.lazy(), classes, benchmark, **given)


def save_table(
    folder: Path,
    predictions: pl.LazyFrame,
    classes: Mapping[str | None, Sequence[str]],
    benchmark: Benchmark | None = None,
    **facts: Any,
) -> Path:
    """Write the results that predictions give; `facts` are further fields of the `Evaluation`."""
    whole, metrics = predictions.collect(), (benchmark or find_benchmark("general")).measure
    how = Measuring(metrics=lambda _table, of: list(metrics(whole, of)))
    measured = ONE_CLASS.measure(predictions, None, classes, how)
    result = Evaluation(
        metrics=tuple(map(summarise, measured.units)),
        units=tuple(measured.units),
        table=measured.table,
        tables=measured.tables,
        selection=None,
        **{"model": {}, "planned": whole.height, "skipped": 0, "notes": (), **facts},
    )
    save_evaluation(result, folder)
    return folder
