"""Measure readouts on training examples of unequal classes, task by task. Prints Markdown.

    python scripts/bench_unequal.py --work build/bench-unequal

Each task is a store of drawn scenes, of the shipped model in float32. A draw gives the classes the
numbers of examples of `SIZES`, in another order each time; selections have 20 heads. A cell is the
mean over draws of the balanced accuracy, the mean over classes of the share that is right, in per
cent.
"""

import argparse
from pathlib import Path

import numpy as np
from bench_readouts import HEADS, print_row, store_of

from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.readouts import READOUTS, Readout
from savs.stores import FeatureStore

SIZES = {
    "color": (20, 10, 8, 6, 4, 2),
    "shape": (20, 10, 5, 2),
    "relation": (20, 4),
    "animal": (20, 10, 5, 2),
    "creature": (20, 4),
}
NAMES = ("vote", "posterior", "calm", "lda", "hec-v", "logistic", "knn")


def draw_unequal(labels: np.ndarray, sizes: tuple[int, ...], seed: int) -> np.ndarray:
    """Return rows of examples, each class with one of the sizes; which one is drawn, too."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.permutation(np.flatnonzero(labels == number))[:size]
        for number, size in enumerate(rng.permutation(sizes))
    ]
    return np.concatenate(rows)


def balanced_accuracy(rule: Readout, store: FeatureStore, rows: np.ndarray) -> float:
    """Return that of a readout which is fitted to some training examples."""
    names = store.examples("train")["label"].to_list()
    classes = list(dict.fromkeys(names))
    labels = np.array([classes.index(names[row]) for row in rows])
    truth = np.array([classes.index(name) for name in store.examples("test")["label"]])
    train, test = (store.features(split) for split in ("train", "test"))
    widths = [train.shape[2]] * HEADS
    scores = rule.score_heads(
        train[:, rows], labels, classes, [train.shape[2]] * len(train), "resubstitution"
    )
    best = rank_heads(scores, store.heads)[:HEADS]
    fitted = rule.fit(train[best][:, rows], labels, classes, widths)
    right = fitted.scores(test[best]).choice == truth
    return float(np.mean([right[truth == number].mean() for number in range(len(classes))]))


def main() -> None:
    """Measure task by task, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="folder for scenes and stores")
    parser.add_argument("--draws", type=int, default=20, help="of training examples, of each task")
    given = parser.parse_args()
    print_row(["task", "examples of the classes", *NAMES])
    print_row(["---"] * (len(NAMES) + 2))
    for task, sizes in SIZES.items():
        store = store_of(task, given.work / task)
        names = store.examples("train")["label"].to_list()
        labels = np.array([list(dict.fromkeys(names)).index(name) for name in names])
        draws = [draw_unequal(labels, sizes, seed) for seed in range(given.draws)]
        means = [
            np.mean([balanced_accuracy(READOUTS[name], store, rows) for rows in draws])
            for name in NAMES
        ]
        print_row([task, ", ".join(map(str, sizes)), *(f"{100 * mean:.1f}" for mean in means)])


if __name__ == "__main__":
    main()
