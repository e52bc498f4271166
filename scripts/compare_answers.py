"""Measure what `savs ask` and `savs train` make of a model's own answers.

    python scripts/compare_answers.py --work build/answers

The demo model answers questions about drawn scenes, and about digits, which it does not know. The
first table is of the offset: the mean log-likelihood of each class over the same images, with
classes in equal numbers, and with 95 % of the first class. The second one is of training: own
answers, the heads' `lda`, both with learnt weights, and the one of these that cross-validation
chooses, on the images that a draw leaves. Its last column counts tasks on which heads are better
than answers by three points, and those of them on which both are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from method_comparison.tasks import write_task

from savs import extract
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.sweep.methods import DrawnTraining
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.readout_choice import choose_readout_by_folds
from savs.pipeline.selection.selection import choose_heads
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets.one import ONE_CLASS
from savs.pipeline.targets.stored_answers import with_answers
from savs.pipeline.targets.tasks import TrainingTask
from savs.stores import ANSWERS_HEAD, FeatureStore

TASKS = ("color", "shape", "grey-shape", "kind", "position", "count", "texture", "composition")
SEED = 77
IMAGES = 48
"""Of each class."""
DRAWS = 20
SHARE = 0.95
SHOTS = (2, 4, 8)
FEWER = 3
"""Draws of the second table."""
READOUTS = ONE_CLASS.tried_with_answers
LEAD = 0.03
HEADINGS = ("shots", *READOUTS, "chosen", "best by task", "both above answers")


def main() -> None:
    """Extract the images once, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for images and stores")
    folder = parser.parse_args().work
    files = write_shapes(
        folder / "data", seed=SEED, tasks=TASKS, train_per_class=IMAGES, test_units=1
    )
    scenes = _store("shapes", folder / "scenes", train=files.train, test=files.test)
    (draw,) = write_task("digit", folder / "digits", 1, SEED, IMAGES // 2)
    digits = _store(draw.benchmark, folder / "digit", **draw.keywords())
    print("\n".join(table(scenes)))
    print()
    print("\n".join(trained([scenes, digits])))


def _store(benchmark: str, out: Path, **files: Any) -> FeatureStore:
    options: dict[str, Any] = {"model": "demo", "answers": "labels", "dtype": "float32", **files}
    return extract(benchmark, out=out, reporting=Reporting(print), **options).store


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


def trained(stores: Sequence[FeatureStore]) -> list[str]:
    """Return the lines of the second table, means over tasks and draws in per cent."""
    tasks = [(store, task) for store in stores for task in StoredTraining(store).tasks()]
    lines = [f"| {' | '.join(HEADINGS)} |", "|" + " --- |" * len(HEADINGS)]
    for shots in SHOTS:
        rows = np.array([[_draw(*one, shots, draw) for draw in range(FEWER)] for one in tasks])
        means = rows.mean(axis=1)  # of each task
        best = means[:, : len(READOUTS)].max(axis=1).mean()
        cells = " | ".join(f"{100 * value:.1f}" for value in [*means.mean(axis=0), best])
        own, _, heads, both, _ = means.T
        led = heads - own >= LEAD
        lines.append(f"| {shots} | {cells} | {(both > own)[led].sum()} of {led.sum()} |")
    return lines


def _draw(store: FeatureStore, task: TrainingTask, shots: int, draw: int) -> list[float]:
    """Return the accuracy of each readout, and of the chosen one, on what a draw leaves."""
    rng = np.random.default_rng([shots, draw])
    of_class = [np.flatnonzero(task.labels == number) for number in range(len(task.classes))]
    drawn = np.concatenate([rng.choice(rows, shots, replace=False) for rows in of_class])
    left = task.part(np.setdiff1d(np.arange(len(task.rows)), drawn))
    training = DrawnTraining(store, (task.part(drawn),))
    view = with_answers(store, {task.subtask: task.classes})
    found = []
    for readout in READOUTS:
        (selected,) = choose_heads(training, readout=readout).tasks
        features = view.features("train", selected.heads)[:, left.rows]
        found.append(float((selected.fitted.scores(features).choice == left.labels).mean()))
    known = choose_readout_by_folds(training).accuracies
    chosen = READOUTS.index(max(known, key=lambda name: known[name])) if known else -1
    return [*found, found[chosen]]


def skewed(labels: Array, rng: np.random.Generator) -> Array:
    """Return rows of which 95 % are of the first class, the others spread over the others."""
    first, others = np.flatnonzero(labels == 0), np.flatnonzero(labels != 0)
    few = max(1, round(len(first) * (1 - SHARE) / SHARE))
    return np.concatenate([first, rng.choice(others, few, replace=False)])


def right(answers: Array, labels: Array) -> tuple[float, float]:
    """Return the share of right answers as they are, and with the offset."""
    moved = answers - answers.mean(axis=0)
    plain, offset = (float((a.argmax(axis=1) == labels).mean()) for a in (answers, moved))
    return plain, offset


if __name__ == "__main__":
    main()
