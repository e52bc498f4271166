"""The shards of a store, each as its rows count now: as labels and sources have changed them."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.stores.errors import StoreMismatchError
from savs.stores.files.addresses import is_remote
from savs.stores.files.raw_file import size_bytes
from savs.stores.format.layout import LayerGrid
from savs.stores.format.manifest import Manifest, RowChanges
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.read import Shard, open_shard


class CurrentRows:
    """The rows of a shard that count as examples of one split, or of any.

    Stands in for the `Shard` that it reads. `changes` are those of the split that the shard was
    `planned` in, and `split` is the one whose rows are wanted, None for all that are in one.
    """

    def __init__(self, shard: Shard, changes: RowChanges, planned: str, split: str | None) -> None:
        self._shard = shard
        self._changes = changes
        self._planned = planned
        self._split = split
        self._ids = shard.examples(["id"])["id"].to_list()
        self._rows = self._wanted(self._ids)

    def _wanted(self, ids: Sequence[str]) -> Array:
        """Return the places of the wanted rows."""
        unchanged = {"split": self._planned}
        now = [self._changes.get(name, unchanged)["split"] for name in ids]
        is_wanted = [split is not None and self._split in (None, split) for split in now]
        return np.flatnonzero(np.array(is_wanted, bool))

    @property
    def run(self) -> dict[str, Any]:
        """What the writer of the shard recorded about itself."""
        return self._shard.run

    @property
    def rows(self) -> int:
        """Number of wanted examples."""
        return len(self._rows)

    def examples(self, names: Collection[str] | None = None) -> pl.DataFrame:
        """Return the columns of the wanted examples, as they are now."""
        return self._now(self._shard.examples(names), self._ids, self._rows)

    def skipped(self) -> pl.DataFrame:
        """Return the skipped examples that count as examples of the wanted split."""
        table = self._shard.skipped()
        ids = table["id"].to_list()
        return self._now(table, ids, self._wanted(ids))

    def _now(self, table: pl.DataFrame, ids: Sequence[str], rows: Array) -> pl.DataFrame:
        # of this shard alone: a store may have many shards and many changes
        changed = [
            (place, self._changes[ids[place]])
            for place in map(int, rows)
            if ids[place] in self._changes
        ]
        columns = []
        for name in table.columns:
            values = {place: change[name] for place, change in changed if name in change}
            if values:
                now = [values.get(place, old) for place, old in enumerate(table[name])]
                columns.append(pl.Series(name, now, dtype=table.schema[name]))
        return table.with_columns(columns)[rows]

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


@dataclass(frozen=True, slots=True)
class Shards:
    """A store's shards, opened one at a time."""

    folder: Any
    """The store's folder or URL."""
    manifest: Manifest
    _seen: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Name of a shard -> its fingerprint at the first look."""
    _has_file: dict[ShardSpec, bool] = field(default_factory=dict, repr=False, compare=False)
    """Each planned shard, and whether it had its file at the first look."""
    _counts: dict[ShardSpec, Counter[str | None]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Shard with changed rows -> split -> how many of its planned rows are in it now."""

    def present(self, split: str | None = None, *, missing: bool = False) -> list[ShardSpec]:
        """Return the planned shards of a split, or of all, that have a file; or that have none.

        A shard with a row that a change brought into the split is one of its shards, too. The first
        look counts. A shard that comes while the store is read stays out: examples that were read
        before would be paired with other rows.
        """
        if not self._has_file:
            sizes = shard_sizes(self.folder, self.manifest)
            specs = self.manifest.plan.shards()
            self._has_file.update({spec: spec.name in sizes for spec in specs})
        return [
            spec
            for spec, has_file in self._has_file.items()
            if has_file != missing
            and (split is None or split == spec.split or self.planned(spec, split))
        ]

    def planned(self, spec: ShardSpec, split: str) -> int:
        """Return how many planned rows of a shard are in a split now."""
        changes = self.manifest.changes.get(spec.split)
        if not changes:
            return spec.rows if split == spec.split else 0
        if spec not in self._counts:
            unchanged = {"split": spec.split}
            ids = self.manifest.plan.planned_ids(spec)
            self._counts[spec] = Counter(changes.get(name, unchanged)["split"] for name in ids)
        return self._counts[spec][split]

    @contextmanager
    def open(self, spec: ShardSpec, split: str | None = None) -> Iterator[OpenShard]:
        """Open a shard, checked against the plan, for its rows of a split, or for all of them.

        Errors as in `open_shard`. StoreMismatchError if it was written again since it was first
        opened, so that rows read then may not be its rows now.
        """
        with open_shard(self.folder / spec.name, spec, self.manifest) as shard:
            if self._seen.setdefault(spec.name, shard.fingerprint) != shard.fingerprint:
                raise StoreMismatchError(
                    f"{self.folder / spec.name} changed while it was read, perhaps by an extraction"
                    " with `retry_skipped`; run this command again"
                )
            changes = self.manifest.changes.get(spec.split)
            yield CurrentRows(shard, changes, spec.split, split) if changes else shard


def shard_sizes(folder: Path, manifest: Manifest) -> dict[str, int]:
    """Return the size in bytes of each planned shard that has its file.

    A finished remote store is believed: it has all that store.json lists.
    """
    if is_remote(folder) and manifest.sealed:
        return {shard.name: shard.bytes for shard in manifest.shards}
    names = [shard.name for shard in manifest.plan.shards()]
    sizes = {name: size_bytes(folder / name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}
