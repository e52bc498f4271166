"""Measure calibrated probabilities, prediction sets and suspects on drawn scenes. Prints Markdown.

    python scripts/bench_calibration.py --work build/bench-calibration

Each draw has a training set of 20 examples per class; 20 heads of the shipped model in float32.
Drawn tasks have 400 new test images a draw, real images one test set of 100 (`method_comparison`;
`surface` needs scikit-image). Means over draws are printed, and the least and the greatest share of
truths outside the prediction set. Then 4 training labels in each of three tasks are flipped at
random, and the suspects of `savs select --suspects` are compared with them. Takes two minutes.
"""

import argparse
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import polars as pl
from method_comparison.tasks import POOLS, Draw, write_task

from savs import calibrate, evaluate, extract, select
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.suspects import suspects
from savs.stores import FeatureStore

TASKS = ("animal", "creature", "relation", "same-color", "surface", "digit")
READOUTS = ("vote", "lda", "logistic")
FLIPPED = {"animal": 4, "relation": 4, "creature": 4}
RISK = 0.05
OUTSIDE = 5
"""Place of the truths outside the set among the shares."""
HEADER = (
    *("task", "readout", "accuracy", "mean score", "mean probability"),
    *("calibration error of scores", "of probabilities", f"outside at risk {RISK:g}"),
    *("answered", "wrong among the answered", "outside, least .. greatest"),
)


def files_of(task: str, folder: Path, draws: int) -> list[Draw]:
    """Write the files of a task; return those of each draw."""
    return (
        write_task(task, folder, draws, seed=0)
        if task in POOLS
        else [scenes_of([task], folder / str(draw), draw, 400) for draw in range(draws)]
    )


def scenes_of(tasks: Sequence[str], folder: Path, seed: int, test_units: int) -> Draw:
    """Write drawn scenes."""
    files = write_shapes(folder, seed=seed, tasks=tasks, test_units=test_units)
    return Draw("shapes", files.train, files.test, files.root)


def store_of(draw: Draw, out: Path) -> FeatureStore:
    """Return the features of a draw."""
    done = extract(draw.benchmark, **draw.keywords(), model="demo", dtype="float32", out=out)
    return done.store


def measure(store: FeatureStore, readout: str) -> list[float]:
    """Return the shares of a row; NaN for what is wrong among none."""
    plain = select(store, heads=20, readout=readout)
    scored = evaluate(store, plain)
    calibrated = evaluate(store, calibrate(store, plain).selection, risk=RISK)
    (before,), (after,) = scored.confidence, calibrated.confidence
    assert after.risk is not None
    assert after.risk.answered is not None
    wrong = after.risk.wrong
    shares = [
        result.predictions["probability"].to_numpy().mean() for result in (scored, calibrated)
    ]
    return [
        *(calibrated.predictions["correct"].to_numpy().mean(), *shares),
        *(before.calibration_error, after.calibration_error),
        *(after.risk.outside.value, after.risk.answered.value),
        float("nan") if wrong is None else wrong.value,
    ]


def flip(train: Path, seed: int) -> set[str]:
    """Flip labels of a file; return the ids of the rows."""
    rng = random.Random(seed)
    rows = [json.loads(line) for line in train.read_text("utf-8").splitlines()]
    flipped = set()
    for task, count in FLIPPED.items():
        of_task = [row for row in rows if row["subtask"] == task]
        classes = sorted({row["label"] for row in of_task})
        for row in rng.sample(of_task, count):
            row["label"] = rng.choice([name for name in classes if name != row["label"]])
            flipped.add(row["id"])
    train.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return flipped


def listed_of(store: FeatureStore, flipped: set[str]) -> dict[str, tuple[int, int]]:
    """Return task -> how many of its flipped labels are listed, and how many others."""
    listed = suspects(store, select(store, heads=20))
    counts = {}
    for task in FLIPPED:
        of_task = set(listed.filter(pl.col("subtask") == task)["id"])
        counts[task] = (len(flipped & of_task), len(of_task - flipped))
    return counts


def row_of(task: str, readout: str, values: Array) -> list[str]:
    """Return a row of means in per cent; `values` are `(draws, shares)`."""
    outside = 100 * values[:, OUTSIDE]
    spread = f"{outside.min():.1f} .. {outside.max():.1f}"
    return [task, f"`{readout}`", *(f"{100 * v:.1f}" for v in np.nanmean(values, axis=0)), spread]


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    for row in (HEADER, ["---"] * len(HEADER), *rows):
        print("| " + " | ".join(row) + " |")


def main() -> None:
    """Print the table, then the suspects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="folder for files and stores")
    parser.add_argument("--draws", type=int, default=5, help="training sets of each task")
    arguments = parser.parse_args()
    shares: dict[tuple[str, str], list[list[float]]] = {}
    suspected: dict[str, list[tuple[int, int]]] = {}
    for task in TASKS:
        folder = arguments.work / task
        for number, draw in enumerate(files_of(task, folder, arguments.draws)):
            store = store_of(draw, folder / f"store-{number}")
            for readout in READOUTS:
                shares.setdefault((task, readout), []).append(measure(store, readout))
    for number in range(arguments.draws):
        folder = arguments.work / f"flipped-{number}"
        draw = scenes_of([*FLIPPED], folder, number, 4)
        flipped = flip(draw.train, number)
        store = store_of(draw, folder / "store")
        for task, counts in listed_of(store, flipped).items():
            suspected.setdefault(task, []).append(counts)
    print_table([row_of(*key, np.array(values)) for key, values in shares.items()])
    for task, counts in suspected.items():
        hits, others = (sum(column) for column in zip(*counts, strict=True))
        total = FLIPPED[task] * arguments.draws
        print(f"{task}: {hits} of {total} flipped labels listed, and {others} others")


if __name__ == "__main__":
    main()
