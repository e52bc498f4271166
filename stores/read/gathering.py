"""Some heads of some shards as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.format.layout import STORED_DTYPES, Head, LayerGrid, as_numbers, to_float32
from savs.stores.format.plan import ShardSpec
from savs.stores.read.shards import Shards
from savs.stores.shard.read import Shard


@dataclass(frozen=True, slots=True)
class Block:
    """The examples of one shard with some of their heads, read from one opening of its file."""

    examples: pl.DataFrame
    """One row an example, in the order of the shard; the columns of `FeatureStore.examples`."""
    features: Array
    """`(heads, examples, head_dim)`."""


def read_block(
    shards: Shards,
    spec: ShardSpec,
    heads: Sequence[Head],
    *,
    raw: bool,
    memory: Array | None = None,
) -> Block:
    """Return the examples of a shard with some of its heads; see `gather`.

    `memory` is for float32 features: an array that is filled if it has rows enough.
    """
    with shards.open(spec) as shard:
        if raw:
            values = _empty(shards, shard, heads, shard.rows)
            _fill(shard, _wanted(shards, heads), values, 0)
        else:
            values = _numbers(shards, shard, heads, memory)
        return Block(shard.examples(), values)


def _numbers(shards: Shards, shard: Shard, heads: Sequence[Head], memory: Array | None) -> Array:
    """Return float32 heads of a shard, layer by layer: little memory holds what is stored."""
    wanted, dtype = _wanted(shards, heads), shards.manifest.identity.dtype
    shard.slabs(wanted)
    width = max(grid.head_dim for grid, _ in wanted)
    if memory is None or len(memory[0]) < shard.rows:
        memory = np.empty((len(heads), shard.rows, width), np.float32)
    values, start = memory[:, : shard.rows], 0
    for grid, of_layer in groupby(wanted, lambda head: head[0]):
        some = list(of_layer)
        stored = np.empty((len(some), shard.rows, grid.head_dim), STORED_DTYPES[dtype])
        shard.heads(some, list(stored))
        own = values[start : start + len(some)]
        own[..., : grid.head_dim] = as_numbers(stored, dtype)
        own[..., grid.head_dim :] = 0
        start += len(some)
    return values


def gather(
    shards: Shards, specs: Sequence[ShardSpec], heads: Sequence[Head], *, raw: bool
) -> Array:
    """Return some heads of some shards, example by example in the order of the shards.

    Parameters
    ----------
    shards
        The store's.
    specs
        Which of them, at least one; all have their file.
    heads
        Which heads; the store holds all of them.
    raw
        Return the stored values, bfloat16 as its bits in uint16, instead of float32.

    Returns
    -------
    ndarray
        `(heads, examples, head_dim)`. Heads narrower than the widest one are padded with zeros.

    Raises
    ------
    StoreCorruptError
        A shard is not as the store declares it, or a head fails its checksum.
    """
    planned, stop = sum(spec.rows for spec in specs), 0
    values: Array = np.zeros(0)
    for spec in specs:
        with shards.open(spec) as shard:
            if spec is specs[0]:  # the file bears the declared sizes out, so memory may be taken
                values = _empty(shards, shard, heads, planned)
            stop += _fill(shard, _wanted(shards, heads), values, stop)
    kept = np.ascontiguousarray(values[:, :stop])  # planned examples may have been skipped
    return kept if raw else to_float32(kept, shards.manifest.identity.dtype)


def _wanted(shards: Shards, heads: Sequence[Head]) -> list[tuple[LayerGrid, int]]:
    grids = {grid.layer: grid for grid in shards.manifest.identity.grid}
    return [(grids[layer], head) for layer, head in heads]


def _empty(shards: Shards, shard: Shard, heads: Sequence[Head], rows: int) -> Array:
    wanted = _wanted(shards, heads)
    shard.slabs(wanted)
    width = max(grid.head_dim for grid, _ in wanted)
    return np.zeros((len(heads), rows, width), STORED_DTYPES[shards.manifest.identity.dtype])


def _fill(shard: Shard, wanted: list[tuple[LayerGrid, int]], values: Array, start: int) -> int:
    """Put the heads of a shard into `values[:, start:]`; return how many rows they have."""
    part = values[:, start : start + shard.rows]
    shard.heads(wanted, [v[:, : grid.head_dim] for v, (grid, _) in zip(part, wanted, strict=True)])
    return shard.rows
