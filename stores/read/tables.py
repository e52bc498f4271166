"""What the shards of a store tell apart from features: examples, skipped examples, order, time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from savs.foundation.arrays import Array
from savs.stores.errors import StoreIncompleteError, StoreMismatchError
from savs.stores.files.addresses import is_remote
from savs.stores.files.raw_file import size_bytes
from savs.stores.format.layout import RESULTS, SECONDS
from savs.stores.format.manifest import Manifest, current_split
from savs.stores.format.plan import ShardSpec
from savs.stores.read.current_rows import CurrentRows, OpenShard
from savs.stores.shard.content import EXAMPLE_SCHEMA, SKIPPED_SCHEMA, check_labels
from savs.stores.shard.index import damage
from savs.stores.shard.read import open_shard


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


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of the splits of a store; what is asked of a split is read once.

    One opening of a shard gives all of it. Only examples, which may be many and have thumbnails,
    are not read before they are asked for.
    """

    shards: Shards
    _examples: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    _orders: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)
    _skipped: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    _seconds: dict[str, float | None] = field(default_factory=dict, repr=False, compare=False)
    _rows: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def examples(self, split: str) -> pl.DataFrame:
        """Return the examples with features, in the order of the input file."""
        if split not in self._examples:
            self._read(split, with_examples=True)
        return self._examples[split]

    def order(self, split: str) -> Array | None:
        """Return the order that puts the rows of a split's shards as the input file has them.

        None if they are so.
        """
        if self._is_in_order(split):
            return None
        if split not in self._orders:
            self._read(split, with_examples=True)
        return self._orders[split]

    def skipped(self, split: str) -> pl.DataFrame:
        """Return the examples that could not be read, with the column `reason`."""
        if split not in self._skipped:
            self._read(split)
        return self._skipped[split]

    def seconds(self, split: str) -> float | None:
        """Return the time that extraction took; None if a shard does not record it."""
        if split not in self._seconds:
            self._read(split)
        return self._seconds[split]

    def rows(self, split: str) -> int:
        """Return the number of examples with features."""
        if split not in self._rows:
            self._read(split)
        return self._rows[split]

    def _read(self, split: str, *, with_examples: bool = False) -> None:
        examples = [pl.DataFrame(schema=EXAMPLE_SCHEMA)]
        skipped = [pl.DataFrame(schema=SKIPPED_SCHEMA)]
        seconds: list[float | None] = [0.0]
        rows = 0
        for spec in self._there(split):
            with self.shards.open(spec, split) as shard:
                examples += [shard.examples()] if with_examples else []
                skipped.append(shard.skipped())
                taken, share = _seconds_of(shard), self.shards.planned(spec, split) / spec.rows
                seconds.append(None if taken is None else taken * share)
                rows += shard.rows
        self._skipped[split] = self._checked(split, skipped)
        self._rows[split] = rows
        self._seconds[split] = None if None in seconds else sum(filter(None, seconds), 0.0)
        if with_examples:
            self._examples[split] = self._checked(split, examples)
        if with_examples and not self._is_in_order(split):
            stored = pl.concat([table.select("id") for table in examples])
            self._orders[split] = self.places(split, stored).arg_sort().to_numpy()

    def _there(self, split: str) -> list[ShardSpec]:
        specs = self.shards.present(split)
        if not specs and self.shards.manifest.ids(split):
            raise StoreIncompleteError(
                f"{self.shards.folder} has no finished {split} shard yet; run `savs extract`, or"
                " wait"
            )
        return specs

    def _checked(self, split: str, tables: list[pl.DataFrame]) -> pl.DataFrame:
        rows = pl.concat(tables, how="diagonal")  # some shards may have thumbnails
        self.require_labels(split, rows)
        return rows if self._is_in_order(split) else self.in_order(split, rows)

    def _is_in_order(self, split: str) -> bool:
        manifest = self.shards.manifest
        plan = manifest.plan.splits.get(split)
        return not manifest.labels and (plan is None or plan.order is None)

    def in_order(self, split: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a split, known by their `id`, in the order of the plan."""
        places = self.places(split, rows)
        return rows if places.is_sorted() else rows[places.arg_sort()]

    def places(self, split: str, rows: pl.DataFrame) -> pl.Series:
        """Return the `place` in the plan of each row of a split, known by its `id`."""
        ids = self.shards.manifest.ids(split)
        planned = pl.DataFrame({"id": ids}, schema={"id": pl.String}).with_row_index("place")
        if rows["id"].equals(planned["id"]):
            return planned["place"]
        return rows.select("id").join(planned, on="id", how="left", maintain_order="left")["place"]

    def require_labels(self, split: str, rows: pl.DataFrame) -> None:
        """Raise StoreCorruptError if only some of the rows that must be labelled are.

        Where labels came after the features, only some test examples may have one.
        """
        if split == "test" and self.shards.manifest.labels:
            return
        with damage(f"{self.shards.folder}: {split} examples"):
            check_labels(rows["label"], split)


def _seconds_of(shard: OpenShard) -> float | None:
    seconds = shard.run.get(SECONDS)
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return seconds if is_number else None


def store_facts(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the facts that `savs show` prints, ready for JSON."""
    shards, grid = manifest.plan.shards(), manifest.identity.grid
    sizes = shard_sizes(folder, manifest)
    return {
        "path": str(folder),
        "model": dict(manifest.identity.model),
        "processor": dict(manifest.identity.processor),
        "benchmark": dict(manifest.identity.benchmark),
        "dtype": manifest.identity.dtype,
        "layers": len(grid),
        "heads": sum(len(layer.heads) for layer in grid),
        "head_dims": sorted({layer.head_dim for layer in grid}),
        "planned": {split: len(manifest.ids(split)) for split in manifest.splits},
        "late_labels": sum(map(len, manifest.labels.values())),
        "shards": len(shards),
        "missing_shards": [s.name for s in shards if s.name not in sizes],
        "bytes": sum(sizes.values()),
        "sealed": manifest.sealed,
        "runs": [dict(run) for run in manifest.runs],
        "results": []
        if is_remote(folder)
        else sorted(p.parent.name for p in folder.glob(f"{RESULTS}/*/metrics.json")),
    }


def shard_sizes(folder: Path, manifest: Manifest) -> dict[str, int]:
    """Return the size in bytes of each planned shard that has its file.

    A finished remote store is believed: it has all that store.json lists.
    """
    if is_remote(folder) and manifest.sealed:
        return {shard.name: shard.bytes for shard in manifest.shards}
    names = [shard.name for shard in manifest.plan.shards()]
    sizes = {name: size_bytes(folder / name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}
