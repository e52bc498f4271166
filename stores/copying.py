"""Stores made of stores: only some heads of one, or the shards of several."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from savs.stores.content import ShardContent
from savs.stores.errors import StoreIncompleteError, StoreMismatchError
from savs.stores.layout import OUTPUT_NAMES, Head, LayerGrid
from savs.stores.manifest import Identity, Manifest, differences
from savs.stores.plan import ROW_COLUMNS, PlannedRow, ShardSpec, plan_parts, row_digest
from savs.stores.reader import FeatureStore, open_store
from savs.stores.shard_reading import Shard, open_shard
from savs.stores.writer import FeatureWriter, new_writer

Part = tuple[FeatureStore, ShardSpec]
"""A shard and the store that it is of."""


def slim_store(store: FeatureStore, heads: Sequence[Head], out: Path) -> FeatureStore:
    """Write a store that holds only some heads of another, in their order by layer and head.

    Everything else is kept, bit for bit: examples, skips, answers, hidden states, runs.

    Raises
    ------
    HeadNotFoundError
        The store does not hold one of the heads.
    StoreIncompleteError
        A planned shard is missing.
    StoreMismatchError
        `out` is not empty.
    """
    store.require_complete()
    store.require_heads(heads)
    wanted = set(heads)
    grid = tuple(
        LayerGrid(g.layer, kept, g.head_dim)
        for g in store.grid
        if (kept := tuple(head for head in g.heads if (g.layer, head) in wanted))
    )
    identity = replace(store.manifest.identity, grid=grid)
    return _write(identity, [(store, spec) for spec in store.present()], out)


def merge_stores(stores: Sequence[FeatureStore], out: Path) -> FeatureStore:
    """Write one store of the shards of several that are of the same model, settings and benchmark.

    Stores of one plan (several machines that shared the work) are put together; each shard must be
    in one of them. Stores of other plans (several parts of a test file) are put one after the
    other; training examples that all of them have are taken once.

    Raises
    ------
    StoreMismatchError
        The stores are not of the same model and settings, share some examples, or `out` is not
        empty.
    StoreIncompleteError
        A planned shard is in none of them.
    """
    first = stores[0]
    for other in stores[1:]:
        ours, theirs = (s.manifest.identity.to_json() for s in (first, other))
        apart = differences(ours, theirs, "in the other")
        if apart:
            raise StoreMismatchError(
                f"{first.path} and {other.path} are not of the same kind:\n  " + "\n  ".join(apart)
            )
    if all(store.manifest.plan == first.manifest.plan for store in stores):
        return _unite(stores, out)
    for store in stores:
        store.require_complete()
    parts = _parts(stores)
    return _write(first.manifest.identity, parts, out)


def _unite(stores: Sequence[FeatureStore], out: Path) -> FeatureStore:
    """Copy each planned shard from the first store that has it."""
    plan = stores[0].manifest.plan
    homes = {spec.name: store.path for store in reversed(stores) for spec in store.present()}
    missing = [spec.name for spec in plan.shards() if spec.name not in homes]
    if missing:
        raise StoreIncompleteError(
            f"{len(missing)} planned shards are in none of the stores ({missing[0]} first);"
            " extract them, or merge the store that has them, too"
        )
    with new_writer(out, Manifest(stores[0].manifest.identity, plan)) as writer:
        for name, home in homes.items():
            shutil.copyfile(home / name, out / name)
        writer.seal()
    return open_store(out)


def _parts(stores: Sequence[FeatureStore]) -> list[Part]:
    """Return all shards in their new order; a split that all stores share is taken once."""
    found: list[Part] = []
    for split in stores[0].manifest.plan.splits:
        plans = [store.manifest.plan.splits[split] for store in stores]
        same = all(plan == plans[0] for plan in plans)
        seen: dict[str, Path] = {}
        for store, plan in zip(stores[:1] if same else stores, plans, strict=False):
            for identifier in plan.ids:
                if identifier in seen:
                    raise StoreMismatchError(
                        f"{split} example {identifier!r} is in {seen[identifier]} and in"
                        f" {store.path}; each may be in one store only"
                    )
                seen[identifier] = store.path
            found += [(store, spec) for spec in store.present(split)]
    return found


def _write(identity: Identity, parts: Sequence[Part], out: Path) -> FeatureStore:
    """Write shards as those of a new store, one after the other; memory holds one of them."""
    rows: dict[str, list[list[PlannedRow]]] = {}
    for store, spec in parts:
        with _open(store, spec) as shard:
            rows.setdefault(spec.split, []).append(_planned(store, spec, shard))
    manifest = Manifest(identity, plan_parts(rows, max(len(p) for s in rows.values() for p in s)))
    with new_writer(out, manifest) as writer:
        for (store, old), new in zip(parts, manifest.plan.shards(), strict=True):
            with _open(store, old) as shard:
                _copy(shard, store.grid, identity, writer, new)
        writer.seal()
    return open_store(out)


@contextmanager
def _open(store: FeatureStore, spec: ShardSpec) -> Iterator[Shard]:
    with open_shard(store.path / spec.name, spec, store.manifest.identity) as shard:
        yield shard


def _planned(store: FeatureStore, spec: ShardSpec, shard: Shard) -> list[PlannedRow]:
    """Return the planned rows of a shard, from its own columns."""
    digests: dict[str, str] = {}
    for columns in (shard.examples(), shard.skipped()):
        for place, identifier in enumerate(columns["id"]):
            values: dict[str, Any] = {name: columns[name][place] for name in ROW_COLUMNS}
            values |= {name: json.loads(values[name]) for name in ("media", "extra")}
            digests[identifier] = row_digest(values)
    ids = store.manifest.plan.splits[spec.split].ids[spec.start : spec.stop]
    return [PlannedRow(identifier, digests[identifier]) for identifier in ids]


def _copy(
    shard: Shard,
    grids: Sequence[LayerGrid],
    identity: Identity,
    writer: FeatureWriter,
    spec: ShardSpec,
) -> None:
    """Write the heads of an identity, and all else in a shard, as another shard."""
    kept, held = identity.outputs, {grid.layer: grid for grid in grids}
    names = [n for n in OUTPUT_NAMES if ("hidden" if n == "hidden" else "answers") in kept]
    writer.write(
        spec,
        ShardContent(
            layers={
                g.layer: np.stack(list(shard.heads(held[g.layer], g.heads))) for g in identity.grid
            },
            examples=shard.examples(),
            skipped=shard.skipped(),
            run=shard.run,
            outputs={name: shard.output(name) for name in names},
        ),
    )
