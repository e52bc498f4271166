"""Some heads of some shards as one array."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.format.layout import STORED_DTYPES, Head, to_float32
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.read.tables import shard_table
from savs.stores.shard.read import open_shard

Features = Array


@dataclass(frozen=True, slots=True)
class Block:
    """The examples of one shard with some of their heads, read from one opening of its file."""

    examples: pl.DataFrame
    """One row an example, in the order of the shard; the columns of `FeatureStore.examples`."""
    features: Features
    """`(heads, examples, head_dim)`."""


def read_block(
    folder: Any, identity: Identity, spec: ShardSpec, heads: Sequence[Head], *, raw: bool
) -> Block:
    """Return the examples of a shard with some of its heads; the parameters are those of `gather`.

    Raises
    ------
    StoreCorruptError
        The shard is not as the store declares it, or fails a checksum.
    """
    grids = {grid.layer: grid for grid in identity.grid}
    wanted = [(grids[layer], head) for layer, head in heads]
    width = max(grid.head_dim for grid, _ in wanted)
    with open_shard(folder / spec.name, spec, identity) as shard:
        shard.require(wanted)
        values = np.zeros((len(heads), shard.rows, width), STORED_DTYPES[identity.dtype])
        places = zip(values, wanted, strict=True)
        shard.heads(wanted, [part[:, : grid.head_dim] for part, (grid, _) in places])
        examples = shard_table(shard)
    return Block(examples, values if raw else to_float32(values, identity.dtype))


def gather(
    folder: Any, identity: Identity, specs: Sequence[ShardSpec], heads: Sequence[Head], *, raw: bool
) -> Features:
    """Return some heads of some shards, example by example in the order of the shards.

    Parameters
    ----------
    folder
        The store's folder or address.
    identity
        What the store is of.
    specs
        Which shards; all have their file.
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
    grids = {grid.layer: grid for grid in identity.grid}
    wanted = [(grids[layer], head) for layer, head in heads]
    width = max(grid.head_dim for grid, _ in wanted)
    planned = sum(spec.rows for spec in specs)
    values: Features = np.zeros((0, 0, 0))
    start = stop = 0
    for spec in specs:
        with open_shard(folder / spec.name, spec, identity) as shard:
            if spec is specs[0]:  # a shard bears the declared sizes out: there may be so much
                shard.require(wanted)
                values = np.zeros((len(heads), planned, width), STORED_DTYPES[identity.dtype])
            start, stop = stop, stop + shard.rows
            places = zip(values, wanted, strict=True)
            shard.heads(wanted, [part[start:stop, : grid.head_dim] for part, (grid, _) in places])
    kept = np.ascontiguousarray(values[:, :stop])  # planned examples may have been skipped
    return kept if raw else to_float32(kept, identity.dtype)
