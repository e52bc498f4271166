"""Measure when the offset of `savs ask` helps: with classes in equal numbers, and at 95 to 5.

    python scripts/compare_answers.py --work build/answers

The demo model answers questions about drawn scenes, whose classes are known here. The offset is the
mean log-likelihood of each class over the same images, without their labels. Equal numbers are the
fewest of a class, of each; at 95 to 5 the first class has 95 % of the images.
"""

import argparse
from pathlib import Path

import numpy as np

from savs import extract
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.arrays import Array
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets.stored_answers import with_answers
from savs.stores import ANSWERS_HEAD, FeatureStore

TASKS = ("color", "shape", "grey-shape", "kind", "position", "count", "texture", "composition")
SEED = 77
IMAGES = 48
"""Of each class."""
DRAWS = 20
SHARE = 0.95


def main() -> None:
    """Extract the scenes once, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes and the store")
    folder = parser.parse_args().work
    files = write_shapes(
        folder / "data", seed=SEED, tasks=TASKS, train_per_class=IMAGES, test_units=1
    )
    done = extract(
        "shapes",
        train=files.train,
        test=files.test,
        model="demo",
        out=folder / "features",
        answers="labels",
        dtype="float32",
        reporting=Reporting(print),
    )
    print("\n".join(table(done.store)))


def table(store: FeatureStore) -> list[str]:
    """Return the lines of the table, in per cent."""
    lines = ["| task | classes | equal | with offset | 95 to 5 | with offset |", "|" + " --- |" * 6]
    rng, means = np.random.default_rng(SEED), []
    for task in StoredTraining(store).tasks():
        view = with_answers(store, {task.subtask: task.classes})
        (answers,) = view.features("train", [ANSWERS_HEAD])[:, task.rows]
        found = [
            [right(answers[rows], task.labels[rows]) for rows in (equal, skewed(task.labels, rng))]
            for equal in [np.arange(len(task.labels))] * DRAWS
        ]
        values = 100 * np.mean(found, axis=0).ravel()
        means.append(values)
        cells = " | ".join(f"{value:.1f}" for value in values)
        lines.append(f"| {task.subtask} | {len(task.classes)} | {cells} |")
    cells = " | ".join(f"{value:.1f}" for value in np.mean(means, axis=0))
    return [*lines, f"| mean | | {cells} |"]


def skewed(labels: Array, rng: np.random.Generator) -> Array:
    """Return rows of which 95 % are of the first class, the others spread over the others."""
    first, others = np.flatnonzero(labels == 0), np.flatnonzero(labels != 0)
    few = max(1, round(len(first) * (1 - SHARE) / SHARE))
    return np.concatenate([first, rng.choice(others, few, replace=False)])


def right(answers: Array, labels: Array) -> tuple[float, float]:
    """Return the share of right answers as they are, and with the offset."""
    moved = answers - answers.mean(axis=0)
    return tuple(float((a.argmax(axis=1) == labels).mean()) for a in (answers, moved))


if __name__ == "__main__":
    main()
