"""Measure stage 2 against plain numpy and the reference's loop over heads, side by side in one run.

    python scripts/bench_evaluate.py --work build/bench-evaluate

Random features of 784 heads x 128, as Qwen2-VL-7B has them. Times are the best of three; ratios
depend less on the machine than times do. Needs 2 GB of disk and takes a few minutes on two cores;
`--sweep` adds the whole grid of `savs sweep` on 7,600 test examples.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from savs.pipeline import evaluate, select, sweep
from savs.pipeline.centroids import nearest_centroids
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
from savs.stores.layout import TEXT_COLUMNS

LAYERS, HEADS, WIDTH, SHARD_ROWS = 28, 28, 128, 256


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the stores")
    parser.add_argument("--sweep", action="store_true", help="time the sweep of all readouts, too")
    options = parser.parse_args()
    print("| heads | examples | classes | ours | plain numpy | loop over heads |")
    print("| --- | --- | --- | --- | --- | --- |")
    for heads, examples, classes in [(20, 1000, 2), (20, 10_000, 2), (784, 1000, 2),
                                     (20, 1000, 100), (20, 1000, 1000)]:  # fmt: skip
        _scoring(heads, examples, classes)
    store = make_store(options.work / "naturalbench", 7600, 2, 40 if not options.sweep else 80)
    print("\n| what | seconds |\n| --- | --- |")
    _time(
        f"`select` of 784 heads on {store.facts['planned']['train']} examples",
        lambda: select(store),
    )
    for name in READOUTS:
        chosen = select(store, readout=name)
        _time(f"`evaluate`, 7,600 examples, {name}", partial(evaluate, store, chosen))
    _process(options.work / "naturalbench")
    if options.sweep:
        for name in READOUTS:
            _time(f"`sweep` 6 x 5 x 10, {name}", partial(sweep, store, readouts=[name]), times=1)
    many = make_store(options.work / "classes", 2000, 1000, 5000)
    chosen = select(many)
    _time("`select`, 1,000 classes, 5,000 examples", lambda: select(many), times=1)
    _time("`evaluate`, 1,000 classes, 2,000 examples", lambda: evaluate(many, chosen), times=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| peak memory of all of it | {peak:.1f} GB |")


def make_store(folder: Path, rows: int, classes: int, train: int) -> FeatureStore:
    """Write a store of random features, or open the one that is there."""
    if (folder / "store.json").exists():
        return open_store(folder)
    rng = np.random.default_rng(0)
    grid = tuple(LayerGrid(layer, tuple(range(HEADS)), WIDTH) for layer in range(LAYERS))
    model: dict[str, str] = dict.fromkeys(["name", "revision", "class", "config", "weights"], "-")
    facts = {"name": "general", "options": {}}
    identity = Identity(model, {"class": "none"}, "bfloat16", facts, "-", grid)
    plan = {
        split: [PlannedRow(f"{split}:{i}", str(i)) for i in range(count)]
        for split, count in (("train", train), ("test", rows))
    }
    means = rng.standard_normal((classes, WIDTH), np.float32)
    with open_writer(folder, identity, plan, shard_rows=SHARD_ROWS) as writer:
        for spec in writer.missing():
            numbers = np.arange(spec.start, spec.stop) % classes
            columns: dict[str, list[object]] = dict.fromkeys(TEXT_COLUMNS, [None] * spec.rows)
            columns |= {
                "index": list(range(spec.start, spec.stop)),
                "id": [f"{spec.split}:{i}" for i in range(spec.start, spec.stop)],
                "split": [spec.split] * spec.rows,
                "label": [f"class {n}" for n in numbers],
                "prompt": ["?"] * spec.rows,
                **dict.fromkeys(("media", "media_sha256"), ["[]"] * spec.rows),
                "extra": ["{}"] * spec.rows,
            }
            layers = {}
            for layer in range(LAYERS):
                noise = rng.standard_normal((HEADS, spec.rows, WIDTH), np.float32)
                values = noise + 0.02 * layer * means[numbers]
                layers[layer] = (values.view(np.uint32) >> 16).astype(np.uint16)
            nothing: dict[str, list[object]] = {name: [] for name in (*columns, "reason")}
            writer.write(spec, ShardContent(layers, columns, nothing, run={}))
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
        call = [sys.executable, "-m", "savs.pipeline.cli", command, str(store)]
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
