"""Measure stage 2: whole commands, the same work without savs, and growth. Prints Markdown tables.

    python scripts/bench_evaluate.py --work build/bench-evaluate

All features are random. Times are processor seconds on one thread, which other work on the machine
hardly changes. Needs 4 GB of disk, and takes 15 minutes. `--only` runs some of the tables, and
`--knn` adds the nearest neighbours among 20,000 examples, which take a minute and a half.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
os.environ |= dict.fromkeys(THREADS, "1")  # before numpy starts its threads

import numpy as np  # noqa: E402
from evaluation_bench import other_ways  # noqa: E402
from evaluation_bench.other_ways import cpu_seconds  # noqa: E402
from evaluation_bench.random_store import Size, random_store  # noqa: E402

from savs import evaluate, select, sweep  # noqa: E402
from savs.pipeline.heads.centroids import normalise  # noqa: E402
from savs.pipeline.heads.head_scores import resubstitution  # noqa: E402
from savs.pipeline.readouts import HeadsFit  # noqa: E402
from savs.pipeline.readouts.lda import of_weights  # noqa: E402
from savs.stores import FeatureStore  # noqa: E402

IMAGES = Size(100, 2000, 0, layers=1, heads=20, width=16, shard_rows=4096, has_images=True)
STORES = {
    "1,000 classes": Size(1000, 20_000, 50_000, layers=1, heads=20),
    "1,000 labels": Size(1000, 4000, 50_000, layers=1, heads=20, has_many_labels=True),
    "784 heads": Size(2, 80, 7600),
    "100 subtasks": Size(2, 4000, 2000, layers=14, subtasks=100),
    "76,000 rows": Size(2, 80, 76_000, layers=1, heads=20, width=16, shard_rows=4096),
    "1,000,000 rows": Size(2, 80, 1_000_000, layers=1, heads=20, width=16, shard_rows=4096),
    "76,000 images": replace(IMAGES, test=76_000),
    "1,000,000 images": replace(IMAGES, test=1_000_000),
}
GRID = ("--shots", "1,5,20", "--draws", "3", "--heads", "1,5,10,20,50,all")
COMMANDS = [
    ("1,000 classes", ("select", "--no-estimate")),
    ("1,000 classes", ("evaluate",)),
    ("1,000 classes", ("evaluate", "--folds", "5")),
    ("1,000 classes", ("select", "--no-estimate", "--readout", "lda")),
    ("1,000 classes", ("evaluate", "--readout", "lda")),
    ("1,000 classes", ("select", "--no-estimate", "--readout", "knn")),
    ("1,000 classes", ("evaluate", "--readout", "knn")),
    ("1,000 labels", ("select",)),
    ("1,000 labels", ("evaluate",)),
    ("784 heads", ("select",)),
    ("784 heads", ("select", "--no-estimate", "--readout", "lda")),
    ("784 heads", ("evaluate",)),
    *(("784 heads", ("sweep", *GRID, "--readout", name))
      for name in ("vote", "posterior", "lda", "calm", "logistic", "knn")),
    ("100 subtasks", ("select", "--no-estimate")),
    ("100 subtasks", ("select",)),
    ("76,000 rows", ("evaluate",)),
    ("1,000,000 rows", ("evaluate",)),
    ("76,000 images", ("evaluate",)),
    ("1,000,000 images", ("evaluate",)),
]  # fmt: skip
KNN = COMMANDS[5:7]
BASE = Size(100, 2000, 8000, layers=1, heads=20)
GROWTH = {
    "base": BASE,
    "rows x 2": replace(BASE, test=16_000),
    "classes x 2": replace(BASE, classes=200, train=4000),
    "heads x 2": replace(BASE, heads=40),
}
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process in between: a child's peak begins with that of the process that started it."""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the stores")
    parser.add_argument("--only", nargs="*", choices=("commands", "ways", "growth"))
    parser.add_argument("--knn", action="store_true", help="neighbours among 20,000 examples, too")
    options = parser.parse_args()
    tables = options.only or ("commands", "ways", "growth")
    if "commands" in tables:
        _commands(options.work, [one for one in COMMANDS if options.knn or one not in KNN])
    if "ways" in tables:
        _ways()
    if "growth" in tables:
        _growth(options.work)


