"""Small stores with class texts, made from arrays: a dual encoder's, or a language model's."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from savs.foundation.arrays import Array
from savs.stores import FeatureStore, LayerGrid
from stores import identity, make_store, write_store

SCALE = 20.0


def make_text_store(
    folder: Path,
    features: dict[str, Array],
    labels: dict[str, list[str]],
    kinds: list[str],
    *,
    scale: float | None = SCALE,
    subtasks: dict[str, list[str]] | None = None,
) -> FeatureStore:
    """Write a complete one-layer store of `(heads, rows, d)` float32 features of each split.

    `kinds` are the categories of the rows of `classes`; without a `scale` it is a language model's.
    """
    heads, _, width = features["test"].shape
    what = identity("float32", (LayerGrid(0, tuple(range(heads)), width),))
    if scale is not None:
        what = replace(what, model={**what.model, "logit_scale": scale})
    rows = {split: [{"label": label} for label in own] for split, own in labels.items()}
    for row, kind in zip(rows.get("classes", []), kinds, strict=True):
        row["category"] = kind
    for split, names in (subtasks or {}).items():
        rows[split] = [{**row, "subtask": n} for row, n in zip(rows[split], names, strict=True)]
    layers = {split: {0: values} for split, values in features.items()}
    return write_store(folder, what, layers, rows, shard_rows=500)


def draw_text_store(
    folder: Path,
    seed: int,
    *,
    heads: int = 1,
    width: int = 12,
    counts: tuple[int, ...] = (4, 3, 5),
    tests: int = 40,
    strength: float = 1.0,
    scale: float | None = SCALE,
) -> FeatureStore:
    """Write a store whose classes have two texts of a file, one name, and noisy images.

    With `strength` 0 all is noise.
    """
    rng = np.random.default_rng(seed)
    names = [f"class {c}" for c in range(len(counts))]
    centres = strength * rng.normal(size=(heads, len(counts), width))
    numbers = {
        "train": rng.permutation(np.repeat(np.arange(len(counts)), counts)),
        "test": rng.integers(0, len(counts), tests),
        "classes": np.tile(np.arange(len(counts)), 3),
    }
    features = {
        split: (centres[:, own] + rng.normal(size=(heads, len(own), width))).astype(np.float32)
        for split, own in numbers.items()
    }
    labels = {split: [names[n] for n in own] for split, own in numbers.items()}
    kinds = [kind for kind in ("names", "file", "file") for _ in counts]
    return make_text_store(folder, features, labels, kinds, scale=scale)


def store_with_answers(
    folder, tokens, logits, labels, train=None, benchmark="general", shard_rows=1000
):
    """Write a one-head store whose test rows have the given answer logits."""
    grid = (LayerGrid(0, (0,), 2),)
    what = replace(identity(grid=grid, benchmark=benchmark), outputs={"answers": tokens})
    rows = {
        "train": [{"label": label} for label in train or tokens],
        "test": [{"label": label} for label in labels],
    }
    return write_store(
        folder,
        what,
        {split: {0: np.ones((1, len(some), 2), np.float32)} for split, some in rows.items()},
        rows,
        outputs={
            "train": {"answers": np.zeros((len(rows["train"]), len(tokens)), np.float32)},
            "test": {"answers": np.float32(logits)},
        },
        shard_rows=shard_rows,
    )


TRAIN, TEST = list("abc") * 5, list("abcab") * 4


def noisy(labels, seed, heads=4, pull=1.0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(heads, 3, 5))
    places = ["abc".index(label) for label in labels]
    return (pull * centres[:, places] + rng.normal(size=(heads, len(labels), 5))).astype("f4")


def other(folder, order=range(15), **given):
    """Return a store of another model; its training examples are some of the first one's."""
    labels = [TRAIN[i] for i in order]
    return make_store(
        *(folder, noisy(TRAIN, 2, pull=2.0)[:, list(order)], labels, noisy(TEST, 3), TEST),
        train_rows=[{"id": f"train:{i}"} for i in order],
        model="other",
        **given,
    )


def accuracy(values, **point):
    """Return the accuracies of a sweep at some points, draw by draw."""
    rows = values.filter(metric="accuracy", **point)
    return rows.sort("shots", "draw", nulls_last=True)["value"].to_list()
