"""Damage to a file's bytes that a seed fixes: flips, noise, cuts, copied and exchanged blocks."""

from pathlib import Path
from typing import Any

import numpy as np
from shard_files import index_start


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
