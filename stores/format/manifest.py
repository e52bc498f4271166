"""store.json: what a store holds (identity), its plan, and how it was made (runs)."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from savs.foundation.files import indented
from savs.stores.errors import (
    StoreCorruptError,
    StoreFormatError,
    StoreNotFoundError,
    StoreReadError,
)
from savs.stores.files.addresses import is_remote
from savs.stores.files.object_store import write_whole
from savs.stores.files.raw_file import RawFile
from savs.stores.format.layout import (
    FORMAT,
    HEADS_SITE,
    MANIFEST,
    READABLE,
    SITE,
    SPLIT_NAME,
    SPLITS,
    STORED_DTYPES,
    Count,
    Dtype,
    Facts,
    LayerGrid,
    Text,
    decode_json,
    digest,
)
from savs.stores.format.plan import StorePlan

LARGEST_BYTES = 2**30
"""Largest store.json that is read: that of ten million examples has less."""


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """The origin of features: a selection shares it with each store that it is applied to."""

    model: Facts
    """Name, resolved revision, class, digests of configuration and weights."""
    processor: Facts
    """Class, settings digest, pixel limits."""
    dtype: Dtype
    """Numeric type of the features: bfloat16, float16 or float32."""
    prompt: str
    """Digest of the chat template and of everything else that forms a prompt."""
    grid: Annotated[tuple[LayerGrid, ...], Meta(min_length=1)]
    """The heads, layer by layer, ascending."""

    @property
    def site(self) -> str:
        """The place in the model that the features are read from: its heads, if no other."""
        return str(self.model.get(SITE, HEADS_SITE))

    def to_json(self) -> dict[str, Any]:
        """Return the form that JSON files hold."""
        return msgspec.json.decode(msgspec.json.encode(self))

    def differences(
        self, other: "FeatureSource", where: str = "now", here: str = "in the store"
    ) -> list[str]:
        """Return one line for each field in which `other`, found `where`, differs from this.

        Features of another site are other features: then that is the only line.
        """
        if self.site != other.site:
            return [f"site: {self.site} {here}, {other.site} {where}"]
        ours, theirs = dict(_leaves(self.to_json())), dict(_leaves(other.to_json()))
        return [
            f"{key}: {ours.get(key)!r} {here}, {theirs.get(key)!r} {where}"
            for key in dict.fromkeys([*ours, *theirs])
            if ours.get(key) != theirs.get(key)
        ]

    @property
    def row_bytes(self) -> int:
        """Bytes of one example's features in a store."""
        values = sum(len(grid.heads) * grid.head_dim for grid in self.grid)
        return values * STORED_DTYPES[self.dtype].itemsize


@dataclass(frozen=True, kw_only=True)
class Identity(FeatureSource):
    """What must agree before two runs may share a store."""

    benchmark: Facts
    """Name and options."""
    outputs: Facts = field(default_factory=dict)
    """Output that is kept in addition to the heads -> its facts: `answers` (label -> its tokens),
    `generated` (how many tokens at most, and which end it)."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole identity."""
        return digest(self.to_json())

    def source(self) -> FeatureSource:
        """Return what a selection must share."""
        return msgspec.convert(self, FeatureSource, from_attributes=True)


