"""Small stores with class texts, made from arrays: a dual encoder's, or a language model's."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from savs.foundation.arrays import Array
from savs.stores import FeatureStore, LayerGrid, ShardContent, open_store, open_writer
from stores import columns, identity, planned

SCALE = 20.0


def make_text_store(
    folder: Path,
    features: dict[str, Array],
    labels: dict[str, list[str]],
    kinds: list[str],
    *,
    scale: float | None = SCALE,
) -> FeatureStore:
    """Write a complete one-layer store of `(heads, rows, d)` float32 features of each split.

    `kinds` are the categories of the rows of `classes`; without a `scale` it is a language model's.
    """
    heads, _, width = features["test"].shape
    what = identity("float32", (LayerGrid(0, tuple(range(heads)), width),))
    if scale is not None:
        what = replace(what, model={**what.model, "logit_scale": scale})
    plan = {split: planned(split, len(own)) for split, own in labels.items()}
    with open_writer(folder, what, plan, shard_rows=500) as writer:
        for spec in writer.missing():
            own = slice(spec.start, spec.stop)
            rows = [{"label": label} for label in labels[spec.split][own]]
            if spec.split == "classes":
                pairs = zip(rows, kinds[own], strict=True)
                rows = [row | {"category": kind} for row, kind in pairs]
            content = ShardContent(
                layers={0: np.ascontiguousarray(features[spec.split][:, own])},
                examples=columns(spec.split, rows, spec.start),
                skipped=columns(spec.split, []) | {"reason": []},
                run={"made": "by hand"},
            )
            writer.write(spec, content)
        writer.seal()
    return open_store(folder)


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
