"""A shard as its rows count now: with the labels and splits that they were given since."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.format.layout import LayerGrid
from savs.stores.format.manifest import LateLabel, current_split
from savs.stores.shard.read import Shard


class CurrentRows:
    """The rows of a shard that count as examples of one split, or all of them.

    Stands in for the `Shard` that it reads. Skipped examples have no features, so no label moves
    them: they stay in the split that they were planned in.

    Parameters
    ----------
    shard
        Open for reading.
    late
        Id -> label, of rows of the split that the shard was planned in.
    planned, split
        That split, and the one whose rows are wanted; None for all.
    """

    def __init__(
        self, shard: Shard, late: Mapping[str, LateLabel], planned: str, split: str | None
    ) -> None:
        self._shard = shard
        self._holds_skipped = split in (None, planned)
        ids = shard.examples(["id"])["id"]
        # of this shard alone: a store may have many shards and many labels
        self._late = {name: late[name] for name in ids if name in late}
        now = [current_split(self._late, name, planned) for name in ids]
        is_wanted = np.array([split in (None, name) for name in now], bool)
        self._rows = np.flatnonzero(is_wanted)

    @property
    def run(self) -> dict[str, Any]:
        """What the writer of the shard recorded about itself."""
        return self._shard.run

    @property
    def rows(self) -> int:
        """Number of wanted examples."""
        return len(self._rows)

    def examples(self, names: Collection[str] | None = None) -> pl.DataFrame:
        """Return the columns of the wanted examples; `label` and `split` as they are now."""
        table = self._shard.examples(None if names is None else {*names, "id"})
        known = [n for n in ("label", "split") if self._late and n in table.columns]
        changes = {name: [getattr(x, name) for x in self._late.values()] for name in known}
        table = table.with_columns(
            pl.col("id").replace_strict([*self._late], new, default=pl.col(name)).alias(name)
            for name, new in changes.items()
        )[self._rows]
        return table if names is None or "id" in names else table.drop("id")

    def skipped(self, names: Collection[str] | None = None) -> pl.DataFrame:
        """Return the skipped examples, if they count as examples of the wanted split."""
        table = self._shard.skipped(names)
        return table if self._holds_skipped else table.clear()

    def slabs(self, wanted: Sequence[tuple[LayerGrid, int]]) -> object:
        """Check that the layers are as the store declares them, see `Shard.slabs`."""
        return self._shard.slabs(wanted)

    def heads(
        self, wanted: Sequence[tuple[LayerGrid, int]], out: Sequence[Array] | None = None
    ) -> list[Array]:
        """Return `(rows, head_dim)` of the wanted examples for each head, see `Shard.heads`."""
        values = [head[self._rows] for head in self._shard.heads(wanted)]
        if out is None:
            return values
        for target, head in zip(out, values, strict=True):
            target[...] = head
        return list(out)

    def output(self, name: str) -> Array:
        """Return an output of the wanted examples, see `Shard.output`."""
        return self._shard.output(name)[self._rows]


OpenShard = Shard | CurrentRows
"""A shard that is open for reading."""
