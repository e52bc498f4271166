"""Some heads of some shards as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.format.layout import STORED_DTYPES, Head, LayerGrid, as_numbers
from savs.stores.format.plan import ShardSpec
from savs.stores.read.shards import Shards
from savs.stores.shard.read import Shard
from savs.stores.shard.text_columns import SKIPPED_SCHEMA


@dataclass(frozen=True, slots=True)
class Block:
    """The examples of a shard, or of several, with some heads, from one opening of each file."""

    examples: pl.DataFrame
    """One row an example, in the order of the shards; the columns of `FeatureStore.examples`."""
    skipped: pl.DataFrame
    """Examples of these shards that could not be read, with the column `reason`."""
    features: Array
    """`(heads, examples, head_dim)`."""


def read_blocks(
    shards: Shards,
    specs: Sequence[ShardSpec],
    heads: Sequence[Head],
    *,
    rows: int,
    raw: bool,
    reuse: bool,
) -> Iterator[Block]:
    """Yield the examples of shards with some of their heads; see `gather`.

    Shards are read as one block while they have at most `rows` examples. `reuse` overwrites the
    features of one block by those of the next.
    """
    memory: Array = np.zeros((0, 0, 0))
    for some in _groups(specs, rows):
        planned, stop, examples = sum(spec.rows for spec in some), 0, []
        skipped = [pl.DataFrame(schema=SKIPPED_SCHEMA)]
        for spec in some:
            with shards.open(spec) as shard:
                if spec is some[0] and not (reuse and memory.shape[1] >= planned):
                    memory = _empty(shards, shard, heads, planned, raw=raw)
                start, stop = stop, stop + shard.rows
                _fill(shards, shard, heads, memory[:, start:stop], raw=raw)
                examples.append(shard.examples())
                skipped += [shard.skipped()] if shard.rows < spec.rows else []
        yield Block(
            pl.concat(examples, how="diagonal"),
            pl.concat(skipped, how="diagonal"),
            memory[:, :stop],
        )


def _groups(specs: Sequence[ShardSpec], rows: int) -> Iterator[list[ShardSpec]]:
    """Yield shards that follow each other: with at most so many rows, or one."""
    group: list[ShardSpec] = []
    held = 0
    for spec in specs:
        if group and held + spec.rows > rows:
            yield group
            group, held = [], 0
        group.append(spec)
        held += spec.rows
    if group:
        yield group


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
                values = _empty(shards, shard, heads, planned, raw=raw)
            start, stop = stop, stop + shard.rows
            _fill(shards, shard, heads, values[:, start:stop], raw=raw)
    return np.ascontiguousarray(values[:, :stop])  # planned examples may have been skipped


def _wanted(shards: Shards, heads: Sequence[Head]) -> list[tuple[LayerGrid, int]]:
    grids = {grid.layer: grid for grid in shards.manifest.identity.grid}
    return [(grids[layer], head) for layer, head in heads]


def _empty(shards: Shards, shard: Shard, heads: Sequence[Head], rows: int, *, raw: bool) -> Array:
    """Return zeros for heads of some rows."""
    wanted = _wanted(shards, heads)
    shard.slabs(wanted)
    width = max(grid.head_dim for grid, _ in wanted)
    kind = STORED_DTYPES[shards.manifest.identity.dtype] if raw else np.float32
    return np.zeros((len(heads), rows, width), kind)


def _fill(shards: Shards, shard: Shard, heads: Sequence[Head], values: Array, *, raw: bool) -> None:
    """Put heads of a shard into values, layer by layer: little memory holds what is stored."""
    dtype, start = shards.manifest.identity.dtype, 0
    for grid, of_layer in groupby(_wanted(shards, heads), lambda head: head[0]):
        some = list(of_layer)
        stored = np.empty((len(some), shard.rows, grid.head_dim), STORED_DTYPES[dtype])
        shard.heads(some, list(stored))
        own = values[start : start + len(some), :, : grid.head_dim]
        own[...] = stored if raw else as_numbers(stored, dtype)
        start += len(some)