def _commands(work: Path, commands: list[tuple[str, tuple[str, ...]]]) -> None:
    _row("store", "command", "seconds", "peak memory")
    _row("---", "---", "---", "---")
    for name, (command, *more) in commands:
        folder = work / name.replace(" ", "-").replace(",", "")
        random_store(folder, STORES[name])
        call = [sys.executable, "-m", "savs", command, str(folder), *more]
        measured = [sys.executable, "-c", MEASURE, *call]
        done = subprocess.run(measured, check=True, capture_output=True, text=True)
        seconds, peak_kib = map(float, done.stdout.split())
        words = " ".join(word for word in (command, *more) if word not in GRID)
        _row(name, f"`{words}`", f"{seconds:.1f}", f"{peak_kib / 1e6:.2f} GB")


def _ways() -> None:
    """Print the processor time of the same arithmetic by three ways."""
    rng = np.random.default_rng(0)
    print()
    _row("work", "savs", "plain numpy", "loop")
    _row("---", "---", "---", "---")
    for heads, n, classes in ((20, 4096, 2), (784, 1024, 2), (20, 4096, 100), (20, 4096, 1000)):
        features = rng.standard_normal((heads, n, 128), np.float32)
        centroids = rng.standard_normal((heads, classes, 128), np.float32)
        fitted, sample = HeadsFit.of("vote", normalise(centroids)), features[:, :64]
        _way(
            f"`vote`, {heads} heads, {n:,} examples, {classes:,} classes",
            cpu_seconds(partial(_by_shard, fitted), features),
            cpu_seconds(other_ways.numpy_evaluate, features, centroids),
            cpu_seconds(other_ways.loop_evaluate, sample, centroids) * n / 64,
        )
    weights = rng.standard_normal((20, 1000, 128), np.float32)
    bias = rng.standard_normal((20, 1000), np.float32)
    features = rng.standard_normal((20, 4096, 128), np.float32)
    _way(
        "`lda`, 20 heads, 4,096 examples, 1,000 classes",
        cpu_seconds(partial(_by_shard, of_weights(weights, bias)), features),
        cpu_seconds(other_ways.numpy_lda_evaluate, features, weights, bias),
        None,
    )
    for heads, n, classes in ((784, 40, 2), (28, 20_000, 1000)):
        features = rng.standard_normal((heads, n, 128), np.float32)
        labels, names = np.arange(n) % classes, [str(c) for c in range(classes)]
        few = slice(None) if n < 1000 else slice(0, 2 * classes)  # of two classes, all
        _way(
            f"scores of {heads} heads, {n:,} examples, {classes:,} classes",
            cpu_seconds(resubstitution, features, labels, names),
            cpu_seconds(other_ways.numpy_select, features, labels, classes, 20),
            cpu_seconds(other_ways.loop_select, features[:2, few], labels[few], classes, 20)
            * (heads / 2) * n / len(labels[few]),
        )  # fmt: skip


def _by_shard(fitted: HeadsFit, features: np.ndarray) -> None:
    for start in range(0, features.shape[1], 256):
        fitted.scores(features[:, start : start + 256])


def _way(what: str, ours: float, plain: float, loop: float | None) -> None:
    others = (plain, loop)
    _row(what, f"{ours:.2f} s", *("-" if t is None else f"{t / ours:.1f} x" for t in others))


def _growth(work: Path) -> None:
    print()
    readouts = ("vote", "posterior", "lda", "knn")
    _row("", *(f"`evaluate`, {name}" for name in readouts), "`select`", "`sweep`, 2 draws")
    _row(*["---"] * (len(readouts) + 3))
    for name, size in GROWTH.items():
        store = random_store(work / f"growth-{name.replace(' ', '')}", size)
        chosen = [select(store, readout=readout, heads="all") for readout in readouts]
        times = [_least(partial(evaluate, store, one)) for one in chosen]
        times += [_least(partial(select, store)), _sweep(store, 2)]
        _row(name, *(f"{seconds:.2f} s" for seconds in times))
    store = random_store(work / "growth-base", BASE)
    _row("draws x 2", *["-"] * (len(readouts) + 1), f"{_sweep(store, 4):.2f} s")


def _sweep(store: FeatureStore, draws: int) -> float:
    options = {"shots": [5, 10], "heads": [5, 20], "readouts": ["vote", "lda"], "draws": draws}
    return _least(partial(sweep, store, **options))


def _least(work: Callable[[], object]) -> float:
    return min(cpu_seconds(work) for _ in range(3))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
