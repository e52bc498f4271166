"""Result folders made from lists of right and wrong, without a store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets import Benchmark, find_benchmark
from savs.pipeline import Evaluation, save_evaluation
from savs.pipeline.evaluation.predictions import in_schema
from savs.pipeline.evaluation.statistics.intervals import summarise


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
    units = (benchmark or find_benchmark("general")).measure(whole, classes)
    skipped = sum(hit is None for hit in right)
    result = Evaluation(
        metrics=tuple(map(summarise, units)),
        units=tuple(units),
        table=in_schema(whole.lazy()),
        selection=None,
        **{"model": {}, "planned": rows, "skipped": skipped, "notes": ()} | dict(facts or {}),
    )
    save_evaluation(result, folder)
    return folder
