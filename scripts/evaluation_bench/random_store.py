"""Stores of random features of any size."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

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
from savs.stores.format.layout import EXAMPLE_COLUMNS


@dataclass(frozen=True, slots=True)
class Size:
    """How large a store is."""

    classes: int
    train: int
    test: int
    layers: int = 28
    heads: int = 28
    """Heads a layer."""
    width: int = 128
    subtasks: int = 1
    """Subtasks, each with its own part of the examples."""
    shard_rows: int = 256
    has_images: bool = False
    """Whether each example has an image of its own."""
    has_many_labels: bool = False
    """Whether each example has three labels."""


def random_store(folder: Path, size: Size) -> FeatureStore:
    """Write a store of random bfloat16 features, or open the one that is there.

    Classes lie apart in later layers more than in earlier ones; many labels more than classes.
    """
    if (folder / "store.json").exists():
        return open_store(folder)
    rng = np.random.default_rng(0)
    heads = tuple(range(size.heads))
    options = {"labels": {"form": "list"}} if size.has_many_labels else {}
    identity = Identity(
        model=dict.fromkeys(["name", "revision", "class", "config", "weights"], "-"),
        processor={"class": "none"},
        dtype="bfloat16",
        benchmark={"name": "general", "options": options},
        prompt="-",
        grid=tuple(LayerGrid(layer, heads, size.width) for layer in range(size.layers)),
    )
    plan = {
        split: [PlannedRow(f"{split}:{i}", str(i)) for i in range(count)]
        for split, count in (("train", size.train), ("test", size.test))
    }
    means = rng.standard_normal((size.classes, size.width), np.float32)
    with open_writer(folder, identity, plan, shard_rows=size.shard_rows) as writer:
        for spec in writer.missing():
            rows = np.arange(spec.start, spec.stop)
            labels = [rows // size.subtasks % size.classes]
            if size.has_many_labels:
                labels += [7 * rows % size.classes, 11 * rows % size.classes]
            signal = sum(means[of_rows] for of_rows in labels) * (0.02 if len(labels) == 1 else 0.3)
            features = {}
            for layer in range(size.layers):
                noise = rng.standard_normal((size.heads, spec.rows, size.width), np.float32)
                values = noise + (layer + 1) * signal
                features[layer] = (values.view(np.uint32) >> 16).astype(np.uint16)
            columns = _columns(spec.split, rows, labels, size)
            nothing: dict[str, list[object]] = {name: [] for name in (*columns, "reason")}
            writer.write(spec, ShardContent(features, columns, nothing, run={}))
        writer.seal()
    return open_store(folder)


def _columns(
    split: str, rows: np.ndarray, labels: list[np.ndarray], size: Size
) -> dict[str, list[object]]:
    count, subtasks = len(rows), size.subtasks
    media = [[f"{split}/image {row:08}.jpg"] if size.has_images else [] for row in rows]
    digests = [[sha256(name.encode()).hexdigest() for name in names] for names in media]
    sets = [sorted({f"class {number}" for number in some}) for some in zip(*labels, strict=True)]
    texts = [json.dumps(some) if size.has_many_labels else some[0] for some in sets]
    columns: dict[str, Any] = dict.fromkeys(EXAMPLE_COLUMNS, [None] * count)
    return columns | {
        "index": rows.tolist(),
        "id": [f"{split}:{row}" for row in rows],
        "split": [split] * count,
        "label": texts,
        "subtask": [f"task {row % subtasks}" if subtasks > 1 else None for row in rows],
        "prompt": ["?"] * count,
        "media": media,
        "media_sha256": digests,
        "extra": ["{}"] * count,
    }
