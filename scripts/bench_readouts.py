"""Measure all readouts on the same draws of drawn scenes, task by task. Prints Markdown.

    python scripts/bench_readouts.py --work build/bench-readouts

Each task is a store of 60 training examples per class and 200 test questions, of the shipped model
in float32. Draws have 20 examples per class, selections 20 heads. A row has the accuracy of `vote`,
and the difference of the other readouts from it. * marks p < .05 over draws and test questions,
by Holm's method over the differences of the task. The last rows are over tasks.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


from savs import extract, sweep
from savs.datasets.benchmarks.shapes import write_shapes
from savs.pipeline.evaluation.sweep.table import Sweep, headline, join_sweeps
from savs.stores import FeatureStore

TASKS = (
    *("color", "shape", "size", "relation", "composition", "same-color", "third-image"),
    *("animal", "creature", "concept"),
)
READOUTS = ("vote", "posterior", "calm", "lda", "logistic", "knn")
SHOTS = HEADS = 20
POOL = 60
"""Training examples per class that draws are taken from."""
TEST = 200
SEED = 1000
"""Of the scenes."""
LEVEL = 0.05


def store_of(task: str, folder: Path) -> FeatureStore:
    """Return the features of a task's scenes."""
    files = write_shapes(
        folder / "scenes", seed=SEED, tasks=[task], train_per_class=POOL, test_units=TEST
    )
    done = extract(
        "shapes",
        train=files.train,
        test=files.test,
        media_root=files.root,
        model="demo",
        dtype="float32",
        out=folder / "store",
    )
    return done.store


def row_of(task: str, measured: Sweep) -> list[str]:
    """Return the accuracy of the first readout, and the differences of the others."""
    first, *others = headline(measured.summary).rows(named=True)
    cells = [
        f"{100 * row['difference']:+.1f}"
        + "*" * (row["p_holm"] is not None and row["p_holm"] < LEVEL)
        for row in others
    ]
    return [task, f"{100 * first['mean']:.1f}", *cells]


def rows_over_tasks(sweeps: Mapping[str, Sweep]) -> list[list[str]]:
    """Return means over tasks, their intervals and p values, and how often a readout is better."""
    first, *others = join_sweeps(sweeps).over_stores().rows(named=True)
    ends = [(first["low"], first["high"], ".1f")]
    ends += [(row["difference_low"], row["difference_high"], "+.1f") for row in others]
    return [
        ["**mean**", f"{100 * first['mean']:.1f}",
         *(f"{100 * row['difference']:+.1f}" for row in others)],
        ["95 % interval over tasks",
         *(f"{100 * low:{form}} .. {100 * high:{form}}" for low, high, form in ends)],
        ["p (Holm) over tasks", "", *(f"{row['p_holm']:.4f}" for row in others)],
        ["wins, ties, losses", "",
         *(f"{row['wins']}, {row['ties']}, {row['losses']}" for row in others)],
    ]  # fmt: skip


def print_row(cells: Sequence[str]) -> None:
    """Print a row as Markdown."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure task by task, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="folder for scenes and stores")
    parser.add_argument("--draws", type=int, default=20, help="of training examples, of each task")
    arguments = parser.parse_args()
    sweeps: dict[str, Sweep] = {}
    print_row(["task", *READOUTS])
    print_row(["---"] * (len(READOUTS) + 1))
    for task in TASKS:
        store = store_of(task, arguments.work / task)
        sweeps[task] = sweep(
            store, readouts=READOUTS, heads=[HEADS], shots=[SHOTS], draws=arguments.draws
        )
        print_row(row_of(task, sweeps[task]))
    for row in rows_over_tasks(sweeps):
        print_row(row)


if __name__ == "__main__":
    main()
