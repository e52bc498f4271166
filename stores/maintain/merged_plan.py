"""The plan of a split that several stores have, and the shards that it is made of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from savs.stores.errors import StoreMismatchError
from savs.stores.format.layout import CAPTIONS, CLASSES
from savs.stores.format.plan import PlannedRow, ShardSpec, SplitPlan, row_digest, segment_of
from savs.stores.read.store import FeatureStore

Part = tuple[FeatureStore, ShardSpec]
"""A shard and the store that it is of."""
TEXT_COLUMNS = ("prompt", "label", "subtask", "category")
"""What makes a text of a class, or a caption."""


def merged_plan(stores: Sequence[FeatureStore], split: str) -> tuple[SplitPlan, list[Part]]:
    """Return the plan of a split of complete stores, and the part that each of its shards is of.

    Examples of one store come after those of another, and each text of a class and each caption is
    taken once: from such a shard only what no shard before it has.

    Raises
    ------
    StoreMismatchError
        Stores share some examples, but not all, or have another text under one id.
    """
    if split in (CLASSES, CAPTIONS):
        return _texts(stores, split)
    taken = _taken(stores, split)
    plan = _joined([store.manifest.plan.splits[split] for store in taken])
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


def _joined(plans: Sequence[SplitPlan]) -> SplitPlan:
    """Return plans one after the other: the same segments give the same shards."""
    order: list[int] = []
    for plan in plans:
        before = len(order)
        order += [before + row for row in plan.order or range(len(plan.ids))]
    return SplitPlan(
        tuple(identifier for plan in plans for identifier in plan.ids),
        tuple(segment for plan in plans for segment in plan.segments),
        tuple(order) if any(plan.order for plan in plans) else None,
    )
