"""Measure stage 2 against plain numpy and the reference's loop over heads, side by side in one run.

    python scripts/bench_evaluate.py --work build/bench-evaluate

Random features of 784 heads x 128, as Qwen2-VL-7B has them. Times are the best of three; ratios
depend less on the machine than times do. Needs 2 GB of disk and takes a few minutes on two cores.
`--sweep` adds the whole grid of `savs sweep` on 7,600 test examples for the named readouts,
`--scale` time and peak memory with up to 10,000 classes and 100,000 examples (4 GB of disk).
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from savs.pipeline import evaluate, select, sweep
from savs.pipeline.heads.centroids import nearest_centroids
from savs.pipeline.readouts import READOUTS
from savs.stores import (
    FeatureStore,
    Identity,
    LayerGrid,
    PlannedRow,
    ShardContent,
    open_store,
    open_writer,
)
from savs.stores.format.layout import EXAMPLE_COLUMNS

LAYERS, HEADS, WIDTH, SHARD_ROWS = 28, 28, 128, 256
SCALE_LAYERS = 4
SCALES = [(1000, 5000, 2000), (10, 200, 100_000), (1000, 5000, 100_000), (10_000, 20_000, 10_000)]
"""Classes, training examples, test examples."""
MEASURE = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A small process in between: a child's peak begins with that of the process that started it."""


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the stores")
    parser.add_argument("--sweep", nargs="*", default=[], metavar="READOUT", choices=[*READOUTS])
    parser.add_argument("--scale", action="store_true", help="many classes and examples, too")
    options = parser.parse_args()
    print("| heads | examples | classes | ours | plain numpy | loop over heads |")
    print("| --- | --- | --- | --- | --- | --- |")
    for heads, examples, classes in [(20, 1000, 2), (20, 10_000, 2), (784, 1000, 2),
                                     (20, 1000, 100), (20, 1000, 1000)]:  # fmt: skip
        _scoring(heads, examples, classes)
    store = make_store(options.work / "naturalbench", 7600, 2, 80)
    print("\n| what | seconds |\n| --- | --- |")
    _time(
        f"`select` of 784 heads on {store.facts['planned']['train']} examples",
        lambda: select(store),
    )
    for name in READOUTS:
        chosen = select(store, readout=name)
        _time(f"`evaluate`, 7,600 examples, {name}", partial(evaluate, store, chosen))
    _process(options.work / "naturalbench")
    for name in options.sweep:
        _time(f"`sweep` 6 x 5 x 10, {name}", partial(sweep, store, readouts=[name]), times=1)
    if options.scale:
        print("\n| classes | train | test | heads | `savs select` | `savs evaluate` |")
        print("| --- | --- | --- | --- | --- | --- |")
        for classes, train, test in SCALES:
            _scale(options.work / f"{classes}-{test}", classes, train, test)


def _scale(folder: Path, classes: int, train: int, test: int) -> None:
    make_store(folder, test, classes, train, SCALE_LAYERS)
    cells = []
    for command in ("select", "evaluate"):
        call = [sys.executable, "-m", "savs.pipeline.cli.app", command, str(folder)]
        measured = [sys.executable, "-c", MEASURE, *call]
        done = subprocess.run(measured, check=True, capture_output=True, text=True)
        seconds, peak_kib = map(float, done.stdout.split())
        cells.append(f"{seconds:.0f} s, {peak_kib / 1e6:.1f} GB")
    heads = SCALE_LAYERS * HEADS
    print(
        f"| {classes:,} | {train:,} | {test:,} | {heads} | " + " | ".join(cells) + " |", flush=True
    )


def make_store(
    folder: Path, rows: int, classes: int, train: int, layers: int = LAYERS
) -> FeatureStore:
    """Write a store of random features, or open the one that is there."""
    if (folder / "store.json").exists():
        return open_store(folder)
    rng = np.random.default_rng(0)
    grid = tuple(LayerGrid(layer, tuple(range(HEADS)), WIDTH) for layer in range(layers))
    model: dict[str, str] = dict.fromkeys(["name", "revision", "class", "config", "weights"], "-")
    identity = Identity(
        model=model,
        processor={"class": "none"},
        dtype="bfloat16",
        benchmark={"name": "general", "options": {}},
        prompt="-",
        grid=grid,
    )
    plan = {
        split: [PlannedRow(f"{split}:{i}", str(i)) for i in range(count)]
        for split, count in (("train", train), ("test", rows))
    }
    means = rng.standard_normal((classes, WIDTH), np.float32)
    with open_writer(folder, identity, plan, shard_rows=SHARD_ROWS) as writer:
        for spec in writer.missing():
            numbers = np.arange(spec.start, spec.stop) % classes
            columns: dict[str, list[object]] = dict.fromkeys(EXAMPLE_COLUMNS, [None] * spec.rows)
            columns |= {
                "index": list(range(spec.start, spec.stop)),
                "id": [f"{spec.split}:{i}" for i in range(spec.start, spec.stop)],
                "split": [spec.split] * spec.rows,
                "label": [f"class {n}" for n in numbers],
                "prompt": ["?"] * spec.rows,
                **dict.fromkeys(("media", "media_sha256"), [[]] * spec.rows),
                "extra": ["{}"] * spec.rows,
            }
            features = {}
            for layer in range(layers):
                noise = rng.standard_normal((HEADS, spec.rows, WIDTH), np.float32)
                values = noise + 0.02 * layer * means[numbers]
                features[layer] = (values.view(np.uint32) >> 16).astype(np.uint16)
            nothing: dict[str, list[object]] = {name: [] for name in (*columns, "reason")}
            writer.write(spec, ShardContent(features, columns, nothing, run={}))
        writer.seal()
    return open_store(folder)


def _scoring(heads: int, examples: int, classes: int) -> None:
    """Time the nearest centroids of all heads, by three ways to find them."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((heads, examples, WIDTH), np.float32)
    centroids = rng.standard_normal((heads, classes, WIDTH), np.float32)
    ours = _best(lambda: nearest_centroids(features, centroids))
    ways = (_numpy, _loop)
    cells = [
        f"{ours * 1000:,.0f} ms",
        *(f"{_best(partial(way, features, centroids)) / ours:.1f} x" for way in ways),
    ]
    print(f"| {heads} | {examples:,} | {classes:,} | " + " | ".join(cells) + " |")


def _numpy(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    x, c = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (features, centroids))
    return (x @ c.transpose(0, 2, 1)).argmax(axis=2)


def _loop(features: np.ndarray, centroids: np.ndarray) -> list[list[int]]:
    """One example and one head at a time, as the public reference does it."""
    found = []
    for i in range(features.shape[1]):
        row = []
        for head in range(len(features)):
            x, c = features[head, i], centroids[head]
            cosines = (c @ x) / (np.linalg.norm(c, axis=1) * np.linalg.norm(x))
            row.append(int(cosines.argmax()))
        found.append(row)
    return found


def _process(store: Path) -> None:
    for command in ("select", "evaluate"):
        call = [sys.executable, "-m", "savs.pipeline.cli.app", command, str(store)]
        _time(f"`savs {command}`, whole process",
              lambda call=call: subprocess.run(call, check=True, capture_output=True))  # fmt: skip


def _time(what: str, work: Callable[[], object], times: int = 3) -> None:
    print(f"| {what} | {_best(work, times):.2f} |", flush=True)


def _best(work: Callable[[], object], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
