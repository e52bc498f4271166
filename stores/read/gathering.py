"""Some heads of some shards as arrays."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from savs.foundation.arrays import Array
from savs.foundation.frames import keep_columns
from savs.foundation.progress import track
from savs.stores.format.layout import (
    STORED_DTYPES,
    Head,
    LayerGrid,
    as_numbers,
    head_name,
    to_float32,
)
from savs.stores.format.plan import ShardSpec
from savs.stores.read.shards import OpenShard, Shards
from savs.stores.shard.content import EXAMPLE_SCHEMA, SKIPPED_SCHEMA


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
    split: str,
    rows: int,
    raw: bool,
    reuse: bool,
) -> Iterator[Block]:
    """Yield the examples of a split in shards with some of their heads; see `gather`.

    Shards are read as one block while they have at most `rows` examples. `reuse` overwrites the
    features of one block by those of the next.
    """
    memory: Array = np.zeros((0, 0, 0))
    planned_rows = {spec: shards.planned(spec, split) for spec in specs}
    for some in track([*_groups(planned_rows, rows)], "groups of shards"):
        planned, stop, examples = sum(planned_rows[spec] for spec in some), 0, []
        skipped = [pl.DataFrame(schema=SKIPPED_SCHEMA)]
        for spec in some:
            with shards.open(spec, split) as shard:
                if spec is some[0] and not (reuse and memory.shape[1] >= planned):
                    memory = _empty(shards, shard, heads, planned, raw=raw)
                start, stop = stop, stop + shard.rows
                _fill(shards, shard, heads, memory[:, start:stop], raw=raw)
                examples.append(shard.examples())
                skipped += [shard.skipped()] if shard.rows < planned_rows[spec] else []
        yield Block(
            pl.concat(examples, how="diagonal"),
            pl.concat(skipped, how="diagonal"),
            memory[:, :stop],
        )


def _groups(planned_rows: Mapping[ShardSpec, int], rows: int) -> Iterator[list[ShardSpec]]:
    """Yield consecutive shards: with at most `rows` rows together, or one."""
    group: list[ShardSpec] = []
    held = 0
    for spec, count in planned_rows.items():
        if group and held + count > rows:
            yield group
            group, held = [], 0
        group.append(spec)
        held += count
    if group:
        yield group


def gather(
    shards: Shards, specs: Sequence[ShardSpec], heads: Sequence[Head], *, split: str, raw: bool
) -> Array:
    """Return some heads of the examples of a split, `(heads, examples, head_dim)`, shard by shard.

    At least one shard; all have their file, and the store holds all heads. `raw` gives the stored
    values, bfloat16 as its bits in uint16, instead of float32. Heads narrower than the widest one
    are padded with zeros. StoreCorruptError if a shard is not as the store declares it, or a head
    fails its checksum.
    """
    planned, stop = sum(shards.planned(spec, split) for spec in specs), 0
    values: Array = np.zeros(0)
    for spec in specs:
        with shards.open(spec, split) as shard:
            if spec is specs[0]:  # the file bears the declared sizes out, so memory may be taken
                values = _empty(shards, shard, heads, planned, raw=raw)
            start, stop = stop, stop + shard.rows
            _fill(shards, shard, heads, values[:, start:stop], raw=raw)
    return np.ascontiguousarray(values[:, :stop])  # planned examples may have been skipped


def _wanted(shards: Shards, heads: Sequence[Head]) -> list[tuple[LayerGrid, int]]:
    grids = {grid.layer: grid for grid in shards.manifest.identity.grid}
    return [(grids[layer], head) for layer, head in heads]


def _empty(
    shards: Shards, shard: OpenShard, heads: Sequence[Head], rows: int, *, raw: bool
) -> Array:
    wanted = _wanted(shards, heads)
    shard.slabs(wanted)
    width = max(grid.head_dim for grid, _ in wanted)
    kind = STORED_DTYPES[shards.manifest.identity.dtype] if raw else np.float32
    return np.zeros((len(heads), rows, width), kind)


def _fill(
    shards: Shards, shard: OpenShard, heads: Sequence[Head], values: Array, *, raw: bool
) -> None:
    """Put heads of a shard into values, layer by layer: little memory holds what is stored."""
    dtype, start = shards.manifest.identity.dtype, 0
    for grid, of_layer in groupby(_wanted(shards, heads), lambda head: head[0]):
        some = list(of_layer)
        stored = np.empty((len(some), shard.rows, grid.head_dim), STORED_DTYPES[dtype])
        shard.heads(some, list(stored))
        target = values[start : start + len(some), :, : grid.head_dim]
        target[...] = stored if raw else as_numbers(stored, dtype)
        start += len(some)


_ROW = "\0row"
"""Column with a row's place in its shard; no column of a store can have this name."""


def scan_shards(shards: Shards, specs: Sequence[ShardSpec]) -> pl.LazyFrame:
    """Return the examples and heads of some shards of a store as a LazyFrame.

    Its columns are those of `EXAMPLE_SCHEMA`, then one `Array(Float32, head_dim)` a head, `L12.H7`.
    Shards are read one after the other: first the example columns that the query names; then, if
    a row is wanted, of the heads that it names the values of that shard, which their crc32 checks
    as a whole. A head that is not named is not read.
    """
    identity = shards.manifest.identity
    heads = {head_name((g.layer, head)): (g, head) for g in identity.grid for head in g.heads}
    schema: dict[str, Any] = dict(EXAMPLE_SCHEMA)
    schema |= {name: pl.Array(pl.Float32, grid.head_dim) for name, (grid, _) in heads.items()}

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a shard is a batch
        names = list(schema) if with_columns is None else with_columns
        condition = pl.lit(True) if predicate is None else predicate
        roots = set(condition.meta.root_names())
        columns = [name for name in EXAMPLE_SCHEMA if name in roots.union(names)]
        wanted = {name: heads[name] for name in heads if name in roots.union(names)}
        is_about_heads = not roots.isdisjoint(heads)
        left = sys.maxsize if n_rows is None else n_rows
        for spec in specs:
            if left <= 0:
                return
            with shards.open(spec) as shard:
                # A limit comes before the predicate: polars means that where it pushes both down.
                frame = shard.examples(columns).with_row_index(_ROW).head(left)
                left -= shard.rows
                if not is_about_heads:
                    frame = frame.filter(condition)
                if frame.height:
                    rows = frame[_ROW].to_numpy()
                    frame = frame.with_columns(_features(shard, wanted, rows, identity.dtype))
                if frame.height and is_about_heads:
                    frame = frame.filter(condition)
            if frame.height:
                yield keep_columns(frame, names)

    return register_io_source(read, schema=schema, is_pure=True, explain_name="savs store")


def _features(
    shard: OpenShard, heads: Mapping[str, tuple[LayerGrid, int]], rows: np.ndarray, dtype: str
) -> list[pl.Series]:
    columns = []
    for name, (grid, head) in heads.items():
        (values,) = shard.heads([(grid, head)])
        wanted = values if len(rows) == len(values) else values[rows]
        array = np.ascontiguousarray(to_float32(wanted, dtype))
        columns.append(pl.Series(name, array, dtype=pl.Array(pl.Float32, grid.head_dim)))
    return columns
