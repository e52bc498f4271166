"""Mutated shards, read by a process of its own: `python fuzzing.py FOLDER FIRST STOP`.

It prints `SEED` before it reads the file of a seed and ` OUTCOME` after, so that whoever started it
sees which file crashed or hung it.
"""

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from shard_files import index_start

from savs.stores import ShardContent, StoreError, open_store, open_writer
from savs.stores.maintain.verify import verify
from savs.stores.shard.read import open_shard
from stores import GRID, columns, identity, planned

SHARD = "train-00000.h5"
ROWS = 5
SKIPPED = 1
OUTPUTS = {"answers": {"a": 1, "b": 2}, "ranks": {}}
BATCH = 250
"""Seeds that one process reads."""
MORE_MEMORY_BYTES = 500 * 2**20


def write_original(folder: Path) -> None:
    """Write a store of one shard that has skipped examples and all outputs, and no seal."""
    rng = np.random.default_rng(0)
    rows = [
        {"label": "ab"[i % 2], "group": f"g{i}", "subtask": f"s{i}", "category": f"c{i}"}
        | {"media": f'["{i}.png"]', "media_sha256": f'["{i:064x}"]', "extra": f'{{"n":{i}}}'}
        for i in range(ROWS)
    ]
    kept = ROWS - SKIPPED
    content = ShardContent(
        layers={
            g.layer: rng.normal(size=(len(g.heads), kept, g.head_dim)).astype(np.float32)
            for g in GRID
        },
        examples=columns("train", rows[:kept]),
        skipped=columns("train", rows[kept:], kept) | {"reason": ["it is damaged"] * SKIPPED},
        run={"made": "by hand"},
        outputs={
            "answers": rng.normal(size=(kept, 2)).astype(np.float32),
            "ranks": rng.integers(0, 99, (kept, 4, 2)).astype(np.int32),
        },
    )
    plan = {"train": planned("train", ROWS)}
    with open_writer(folder, replace(identity(), outputs=OUTPUTS), plan) as writer:
        writer.write(writer.missing()[0], content)


def read_all(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every way to read the shard, by name; `verify` alone reads it once more."""
    store = open_store(folder)
    (spec,) = store.manifest.plan.shards()
    yield "features", lambda: store.features("train")
    yield "examples", lambda: store.examples("train").to_dict(as_series=False)
    yield "skipped", lambda: store.skipped("train").to_dict(as_series=False)
    yield "ranks", lambda: store.output("train", "ranks")
    with ExitStack() as stack:
        try:
            opened = open_shard(folder / spec.name, spec, store.manifest)
            shard = stack.enter_context(opened)
        except StoreError:
            return
        yield "shard rows", lambda: shard.rows
        yield "shard run", lambda: bool(shard.run)  # its text has no checksum
        for grid in store.grid:
            wanted = [(grid, head) for head in grid.heads]
            yield f"layer {grid.layer}", lambda wanted=wanted: shard.heads(wanted)
        for name in OUTPUTS:
            yield f"output {name}", lambda name=name: shard.output(name)


def outcome(folder: Path, original: dict[str, Any]) -> str:
    """Read a store in every way; return `whole`, `refused`, or what is wrong."""
    wrong, refused = [], []
    for name, read in read_all(folder):
        try:
            if not same(read(), original[name]):
                wrong.append(f"{name}: other values in silence")
        except StoreError:
            refused.append(name)
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    try:
        damaged = any(problem.kind == "damaged" for problem in verify(folder).problems)
        if refused and not damaged:
            wrong.append(f"verify: finds nothing where {refused} are refused")
    except Exception as error:
        wrong.append(f"verify: {type(error).__name__}: {error}")
    return "; ".join(wrong).replace("\n", " ") or ("refused" if refused else "whole")


def same(one: Any, two: Any) -> bool:
    """Return whether two results are equal bit for bit."""
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    if isinstance(one, list) and one and isinstance(one[0], np.ndarray):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def main(folder: Path, first: int, stop: int) -> None:
    """Read the mutated files of the seeds from `first` to `stop`."""
    whole = (folder / SHARD).read_bytes()
    places = metadata_places(folder / SHARD)
    original = {name: read() for name, read in read_all(folder)}
    for seed in range(first, stop):
        print(seed, end="", flush=True)
        before = _in_use()
        (folder / "next").write_bytes(mutate(whole, places, seed))
        (folder / "next").replace(folder / SHARD)  # a file of its own: HDF5 knows files by inode
        found = outcome(folder, original)
        files, memory_bytes = np.subtract(_in_use(), before)
        if files > 0 or memory_bytes > MORE_MEMORY_BYTES:
            found = f"{files} files left open, {memory_bytes:,} bytes more memory; {found}"
        print("", found, flush=True)


def _in_use() -> tuple[int, int]:
    """Return the number of open files and the most memory that this process had, in bytes."""
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return len(list(Path("/proc/self/fd").iterdir())), peak_kib * 1024


def metadata_places(path: Path) -> np.ndarray[Any, Any]:
    """Return the places of a shard's bytes that say where its values lie: its index."""
    data = path.read_bytes()
    return np.arange(index_start(data), len(data))


def mutate(data: bytes, places: np.ndarray[Any, Any], seed: int) -> bytes:
    """Return bytes that differ from `data`, always the same for a seed.

    Odd seeds aim at `places`, the others anywhere.
    """
    rng = np.random.default_rng(seed)
    pool = places if seed % 2 else np.arange(len(data))
    changed = data
    while changed == data:
        change = MUTATIONS[seed // 2 % len(MUTATIONS)]
        changed = change(data, pool, rng)
    return changed


def _flip(data: bytes, pool: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    found = bytearray(data)
    for place in rng.choice(pool, rng.choice([1, 1, 2, 8])):
        found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _replace_bytes(data: bytes, pool: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    """Put bytes that break number fields: 0, 255, small and random ones."""
    found = bytearray(data)
    for place in rng.choice(pool, rng.choice([1, 1, 2, 4])):
        found[place] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return bytes(found)


def _run_of_noise(data: bytes, pool: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    start, noise = int(rng.choice(pool)), rng.bytes(int(rng.integers(2, 65)))
    return (data[:start] + noise + data[start + len(noise) :])[: len(data)]


def _truncate(data: bytes, pool: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    """Cut the end off, or fill it with zeros as a crash of some file systems does."""
    start = int(rng.choice(pool))
    return data[:start] + (bytes(len(data) - start) if rng.integers(2) else b"")


def _splice(data: bytes, pool: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    """Copy a block over another place, every other time at multiples of 8, as HDF5 lays fields."""
    start, to = _pair(pool, rng)
    block = data[start : start + int(rng.choice([8, 16, 24, 40, 64, 512]))]
    return (data[:to] + block + data[to + len(block) :])[: len(data)]


def _swap(data: bytes, pool: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    """Exchange two blocks of one length."""
    one, two = sorted(_pair(pool, rng))
    length = min(int(rng.choice([8, 16, 24, 40, 64])), two - one, len(data) - two)
    first, second = data[one : one + length], data[two : two + length]
    return data[:one] + second + data[one + length : two] + first + data[two + length :]


def _pair(pool: np.ndarray[Any, Any], rng: np.random.Generator) -> list[int]:
    unit = int(rng.choice([1, 8]))
    return [int(place) // unit * unit for place in rng.choice(pool, 2)]


MUTATIONS = (_flip, _replace_bytes, _run_of_noise, _truncate, _splice, _swap)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
