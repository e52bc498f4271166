"""Small stores whose examples have many labels."""

import json

import numpy as np

from savs.stores import LayerGrid
from stores import identity, write_store

LABELS = [f"l{number:02}" for number in range(20)]
MANY = {"labels": {"form": "list"}}


def text_of(states):
    told = {name: None if s < 0 else True for name, s in zip(LABELS, states, strict=True) if s}
    return json.dumps(told if None in told.values() else list(told), separators=(",", ":"))


def make_many(
    folder, seed=0, train=90, test=70, labels=20, heads=4, unknown=0.1, kept=None, waits=0, **extra
):
    """A store of two layers of heads of different widths; a tenth of what rows say is unknown.

    `kept` are the training examples that the store has, all by default. The last `waits` test
    examples wait for a label.
    """
    rng = np.random.default_rng(seed)
    grid = (LayerGrid(0, tuple(range(heads)), 6), LayerGrid(3, (0, 2), 4))
    states = (rng.random((train + test, 20)) < 0.25).astype(np.int8)
    states[:, labels:] = 0
    states[rng.random(states.shape) < unknown] = -1
    features = {}
    for layer in grid:
        ways = rng.normal(size=(len(layer.heads), 20, layer.head_dim))
        shape = (len(layer.heads), train + test, layer.head_dim)
        features[layer.layer] = np.float32(
            (states == 1) @ ways + 0.8 * rng.normal(size=shape) + rng.normal(size=(1, 1, 1))
        )
    some = range(train) if kept is None else kept
    rows = [{"label": text_of(row), "group": f"g{i // 2}"} for i, row in enumerate(states)]
    parts = {"train": some, "test": range(train, train + test - waits)}
    if waits:
        parts["unlabelled"] = range(train + test - waits, train + test)
        for row in parts["unlabelled"]:
            media = {"media": f'["{row}.jpg"]', "media_sha256": f'["{row:064x}"]'}
            rows[row] = media | {"label": None}
    store = write_store(
        folder,
        identity(grid=grid, options=MANY),
        {s: {n: v[:, part] for n, v in features.items()} for s, part in parts.items()},
        {s: [rows[row] for row in part] for s, part in parts.items()},
        shard_rows=32,
        **extra,
    )
    return store, states, features
