"""A store as one polars table: a row an example, a column a head, read only where asked for."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from savs.foundation.frames import keep_columns
from savs.stores.format.layout import LayerGrid, head_name, to_float32
from savs.stores.format.plan import ShardSpec
from savs.stores.read.shards import Shards
from savs.stores.shard.read import Shard
from savs.stores.shard.text_columns import EXAMPLE_SCHEMA

_ROW = "\0row"
"""Column with a row's place in its shard; no column of a store can have this name."""


def scan_shards(shards: Shards, specs: Sequence[ShardSpec]) -> pl.LazyFrame:
    """Return the examples and heads of some shards of a store as a LazyFrame.

    Shards are read one after the other: first the example columns that the query names; then, if
    a row is wanted, of the heads that it names the values of that shard, which their crc32 checks
    as a whole. A head that is not named is not read.

    Returns
    -------
    LazyFrame
        The columns of `EXAMPLE_SCHEMA`, then one `Array(Float32, head_dim)` a head, `L12.H7`.
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
        query = _Query(identity.dtype, heads, names, predicate)
        left = sys.maxsize if n_rows is None else n_rows
        for spec in specs:
            if left <= 0:
                return
            with shards.open(spec) as shard:
                frame = query.rows(shard, left)
                left -= shard.rows
            if frame is not None:
                yield frame

    return register_io_source(read, schema=schema, is_pure=True, explain_name="savs store")


class _Query:
    """Which columns and rows are wanted, and in which order they are read."""

    def __init__(
        self,
        dtype: str,
        heads: Mapping[str, tuple[LayerGrid, int]],
        names: Sequence[str],
        predicate: pl.Expr | None,
    ) -> None:
        self._dtype, self._names, self._predicate = dtype, names, predicate
        roots = set() if predicate is None else set(predicate.meta.root_names())
        self._columns = [name for name in EXAMPLE_SCHEMA if name in roots.union(names)]
        self._heads = {name: heads[name] for name in heads if name in roots.union(names)}
        self._is_about_heads = bool(roots & set(heads))

    def rows(self, shard: Shard, limit: int) -> pl.DataFrame | None:
        """Return the wanted ones of the first `limit` rows of a shard; None without any.

        A limit comes before the predicate: so polars means the two where it pushes both down.
        """
        frame = shard.examples(self._columns).with_row_index(_ROW).head(limit)
        if not self._is_about_heads:
            frame = self._filtered(frame)
        if frame.height:
            frame = frame.with_columns(self._features(shard, frame[_ROW].to_numpy()))
        if frame.height and self._is_about_heads:
            frame = self._filtered(frame)
        return keep_columns(frame, self._names) if frame.height else None

    def _filtered(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame if self._predicate is None else frame.filter(self._predicate)

    def _features(self, shard: Shard, rows: np.ndarray) -> list[pl.Series]:
        found = []
        for name, (grid, head) in self._heads.items():
            (values,) = shard.heads([(grid, head)])
            wanted = values if len(rows) == len(values) else values[rows]
            array = np.ascontiguousarray(to_float32(wanted, self._dtype))
            found.append(pl.Series(name, array, dtype=pl.Array(pl.Float32, grid.head_dim)))
        return found
