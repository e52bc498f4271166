"""Measure readouts on training examples of unequal classes, task by task. Prints Markdown.

    python scripts/bench_unequal.py --work build/bench-unequal

Each task is a store of drawn scenes, of the shipped model in float32. A draw gives the classes the
numbers of examples of `SIZES`, in another order each time; selections have 20 heads. A cell is the
mean over draws of the balanced accuracy, the mean over classes of the share that is right, in per
cent.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_readouts import HEADS, print_row, store_of

from savs.foundation.arrays import Array
from savs.pipeline.heads.head_scores import rank_heads
from savs.pipeline.readouts import READOUTS, Readout
from savs.pipeline.selection.training_data import StoredTraining
from savs.stores import FeatureStore

SIZES = {
    "color": (20, 10, 8, 6, 4, 2),
    "shape": (20, 10, 5, 2),
    "relation": (20, 4),
    "animal": (20, 10, 5, 2),
    "creature": (20, 4),
}
NAMES = ("vote", "posterior", "calm", "lda", "hec-v", "logistic", "knn")


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a task's scenes, in all heads."""

    store: FeatureStore
    classes: Sequence[str]
    labels: Array
    """`(n,)` class numbers of the training examples."""
    truth: Array
    """`(m,)` class numbers of the test examples."""
    train: Array
    """`(heads, n, d)` float32."""
    test: Array
    """`(heads, m, d)` float32."""


def read_features(store: FeatureStore) -> Features:
    """Read both splits of a store of one task."""
    (task,) = StoredTraining(store).tasks()
    truth = np.array([task.classes.index(name) for name in store.examples("test")["label"]])
    train, test = (store.features(split) for split in ("train", "test"))
    return Features(store, task.classes, task.labels, truth, train, test)


def draw_unequal(labels: Array, sizes: tuple[int, ...], seed: int) -> Array:
    """Return rows of examples, each class with one of the sizes; which one is drawn, too."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.permutation(np.flatnonzero(labels == number))[:size]
        for number, size in enumerate(rng.permutation(sizes))
    ]
    return np.concatenate(rows)


def balanced_accuracy(rule: Readout, of: Features, rows: Array) -> float:
    """Return that of a readout which is fitted to some training examples."""
    labels, widths = of.labels[rows], [of.train.shape[2]] * len(of.train)
    scores = rule.score_heads(of.train[:, rows], labels, of.classes, widths, "resubstitution")
    best = rank_heads(scores, of.store.heads)[:HEADS]
    fitted = rule.fit(of.train[best][:, rows], labels, of.classes, widths[:HEADS])
    right = fitted.scores(of.test[best]).choice == of.truth
    return float(np.mean([right[of.truth == number].mean() for number in range(len(of.classes))]))


def main() -> None:
    """Measure task by task, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="folder for scenes and stores")
    parser.add_argument("--draws", type=int, default=20, help="of training examples, of each task")
    options = parser.parse_args()
    print_row(["task", "examples of the classes", *NAMES])
    print_row(["---"] * (len(NAMES) + 2))
    for task, sizes in SIZES.items():
        features = read_features(store_of(task, options.work / task))
        draws = [draw_unequal(features.labels, sizes, seed) for seed in range(options.draws)]
        means = [
            np.mean([balanced_accuracy(READOUTS[name], features, rows) for rows in draws])
            for name in NAMES
        ]
        print_row([task, ", ".join(map(str, sizes)), *(f"{100 * mean:.1f}" for mean in means)])


if __name__ == "__main__":
    main()