def _leaves(value: Facts, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key == "grid" and not prefix:
            yield "head grid", f"{len(item)} layers, {sum(len(g['heads']) for g in item)} heads"
            yield "head grid digest", digest(item)
        elif key == "answers":
            yield "answers (`answers` labels)", f"{', '.join(item)} ({digest(item)[:8]})"
        elif isinstance(item, dict):
            yield from _leaves(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


@dataclass(frozen=True, slots=True)
class SealedShard:
    """What a finished store records about one shard's file."""

    name: str
    rows: Count
    """Examples with features; skipped ones are not among them."""
    bytes: Count
    sha256: str


@dataclass(frozen=True, slots=True)
class LateLabel:
    """The label that a row got after its features were stored, and the split that it is in now."""

    label: Text
    split: Annotated[str, Meta(pattern=rf"^({'|'.join(SPLITS)})\Z")]


LateLabels = Mapping[Annotated[str, Meta(pattern=SPLIT_NAME)], Mapping[str, LateLabel]]
"""Split that a row was planned in -> its id -> the label that it got since."""


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """What the source of a row says of it now, or said last: that row had other values once."""

    id: Text
    split: Annotated[str, Meta(pattern=SPLIT_NAME)] | None
    """None where the source does not have it any more: it is no example, until it comes back."""
    label: Text | None
    media: tuple[Text, ...] = ()
    group: Text | None = None
    category: Text | None = None
    extra: Facts = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a shard, as they are now."""
        extra = json.dumps(dict(self.extra), ensure_ascii=False, separators=(",", ":"))
        return {
            name: getattr(self, name) for name in ("id", "split", "label", "group", "category")
        } | {"media": list(self.media), "extra": extra}


PlacedRows = Mapping[Annotated[str, Meta(pattern=SPLIT_NAME)], Mapping[str, PlacedRow]]
"""Split that a row was planned in -> the id that it had then -> what its source says now."""
RowChanges = Mapping[str, Mapping[str, Any]]
"""Id of a planned row -> the columns in which it differs from its shard now, with its `split`."""


@dataclass(frozen=True)
class Manifest:
    """All of store.json."""

    identity: Identity
    """What two runs must have in common to share the store."""
    plan: StorePlan
    """Which examples make which shard."""
    batching: Facts = field(default_factory=dict)
    """How examples are put together in batches, and what was tried first: a later run does the
    same, so that it gives the same bits."""
    runs: tuple[Facts, ...] = ()
    """Recorded, never compared: batch size, attention implementation, versions, device, times."""
    shards: tuple[SealedShard, ...] = ()
    """One entry for each shard that was sealed: all of them, once the store is complete."""
    labels: LateLabels = field(default_factory=dict)
    """Labels that came after the features, in the order in which they came. They change what rows
    count as; the plan and the shards stay as they are."""
    rows: PlacedRows = field(default_factory=dict)
    """What sources say now of rows that they moved, renamed, changed or removed since. A label that
    came after the features counts for more."""
    format: int = FORMAT
    """One of `READABLE`: that in which the store was begun. Each shard has its own."""

    def __post_init__(self) -> None:
        """Check the facts that commands look into."""
        if self.is_changed:
            self._check_rows()
        model, benchmark = self.identity.model, self.identity.benchmark
        texts = {"model.name": model.get("name"), "model.class": model.get("class")}
        for name, value in (texts | {"benchmark.name": benchmark.get("name")}).items():
            if not isinstance(value, str):
                raise ValueError(f"{name}: expected text, got {value!r}")
        objects = {"benchmark.options": benchmark.get("options", {}), **self.identity.outputs}
        for name, value in objects.items():
            if not isinstance(value, Mapping):
                raise ValueError(f"{name}: expected an object, got {value!r}")

    def _check_rows(self) -> None:
        """Raise ValueError if a change has no planned row, or a split would have an id twice."""
        for what, by_split in (("labels", self.labels), ("rows", self.rows)):
            for split, of_split in by_split.items():
                plan = self.plan.splits.get(split)
                if strange := of_split.keys() - set(plan.ids if plan else ()):
                    raise ValueError(f"{what}: no row of {split} is called {min(strange)!r}")
        for split in {*SPLITS, *self.plan.splits}:
            twice = [name for name, count in Counter(self.ids(split)).items() if count > 1]
            if twice:
                what = "rows" if self.rows else "labels"
                raise ValueError(f"{what}: {split} would have {twice[0]!r} twice")

    @property
    def is_changed(self) -> bool:
        """Whether rows count as something else than was planned."""
        return bool(self.labels or self.rows or any(s.dropped for s in self.plan.splits.values()))

    @cached_property
    def changes(self) -> Mapping[str, RowChanges]:
        """Split that rows were planned in -> what is different about them now; see `RowChanges`."""
        changes = {split: self._changes(split) for split in self.plan.splits}
        return {split: rows for split, rows in changes.items() if rows}

    def _changes(self, planned_in: str) -> RowChanges:
        plan = self.plan.splits[planned_in]
        unread = plan.dropped_rows(self.plan.shard_rows)
        changes: dict[str, dict[str, Any]] = {plan.ids[row]: {"split": None} for row in unread}
        changes |= {name: row.columns for name, row in self.rows.get(planned_in, {}).items()}
        for name, late in self.labels.get(planned_in, {}).items():
            row = changes.setdefault(name, {"split": planned_in})
            if row["split"] is not None:
                row.update(label=late.label, split=late.split)
        return changes

    @cached_property
    def planned(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """Split and id that a row has without labels -> those planned, where they differ."""
        return {
            (row.split, row.id): (planned_in, name)
            for planned_in, rows in self.rows.items()
            for name, row in rows.items()
            if row.split is not None
        }

    @property
    def splits(self) -> list[str]:
        """The splits as rows count now: those of the plan, and others that changes led to.

        A split that all rows have left is gone, and one that is planned without any but `train`.
        """
        changes = self.changes
        led_to = {row["split"] for rows in changes.values() for row in rows.values()} - {None}
        names = dict.fromkeys([*self.plan.splits, *sorted(led_to)])
        is_begun = SPLITS[0] not in changes  # it may be planned without examples
        return [name for name in names if (is_begun and name == SPLITS[0]) or self.ids(name)]

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of a split as rows count now.

        First its planned ones that are still in it, then those that came from other splits, split
        by split in the order of the plan.
        """
        if not self.changes:
            return self.plan.splits[split].ids if split in self.plan.splits else ()
        still: list[str] = []
        came: list[str] = []
        for planned_in, plan in self.plan.splits.items():
            changes = self.changes.get(planned_in, {})
            ids = still if planned_in == split else came
            for name in plan.ids if changes or planned_in == split else ():
                change = changes.get(name)
                if change is None and planned_in == split:
                    ids.append(name)
                elif change is not None and change["split"] == split:
                    ids.append(change.get("id", name))
        return (*still, *came)

    @property
    def sealed(self) -> bool:
        """Whether every planned shard is listed."""
        return {shard.name for shard in self.shards} == {s.name for s in self.plan.shards()}

    def to_text(self) -> str:
        """Return store.json's text; its `check` is the digest of everything else in it."""
        value = {"format": self.format} | msgspec.to_builtins(self)
        for name in ("labels", "rows"):  # most stores have none
            if not value[name]:
                del value[name]
        for plan in value["plan"]["splits"].values():
            if not plan["dropped"]:
                del plan["dropped"]
            for segment in plan["segments"]:
                if segment["source"] is None:
                    del segment["source"]
        checked = value | {"check": digest(value)}
        return indented(checked) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read and check store.json.

    StoreNotFoundError if the folder does not exist or has none, StoreFormatError if this
    release does not read its format version, StoreCorruptError if it is not as format 1
    describes, StoreReadError if the disk or the network refuses.
    """
    return parse_manifest(folder / MANIFEST, manifest_bytes(folder))


def manifest_bytes(folder: Path) -> bytes:
    """Return the bytes of store.json; errors as in `read_manifest`."""
    path = folder / MANIFEST
    try:
        with RawFile(path) as file:
            return file.read_all(LARGEST_BYTES)
    except StoreReadError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
        is_folder = is_remote(folder) or folder.is_dir()
        what = f"holds no {MANIFEST}" if is_folder else "is not a folder"
        inner = [] if is_remote(folder) else sorted(folder.glob(f"*/{MANIFEST}"))
        one = f"one that `savs extract` wrote{' such as ' + str(inner[0].parent) if inner else ''}"
        raise StoreNotFoundError(
            f"{folder} {what}, so it is not a feature store; pass {one}"
        ) from error


def parse_manifest(path: Path, data: bytes) -> Manifest:
    """Return what the bytes of a store.json say; errors as in `read_manifest`."""
    try:
        value = decode_json(data)
        known = type(value["format"]) is int and value["format"] in READABLE
        manifest = msgspec.convert(value, Manifest) if known else None
    except Exception as error:  # whatever a damaged or foreign file leads to
        raise StoreCorruptError(
            f"{path} is damaged: {type(error).__name__}: {error}; restore it from a copy, or"
            " extract into another folder"
        ) from error
    if manifest is None:
        raise StoreFormatError(
            f"{path}: format is {value['format']!r}, expected {' or '.join(map(str, READABLE))},"
            " the format of this release; install the savs release that wrote the store"
        )
    return manifest


def write_manifest(
    folder: Any,
    manifest: Manifest,
    *,
    replace_old: bool = False,
    before_naming: Callable[[], None] = lambda: None,
) -> None:
    """Write store.json, whole or not at all; `before_naming` is called as by `write_whole`.

    FileExistsError if it exists, and `replace_old` is not set.
    """
    text = manifest.to_text().encode("utf-8")
    write_whole(folder / MANIFEST, text, replace=replace_old, before_naming=before_naming)
