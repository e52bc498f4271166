"""Small stores made from arrays, without a model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from savs.stores import (
    FeatureStore,
    Identity,
    LayerGrid,
    PlannedRow,
    ShardContent,
    open_store,
    open_writer,
)
from savs.stores.format.layout import digest

GRID = (LayerGrid(0, (0, 1), 4), LayerGrid(2, (0, 1, 2), 4))
"""Layer 1 is absent, layers differ in their number of heads."""


def identity(
    dtype: str = "float32",
    grid: tuple[LayerGrid, ...] = GRID,
    model: str = "toy",
    options: Mapping[str, Any] | None = None,
    benchmark: str = "general",
) -> Identity:
    """Return the identity of a toy model's features."""
    return Identity(
        model={"name": model, "revision": None, "class": "Toy", "config": "c", "weights": "w"},
        processor={"class": "ToyProcessor", "settings": "s"},
        dtype=dtype,
        benchmark={"name": benchmark, "options": dict(options or {})},
        prompt="p",
        grid=grid,
    )


def to_stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values as a shard holds them: bfloat16 as its bits."""
    if dtype == "bfloat16":
        return values.astype(ml_dtypes.bfloat16).view(np.uint16)
    return values.astype(dtype)


def columns(split: str, rows: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, list[Any]]:
    """Return the columns of rows that give `label` and what else they want."""
    found = {
        "index": [row.get("index", start + i) for i, row in enumerate(rows)],
        "id": [row.get("id", f"{split}:{start + i}") for i, row in enumerate(rows)],
        "split": [split] * len(rows),
        "media": [json.loads(row.get("media", "[]")) for row in rows],
        "media_sha256": [json.loads(row.get("media_sha256", "[]")) for row in rows],
        "extra": [row.get("extra", "{}") for row in rows],
        "prompt": [row.get("prompt", "?") for row in rows],
    }
    for name in ("label", "group", "subtask", "category"):
        found[name] = [row.get(name) for row in rows]
    if any("thumbnail" in row for row in rows):
        found["thumbnail"] = [row.get("thumbnail") for row in rows]
    return found


def planned(split: str, count: int, groups: Sequence[str] = ()) -> list[PlannedRow]:
    """Return planned rows with the ids that `columns` gives."""
    pairs = zip_longest(range(count), groups, fillvalue="")
    return [PlannedRow(f"{split}:{i}", digest([split, i]), group) for i, group in pairs]


def write_store(
    folder: Path,
    what: Identity,
    features: Mapping[str, Mapping[int, np.ndarray]],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    outputs: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    skipped: Mapping[str, Sequence[int]] | None = None,
    shard_rows: int = 1000,
    batching: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
) -> FeatureStore:
    """Write a complete store: split -> layer -> `(heads, rows, d)`, and split -> columns of rows.

    Rows of one of `groups` lie side by side in the shards. Those of `skipped` have no features.
    """
    cells = {
        split: [{"index": i, "id": f"{split}:{i}", **row} for i, row in enumerate(some)]
        for split, some in rows.items()
    }
    plan = {
        split: [
            replace(row, id=cell["id"])
            for row, cell in zip(
                planned(split, len(some), (groups or {}).get(split, ())), some, strict=True
            )
        ]
        for split, some in cells.items()
    }

    def content(split: str, part: list[int]) -> ShardContent:
        gone = [i for i in part if i in (skipped or {}).get(split, ())]
        kept = [i for i in part if i not in gone]
        return ShardContent(
            layers={
                layer: np.ascontiguousarray(to_stored(values[:, kept], what.dtype))
                for layer, values in features[split].items()
            },
            examples=columns(split, [cells[split][i] for i in kept]),
            skipped=columns(split, [cells[split][i] for i in gone])
            | {"reason": ["no image"] * len(gone)},
            run=run or {"made": "by hand"},
            outputs={name: values[kept] for name, values in (outputs or {}).get(split, {}).items()},
        )

    with open_writer(folder, what, plan, shard_rows=shard_rows) as writer:
        if batching is not None:
            writer.settle_batching(batching)
        for spec in writer.missing():
            part = list(writer.manifest.plan.splits[spec.split].rows(spec))
            writer.write(spec, content(spec.split, part))
        writer.seal()
    return open_store(folder)


def make_store(
    folder: Path,
    train: np.ndarray,
    train_labels: Sequence[str],
    test: np.ndarray,
    test_labels: Sequence[str],
    *,
    dtype: str = "float32",
    shard_rows: int = 3,
    train_rows: Sequence[Mapping[str, Any]] | None = None,
    test_rows: Sequence[Mapping[str, Any]] | None = None,
    test_groups: Sequence[str] = (),
    train_skipped: Sequence[int] = (),
    test_skipped: Sequence[int] = (),
    model: str = "toy",
    options: Mapping[str, Any] | None = None,
    batching: Mapping[str, Any] | None = None,
    benchmark: str = "general",
) -> FeatureStore:
    """Write a complete one-layer store of `(heads, rows, d)` features.

    `train_rows` and `test_rows` add columns to the labels.
    """
    heads, _, width = train.shape
    grid = (LayerGrid(0, tuple(range(heads)), width),)
    given = {
        "train": (train_labels, train_rows or [{}] * len(train_labels)),
        "test": (test_labels, test_rows or [{}] * len(test_labels)),
    }
    return write_store(
        folder,
        identity(dtype, grid, model, options, benchmark),
        {"train": {0: train}, "test": {0: test}},
        {
            split: [{"label": label, **row} for label, row in zip(labels, rows, strict=True)]
            for split, (labels, rows) in given.items()
        },
        groups={"test": test_groups},
        skipped={"train": train_skipped, "test": test_skipped},
        shard_rows=shard_rows,
        batching=batching,
    )
