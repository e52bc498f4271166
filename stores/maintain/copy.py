"""Stores made of stores: only some heads of one, or the shards of several."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.errors import ParameterError
from savs.foundation.files import whole_file
from savs.foundation.progress import track
from savs.stores.errors import (
    StoreCorruptError,
    StoreIncompleteError,
    StoreMismatchError,
)
from savs.stores.format.layout import CAPTIONS, CLASSES, Head, LayerGrid
from savs.stores.format.manifest import Manifest
from savs.stores.format.plan import (
    PlannedRow,
    ShardSpec,
    SplitPlan,
    StorePlan,
    row_digest,
    segment_of,
)
from savs.stores.maintain.verify import shard_problem
from savs.stores.read.store import AnyStore, FeatureStore, as_store, open_store, store_of
from savs.stores.shard.content import ShardContent
from savs.stores.shard.read import Shard, open_shard
from savs.stores.write.opening import whole_store
from savs.stores.write.writer import write_errors


def slim(
    store: AnyStore,
    heads: Sequence[Head],
    out: str | Path,
    *,
    before_seal: Callable[[FeatureStore], None] = lambda store: None,
) -> FeatureStore:
    """Write a store that holds only some heads of another, in their order by layer and head.

    Everything else is kept, bit for bit: examples, skips, answers, runs. But for the paths of the
    folders that it follows: they are of this machine, and a copy travels. `before_seal` is
    given the store when all shards are there and store.json is not; it may write results and
    `CARD`. HeadNotFoundError if the store lacks a head, StoreIncompleteError if a planned shard is
    missing, StoreMismatchError if `out` is not empty.
    """
    store = as_store(store)
    _require_whole(store)
    store.require_heads(heads)
    wanted = set(heads)
    grid = tuple(
        LayerGrid(g.layer, layer_heads, g.head_dim)
        for g in store.grid
        if (layer_heads := tuple(head for head in g.heads if (g.layer, head) in wanted))
    )
    identity = replace(store.manifest.identity, grid=grid)
    parts = [(store, spec) for spec in store.present()]
    plan = store.manifest.plan.without_sources()
    manifest = replace(
        store.manifest, identity=identity, plan=plan, batching={}, runs=(), shards=()
    )
    return _write(manifest, parts, Path(out), before_seal)


def merge(stores: Sequence[AnyStore], out: str | Path) -> FeatureStore:
    """Write one store of the shards of several with the same model, settings and benchmark.

    Stores of one plan (several machines that shared the work) are put together; each shard must be
    in one of them. Stores of other plans (several parts of a test file) are put one after the
    other; training examples that all of them have are taken once, and so is each text of a class
    and each caption.

    Parameters
    ----------
    stores
        Two or more stores.
    out
        Folder of the new store.

    Raises
    ------
    StoreMismatchError
        The stores are not of the same model and settings, share some examples, or `out` is not
        empty.
    StoreIncompleteError
        A planned shard is in none of them.
    ParameterError
        There are none.
    """
    if not stores:
        raise ParameterError("no store was given, expected at least one to merge")
    opened = [as_store(store) for store in stores]
    first, out = opened[0], Path(out)
    for other in opened[1:]:
        apart = first.manifest.identity.differences(other.manifest.identity, "in the other")
        if apart:
            raise StoreMismatchError(
                f"{first.path} and {other.path} cannot be merged, they differ in:\n  "
                + "\n  ".join(apart)
            )
    if all(store.manifest.plan == first.manifest.plan for store in opened):
        return _unite(opened, out)
    for store in opened:
        _require_whole(store)
    sizes = sorted({store.manifest.plan.shard_rows for store in opened})
    if len(sizes) > 1:
        raise StoreMismatchError(
            f"the stores have shards of {' and '.join(map(str, sizes))} rows; extract them with the"
            " same number (`shard_rows`)"
        )
    plans, parts = {}, []
    for split in dict.fromkeys(name for store in opened for name in store.manifest.plan.splits):
        having = [s.as_extracted() for s in opened if split in s.manifest.plan.splits]
        plans[split], parts_of_split = merged_plan(having, split)
        parts += parts_of_split
    plan, changes = StorePlan(sizes[0], plans), _changes(opened)
    try:
        manifest = Manifest(first.manifest.identity, plan, **changes)
    except ValueError as error:
        raise StoreMismatchError(
            f"{', '.join(str(store.path) for store in opened)} cannot be merged, {error}; take the"
            " label back with `savs label --take-back`"
        ) from error
    return _write(manifest, parts, out, lambda store: None)


def _changes(stores: Sequence[FeatureStore]) -> dict[str, Any]:
    """Return the `labels` and `rows` of all stores; StoreMismatchError if two do not agree."""
    united: dict[str, dict[str, dict[str, Any]]] = {"labels": {}, "rows": {}}
    for store, (what, changes) in product(stores, united.items()):
        for split, of_split in getattr(store.manifest, what).items():
            for name, now in of_split.items():
                before = changes.setdefault(split, {}).setdefault(name, now)
                if before == now:
                    continue
                if what == "rows":
                    raise StoreMismatchError(
                        f"{store.path}: its folder says another thing of the {split} example"
                        f" {name!r} than the folder of an earlier store; train one again"
                    )
                raise StoreMismatchError(
                    f"{store.path}: the {split} example {name!r} was labelled {now.label!r}"
                    f" ({now.split}), and {before.label!r} ({before.split}) in a store before it;"
                    " correct one with `savs label`"
                )
    return united


def _require_whole(store: FeatureStore) -> None:
    """Raise StoreIncompleteError while a planned shard is missing, however the store was opened."""
    replace(store, partial=False).require_complete()


Part = tuple[FeatureStore, ShardSpec]
"""A shard and the store that it is of."""
TEXT_COLUMNS = ("prompt", "label", "subtask", "category")
"""What makes a text of a class, or a caption."""


def _unite(stores: Sequence[FeatureStore], out: Path) -> FeatureStore:
    """Copy each planned shard from the first store that has it whole."""
    manifest = stores[0].manifest
    homes = {spec: [s for s in stores if spec in s.present()] for spec in manifest.plan.shards()}
    missing = [spec.name for spec, having in homes.items() if not having]
    if missing:
        raise StoreIncompleteError(
            f"{len(missing)} planned shards are in none of the stores ({missing[0]} first);"
            " extract them, or add the store that has them"
        )
    union = Manifest(manifest.identity, manifest.plan, **_changes(stores))
    with whole_store(out, union) as writer:
        for spec, having in track(homes.items(), "shards"):
            source, target = _whole(spec, having), writer.path / spec.name
            with write_errors(target), whole_file(target) as partial:
                shutil.copyfile(source, partial)
    return open_store(out)


def _whole(spec: ShardSpec, having: Sequence[FeatureStore]) -> Path:
    """Return the file of a shard in the first store where it is not damaged."""
    problems = []
    for store in having:
        path = store.path / spec.name
        problem = shard_problem(store.path, spec, store.manifest)
        if problem is None:
            return path
        problems.append(f"{path}: {problem.what}; {problem.remedy}")
    raise StoreCorruptError("\n".join(problems))


def _write(
    manifest: Manifest,
    parts: Sequence[Part],
    out: Path,
    before_seal: Callable[[FeatureStore], None],
) -> FeatureStore:
    """Write shards as those of a new store, one after the other; memory holds one of them."""
    with whole_store(out, manifest) as writer:
        copies = zip(parts, manifest.plan.shards(), strict=True)
        for (store, old), new in track(copies, "shards", len(parts)):
            with open_shard(store.path / old.name, old, store.manifest) as shard:
                content = _content(shard, store.grid, manifest, new)
                writer.write(new, content)
        before_seal(store_of(out, manifest))
    return open_store(out)


def _content(
    shard: Shard, grids: Sequence[LayerGrid], manifest: Manifest, spec: ShardSpec
) -> ShardContent:
    """Return the heads of an identity, and all else of the planned rows, for another shard."""
    identity = manifest.identity
    layers = {grid.layer: grid for grid in grids}
    planned = manifest.plan.planned_ids(spec)
    examples, skipped = shard.examples(), shard.skipped()
    rows = examples["id"].is_in(planned)
    mask = slice(None) if rows.all() else rows.to_numpy()  # a mask copies
    return ShardContent(
        layers={
            g.layer: np.stack(
                [x[mask] for x in shard.heads([(layers[g.layer], head) for head in g.heads])]
            )
            for g in identity.grid
        },
        examples=examples.filter(rows).to_dict(as_series=False),
        skipped=skipped.filter(pl.col("id").is_in(planned)).to_dict(as_series=False),
        run=shard.run,
        outputs={name: shard.output(name)[mask] for name in identity.outputs},
    )


def merged_plan(stores: Sequence[FeatureStore], split: str) -> tuple[SplitPlan, list[Part]]:
    """Return the plan of a split of complete stores, and the part that each of its shards is of.

    Examples of one store come after those of another, and each text of a class and each caption is
    taken once: from such a shard only what no shard before it has. StoreMismatchError if stores
    share some examples, but not all, or have another text under one id.
    """
    if split in (CLASSES, CAPTIONS):
        return _texts(stores, split)
    taken = _taken(stores, split)
    shard_rows = taken[0].manifest.plan.shard_rows
    plan = _joined([store.manifest.plan.splits[split] for store in taken], shard_rows)
    return plan, [(store, spec) for store in taken for spec in store.present(split)]


def _texts(stores: Sequence[FeatureStore], split: str) -> tuple[SplitPlan, list[Part]]:
    """Return the plan of texts: what is new in a shard is a segment, and so a shard again."""
    seen: dict[str, Mapping[str, Any]] = {}
    segments, parts = [], []
    for store in stores:
        rows = _rows(store, split)
        for spec in store.present(split):
            planned = store.manifest.plan.planned_ids(spec)
            new = [name for name in planned if seen.setdefault(name, rows[name]) is rows[name]]
            for name in planned:
                if any(seen[name][column] != rows[name][column] for column in TEXT_COLUMNS):
                    raise StoreMismatchError(
                        f"{store.path}: {split} example {name!r} is another text, or of another"
                        " class, than in a store before it; extract or import the stores again"
                    )
            if new:
                digests = [PlannedRow(name, row_digest(rows[name])) for name in new]
                segments.append(segment_of(digests))
                parts.append((store, spec))
    return SplitPlan(tuple(seen), tuple(segments)), parts


def _rows(store: FeatureStore, split: str) -> dict[str, dict[str, Any]]:
    """Return id -> row of a split, skipped ones too."""
    examples = store.examples(split)
    table = pl.concat([examples, store.skipped(split).select(examples.columns)])
    return {
        row["id"]: row | {"extra": json.loads(row["extra"])} for row in table.iter_rows(named=True)
    }


def _taken(stores: Sequence[FeatureStore], split: str) -> Sequence[FeatureStore]:
    """Return whose examples of a split are taken: of one store where all have the same."""
    plans = [store.manifest.plan.splits[split] for store in stores]
    if all(plan == plans[0] for plan in plans):
        return stores[:1]
    seen: dict[str, Path] = {}
    for store, plan in zip(stores, plans, strict=True):
        for identifier in plan.ids:
            if identifier in seen:
                raise StoreMismatchError(
                    f"{split} example {identifier!r} is in {seen[identifier]} and in"
                    f" {store.path}; an example may be in one store only"
                )
            seen[identifier] = store.path
    return stores


def _joined(plans: Sequence[SplitPlan], shard_rows: int) -> SplitPlan:
    """Return plans one after the other: the same segments give the same shards."""
    order: list[int] = []
    dropped: list[int] = []
    shards = 0
    for plan in plans:
        before = len(order)
        order += [before + row for row in plan.order or range(len(plan.ids))]
        dropped += [shards + number for number in plan.dropped]
        shards += sum(-(-segment.rows // shard_rows) for segment in plan.segments)
    return SplitPlan(
        tuple(identifier for plan in plans for identifier in plan.ids),
        tuple(segment for plan in plans for segment in plan.segments),
        tuple(order) if any(plan.order for plan in plans) else None,
        tuple(dropped),
    )
