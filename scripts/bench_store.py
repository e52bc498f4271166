"""Compare the store with other ways to keep features, in one run.

    python scripts/bench_store.py --work build/bench-store

Needs about 10 GB of disk for a NaturalBench-size store (7,600 x 784 x 128, bfloat16) and its
rivals, and 15 GB more for `--long`, one ten times as long. Files are read from the page cache; each
time begins with opening those that hold features, and the best of seven counts. Ratios depend less
on the machine than times do.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl

from savs.stores import (
    Identity,
    LayerGrid,
    PlannedRow,
    ShardContent,
    ShardSpec,
    open_store,
    open_writer,
)
from savs.stores.format.layout import EXAMPLE_COLUMNS

LAYERS, HEADS, WIDTH = 28, 28, 128
SHARD_ROWS, TRAIN_ROWS = 256, 40
CHOSEN = [(layer, (7 * layer) % HEADS) for layer in range(4, 24)]
CLASSES = ("Yes", "No")
SAVS = str(Path(sys.executable).with_name("savs"))
WALK = f"""
import sys
from savs.stores import open_store
for _ in open_store(sys.argv[1]).blocks("test", {CHOSEN}, raw=True):
    pass
"""
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Write the stores, measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    parser.add_argument("--rows", type=int, default=7600)
    parser.add_argument("--long", action="store_true", help="measure one ten times as long, too")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    print("| what | value |\n| --- | --- |")
    bits = _bits(SHARD_ROWS)
    folder = options.work / "store"
    rate = _write_store(folder, bits, options.rows, np.ascontiguousarray(bits).tobytes())
    _row("rate of writing, of the disk's plain sequential rate", rate)
    _reads(folder, options.work, bits, options.rows)
    _opening(options.work)
    seconds = _evaluate(folder)
    print(f"| `savs evaluate`, whole process | {seconds:.2f} s |")
    if options.long:
        shutil.rmtree(options.work / "rivals")
        _long(options.work, bits, options.rows, folder)


def _bits(rows: int) -> np.ndarray:
    """Return `(layers, heads, rows, width)` bfloat16 bits of normal values."""
    values = np.random.default_rng(0).standard_normal((LAYERS, HEADS, rows, WIDTH), np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def _identity() -> Identity:
    grid = tuple(LayerGrid(layer, tuple(range(HEADS)), WIDTH) for layer in range(LAYERS))
    names = ["name", "revision", "class", "config", "weights"]
    model: dict[str, str] = dict.fromkeys(names, "random")
    return Identity(
        model=model,
        processor={"class": "none"},
        dtype="bfloat16",
        benchmark={"name": "general", "options": {}},
        prompt="-",
        grid=grid,
    )


def _write_store(folder: Path, bits: np.ndarray, rows: int, plain: bytes = b"") -> float:
    """Write a store of so many test rows, and as many plain bytes; return the ratio of their rates.

    A shard and a plain file take turns, because a disk's rate changes within seconds.
    """
    aside = folder.with_name("plain")
    aside.mkdir(exist_ok=True)
    counts = {"train": TRAIN_ROWS, "test": rows}
    plan = {s: [PlannedRow(f"{s}:{i}", str(i)) for i in range(n)] for s, n in counts.items()}
    ours_s = plain_s = 0.0
    with open_writer(folder, _identity(), plan, shard_rows=SHARD_ROWS) as writer:
        for spec in writer.missing():
            started = time.perf_counter()
            writer.write(spec, _content(spec, bits))
            ours_s += time.perf_counter() - started
            nbytes = bits[:, :, 0].nbytes * spec.rows
            plain_s += _write_plain(aside / spec.name, plain[:nbytes])
        writer.seal()
    shutil.rmtree(aside)
    return plain_s / ours_s


def _content(spec: ShardSpec, bits: np.ndarray) -> ShardContent:
    columns: dict[str, Any] = dict.fromkeys(EXAMPLE_COLUMNS, [None] * spec.rows)
    columns |= {
        "index": list(range(spec.start, spec.stop)),
        "id": [f"{spec.split}:{i}" for i in range(spec.start, spec.stop)],
        "split": [spec.split] * spec.rows,
        "label": [CLASSES[i % 2] for i in range(spec.start, spec.stop)],
        "prompt": ["Is it there?"] * spec.rows,
        **dict.fromkeys(("media", "media_sha256"), [[]] * spec.rows),
        "extra": ["{}"] * spec.rows,
    }
    nothing: dict[str, list[object]] = {name: [] for name in (*columns, "reason")}
    layers = {layer: bits[layer, :, : spec.rows] for layer in range(LAYERS)}
    return ShardContent(layers, columns, nothing, run={})


def _write_plain(path: Path, data: bytes) -> float:
    """Write bytes to a new file and make them durable; return the seconds."""
    started = time.perf_counter()
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def _reads(folder: Path, work: Path, bits: np.ndarray, rows: int) -> None:
    """Compare reading 20 heads of all test rows with the rivals."""
    rivals = work / "rivals"
    rivals.mkdir()
    _write_rivals(rivals, bits, rows)
    slabs = len(CHOSEN) * rows * WIDTH * 2
    store = open_store(folder)
    ours = lambda: store.features("test", CHOSEN, raw=True)  # noqa: E731
    before = _read_bytes()
    ours()
    _row("bytes read for 20 heads, of the bytes of those heads", (_read_bytes() - before) / slabs)
    seconds = _best(ours)
    places = [layer * HEADS + head for layer, head in CHOSEN]
    others: dict[str, Callable[[], object]] = {
        "a head-major .npy memory map, no checksum": lambda: _mapped(rivals / "heads.npy", places),
        "row-major HDF5": lambda: _row_major(rivals / "rows.h5", places),
        "Parquet, a column a head": lambda: pl.read_parquet(
            rivals / "heads.parquet", columns=[f"h{p}" for p in places]
        ),
    }
    for name, read in others.items():
        _row(f"time to read 20 heads with their crc32, of {name}", seconds / _best(read))


def _write_rivals(folder: Path, bits: np.ndarray, rows: int) -> None:
    heads = bits.reshape(LAYERS * HEADS, SHARD_ROWS, WIDTH)
    repeats = -(-rows // SHARD_ROWS)
    shape = (LAYERS * HEADS, rows, WIDTH)
    array = np.lib.format.open_memmap(folder / "heads.npy", "w+", np.uint16, shape)
    with h5py.File(folder / "rows.h5", "w") as file:
        dataset = file.create_dataset("features", (rows, LAYERS * HEADS, WIDTH), np.uint16)
        for number in range(repeats):
            part = slice(number * SHARD_ROWS, min((number + 1) * SHARD_ROWS, rows))
            count = part.stop - part.start
            array[:, part] = heads[:, :count]
            dataset[part] = heads[:, :count].transpose(1, 0, 2)
    array.flush()
    columns = {
        f"h{number}": pl.Series(np.asarray(array[number]), dtype=pl.Array(pl.UInt16, WIDTH))
        for number in range(LAYERS * HEADS)
    }
    pl.DataFrame(columns).write_parquet(
        folder / "heads.parquet", compression="uncompressed", row_group_size=SHARD_ROWS
    )


def _mapped(path: Path, places: list[int]) -> np.ndarray:
    return np.load(path, mmap_mode="r")[places]


def _row_major(path: Path, places: list[int]) -> np.ndarray:
    with h5py.File(path) as file:
        features: Any = file["features"]
        return features[:, sorted(places)]


def _opening(work: Path) -> None:
    folder = work / "hundred"
    plan = {"train": [PlannedRow(f"t{i}", str(i)) for i in range(25_600)]}
    with open_writer(folder, _identity(), plan, shard_rows=SHARD_ROWS):
        pass
    seconds = _best(lambda: open_store(folder))
    print(f"| `open_store` on 100 shards | {1000 * seconds:.0f} ms |")


def _evaluate(folder: Path) -> float:
    _savs("select", folder)
    return _best(lambda: _savs("evaluate", folder))


def _savs(*arguments: str | Path) -> None:
    subprocess.run([SAVS, *arguments], check=True, capture_output=True)


def _long(work: Path, bits: np.ndarray, rows: int, folder: Path) -> None:
    """Compare one ten times as long: time by rows, and memory."""
    long = work / "long"
    _write_store(long, bits, 10 * rows)
    _savs("select", long)
    seconds = [_best(lambda s=s: _walk(s)) for s in (folder, long)]
    _row(
        "time of 20 heads of ten times the rows, of ten times the time",
        seconds[1] / seconds[0] / 10,
    )
    for what, command in (
        ("reading 20 heads shard by shard", [sys.executable, "-c", WALK]),
        ("`savs evaluate`", [SAVS, "evaluate"]),
    ):
        one, ten = (_peak([*command, str(path)]) for path in (folder, long))
        _row(f"peak memory of {what} of ten times the rows, of that of one", ten / one)


def _walk(folder: Path) -> None:
    for _ in open_store(folder).blocks("test", CHOSEN, raw=True):
        pass


def _peak(command: list[str]) -> int:
    """Return the most memory of a command, in kibibytes.

    It is asked of a small process between: a child's figure begins with its parent's.
    """
    between = [sys.executable, "-c", PEAK, *command]
    return int(subprocess.run(between, check=True, capture_output=True, text=True).stdout)


def _best(work: Callable[[], object], times: int = 7) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _read_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def _row(name: str, ratio: float) -> None:
    print(f"| {name} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
