"""Stores whose labels are numbers that some heads know of."""

import numpy as np

from savs.stores import LayerGrid
from stores import identity, write_store

GRID = (LayerGrid(0, (0, 1, 2), 6), LayerGrid(3, (0, 2), 4))
TRAIN, TEST = 80, 60


def options(kind):
    return {"labels": {"form": kind}}


def make_numbers(folder, kind="regression", seed=0, skipped=(), unlabelled=0, kept=range(TRAIN)):
    """A store whose numbers some heads know of: pairs of rows share a group and much else.

    So many test rows are there once more, `unlabelled`; `kept` are the training examples.
    """
    rng = np.random.default_rng(seed)
    count = TRAIN + TEST
    pairs = np.repeat(rng.normal(size=(count // 2, 2)), 2, axis=0)
    numbers = 2000 + 10 * (pairs[:, 0] + 0.3 * rng.normal(size=count))
    if kind == "ordinal":
        numbers = np.clip(np.rint((numbers - 2000) / 8) + 3, 1, 5)
    features = {}
    for layer in GRID:
        values = rng.normal(size=(len(layer.heads), count, layer.head_dim))
        values[0] += pairs @ rng.normal(size=(2, layer.head_dim)) * 3
        features[layer.layer] = np.float32(values)
    rows = [
        {"label": f"{float(number):g}" if kind == "ordinal" else repr(float(number))}
        | {"group": f"g{i // 2}"}
        for i, number in enumerate(numbers)
    ]
    splits = {"train": [*kept], "test": range(TRAIN, count)}
    tables = {split: [rows[row] for row in part] for split, part in splits.items()}
    if unlabelled:
        splits["unlabelled"] = range(TRAIN, TRAIN + unlabelled)
        tables["unlabelled"] = [{"label": None} for _ in range(unlabelled)]
    store = write_store(
        folder,
        identity(grid=GRID, options=options(kind)),
        {
            split: {n: values[:, part] for n, values in features.items()}
            for split, part in splits.items()
        },
        tables,
        shard_rows=32,
        skipped={"test": skipped},
    )
    return store, numbers, features
