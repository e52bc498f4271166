"""The features of folds: of the examples that are left out, and of all others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.rows_copier import RowsCopier
from savs.pipeline.selection.heads.training_set import TrainingTask, head_widths
from savs.pipeline.selection.task_selection import chosen_features
from savs.stores import FeatureStore, Head

MEMORY = 2**28
"""Bytes of features that are read at a time, or those of one fold where these are more."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A part of a task's examples that is left out, and the heads that were chosen without it."""

    task: TrainingTask
    out: Array
    """`(n,)` flags of the examples that are left out."""
    heads: Sequence[Head]


def fold_features(store: FeatureStore, folds: Sequence[Fold]) -> Iterator[tuple[Array, Array]]:
    """Yield the features that each fold keeps, and those that it leaves out.

    Heads that several folds of a task need are read once. Arrays are overwritten by the next ones.

    Yields
    ------
    tuple
        `(heads, kept, d)` and `(heads, left out, d)` float32, `d` the width of the fold's widest
        head.
    """
    copiers = RowsCopier(), RowsCopier()
    while folds:
        some = _that_fit(store, folds)
        folds = folds[len(some) :]
        yield from _copies(store, some, *copiers)  # what it read is gone before others are read


def _copies(
    store: FeatureStore, folds: Sequence[Fold], kept: RowsCopier, left_out: RowsCopier
) -> Iterator[tuple[Array, Array]]:
    held = _read(store, folds)
    for fold in folds:
        index, features = held[id(fold.task)]
        heads = np.array([index[head] for head in fold.heads])
        features = features[:, :, : max(head_widths(store, fold.heads))]
        yield (
            kept.copy(features, np.flatnonzero(~fold.out), heads),
            left_out.copy(features, np.flatnonzero(fold.out), heads),
        )


def _that_fit(store: FeatureStore, folds: Sequence[Fold]) -> Sequence[Fold]:
    """Return the first of the folds, as many as `MEMORY` holds the features of, or one."""
    width = max(grid.head_dim for grid in store.grid)
    held: set[tuple[int, Head]] = set()
    size = 0
    for count, fold in enumerate(folds):
        new = {(id(fold.task), head) for head in fold.heads} - held
        size += 4 * len(new) * len(fold.task.rows) * width
        if count and size > MEMORY:
            return folds[:count]
        held |= new
    return folds


def _read(store: FeatureStore, folds: Sequence[Fold]) -> dict[int, tuple[dict[Head, int], Array]]:
    """Return what folds need, by the identity of their tasks: the index of each head, features."""
    tasks = {id(fold.task): fold.task for fold in folds}
    heads: dict[int, dict[Head, int]] = {task: {} for task in tasks}
    for fold in folds:
        own = heads[id(fold.task)]
        for head in fold.heads:
            own.setdefault(head, len(own))
    wanted = [([*heads[number]], task.rows) for number, task in tasks.items()]
    read = chosen_features(store, wanted)
    return {task: (heads[task], features) for task, features in zip(tasks, read, strict=True)}
