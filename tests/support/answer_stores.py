"""Small stores with the model's own answers, made from arrays."""

from dataclasses import replace

import numpy as np

from savs.stores import LayerGrid, ShardContent, open_store, open_writer
from stores import columns, identity, planned


def store_with_answers(folder, tokens, logits, labels, train=None, benchmark="general"):
    """Write a one-head store whose test rows have the given answer logits."""
    grid = (LayerGrid(0, (0,), 2),)
    what = replace(identity(grid=grid, benchmark=benchmark), outputs={"answers": tokens})
    train = train or list(tokens)
    sizes = {"train": len(train), "test": len(labels)}
    plan = {split: planned(split, count) for split, count in sizes.items()}
    with open_writer(folder, what, plan, shard_rows=1000) as writer:
        for spec in writer.missing():
            rows = train if spec.split == "train" else labels
            answers = np.zeros((len(rows), len(tokens)), np.float32)
            if spec.split == "test":
                answers = np.float32(logits)
            writer.write(
                spec,
                ShardContent(
                    {0: np.ones((1, len(rows), 2), np.float32)},
                    columns(spec.split, [{"label": label} for label in rows]),
                    columns(spec.split, []) | {"reason": []},
                    {},
                    {"answers": answers},
                ),
            )
        writer.seal()
    return open_store(folder)
