"""The shards of a store, each as its rows count now: with labels and splits given since."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from savs.stores.format.manifest import LateLabel, Manifest, current_split
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.read import Shard, open_shard


class CurrentRows:
    """The rows of a shard that count as examples of one split, or all of them.

    Stands in for the `Shard` that it reads. Skipped examples have no features, so no label moves
    them: they stay in the split that they were planned in.

    `late` are the labels by id of the split that the shard was `planned` in, and `split` is the one
    whose rows are wanted, None for all.
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
    _counts: dict[ShardSpec, Counter[str]] = field(default_factory=dict, repr=False, compare=False)
    """Shard with rows that got a label -> split -> how many of its planned rows are in it now."""

    def present(self, split: str | None = None, *, missing: bool = False) -> list[ShardSpec]:
        """Return the planned shards of a split, or of all, that have a file; or that have none.

        A shard with a row that a label brought into the split is one of its shards, too. The first
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
            if (split in (None, spec.split) or self.planned(spec, split)) and has_file != missing
        ]

    def planned(self, spec: ShardSpec, split: str | None = None) -> int:
        """Return how many planned rows of a shard are in a split now; of all without one."""
        late = self.manifest.labels.get(spec.split)
        if split is None or not late:
            return spec.rows if split in (None, spec.split) else 0
        if spec not in self._counts:
            ids = self.manifest.plan.planned_ids(spec)
            self._counts[spec] = Counter(current_split(late, name, spec.split) for name in ids)
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
            late = self.manifest.labels.get(spec.split)
            yield CurrentRows(shard, late, spec.split, split) if late else shard


def shard_sizes(folder: Path, manifest: Manifest) -> dict[str, int]:
    """Return the size in bytes of each planned shard that has its file.

    A finished remote store is believed: it has all that store.json lists.
    """
    if is_remote(folder) and manifest.sealed:
        return {shard.name: shard.bytes for shard in manifest.shards}
    names = [shard.name for shard in manifest.plan.shards()]
    sizes = {name: size_bytes(folder / name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}
