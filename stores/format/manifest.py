"""store.json: what a store is of (identity), what it shall hold (plan), how it was made (runs)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from savs.stores.errors import StoreCorruptError, StoreFormatError, StoreNotFoundError
from savs.stores.files.paths import is_remote
from savs.stores.format.layout import FORMAT, MANIFEST, STORED_DTYPES, LayerGrid, digest
from savs.stores.format.plan import StorePlan, parse_plan


@dataclass(frozen=True)
class Identity:
    """What must agree before two runs may share a store."""

    model: Mapping[str, Any]
    """Name, resolved revision, class, digests of configuration and weights."""
    processor: Mapping[str, Any]
    """Class, settings digest, pixel limits."""
    dtype: str
    """Numeric type of the features: bfloat16, float16 or float32."""
    benchmark: Mapping[str, Any]
    """Name and options."""
    prompt: str
    """Digest of the chat template and of all that words a prompt beside the examples."""
    grid: tuple[LayerGrid, ...]
    """The heads, layer by layer, ascending."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What is kept beside the heads: `answers` (label -> its first token)."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that store.json holds."""
        return {
            "model": dict(self.model),
            "processor": dict(self.processor),
            "dtype": self.dtype,
            "benchmark": dict(self.benchmark),
            "prompt": self.prompt,
            "heads": [layer.to_json() for layer in self.grid],
            "outputs": dict(self.outputs),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole identity."""
        return digest(self.to_json())

    def source(self) -> dict[str, Any]:
        """Return what a selection must share with the store that it is applied to."""
        whole = json.loads(json.dumps(self.to_json()))
        return {key: whole[key] for key in ("model", "processor", "dtype", "prompt", "heads")}

    def differences(self, other: "Identity") -> list[str]:
        """Return one line for each field in which `other` departs from this identity."""
        return differences(self.to_json(), other.to_json())


def differences(
    stored: Mapping[str, Any], given: Mapping[str, Any], where: str = "now"
) -> list[str]:
    """Return one line for each field in which a given identity departs from a stored one."""
    ours, theirs = (dict(_leaves(json.loads(json.dumps(i)))) for i in (stored, given))
    keys = list(dict.fromkeys([*ours, *theirs]))
    return [
        f"{key}: {ours.get(key)!r} in the store, {theirs.get(key)!r} {where}"
        for key in keys
        if ours.get(key) != theirs.get(key)
    ]


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key == "heads" and not prefix:
            yield "head grid", f"{len(item)} layers, {sum(len(g['heads']) for g in item)} heads"
            yield "head grid digest", digest(item)
        elif key == "answers":
            yield "answer logits (--answers labels)", f"{', '.join(item)} ({digest(item)[:8]})"
        elif isinstance(item, dict):
            yield from _leaves(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


@dataclass(frozen=True, slots=True)
class SealedShard:
    """What a finished store says of one shard's file."""

    name: str
    rows: int
    """Examples with features; skipped ones are not among them."""
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of store.json."""

    identity: Identity
    plan: StorePlan
    runs: tuple[Mapping[str, Any], ...] = ()
    """Recorded, never compared: batch size, attention implementation, versions, device, times."""
    shards: tuple[SealedShard, ...] = ()
    """What the last seal says of each shard's file. All of them, once the store is complete."""

    @property
    def sealed(self) -> bool:
        """Whether every planned shard is listed."""
        return {shard.name for shard in self.shards} == {s.name for s in self.plan.shards()}

    def to_text(self) -> str:
        """Return store.json's text; its `check` is the digest of everything else in it."""
        value = {
            "format": FORMAT,
            "identity": self.identity.to_json(),
            "plan": self.plan.to_json(),
            "runs": [dict(run) for run in self.runs],
        }
        if self.shards:
            value["shards"] = [
                {"name": s.name, "rows": s.rows, "bytes": s.bytes, "sha256": s.sha256}
                for s in self.shards
            ]
        checked = value | {"check": digest(value)}
        return json.dumps(checked, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read and check store.json.

    Raises
    ------
    StoreNotFoundError
        No such folder, or no store.json in it.
    StoreFormatError
        A format version that this release does not read.
    StoreCorruptError
        Not JSON, or not of the form that format 1 describes.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        is_folder = is_remote(folder) or folder.is_dir()
        what = "holds no store.json" if is_folder else "is not a folder"
        raise StoreNotFoundError(
            f"{folder} {what}, so it is no store; give the folder that `savs extract --out` made"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreCorruptError(f"{path} is no text file: {error}") from error
    try:
        return parse_manifest(json.loads(text))
    except StoreFormatError as error:
        raise StoreFormatError(f"{path}: {error}") from error
    except Exception as error:  # whatever a damaged or foreign file leads to
        raise StoreCorruptError(
            f"{path} is damaged: {type(error).__name__}: {error}; restore it from a copy, or"
            " extract into another folder"
        ) from error


def parse_manifest(value: Mapping[str, Any]) -> Manifest:
    """Return the manifest in a decoded store.json; any builtin lookup error means damage."""
    if type(value["format"]) is not int or value["format"] != FORMAT:
        raise StoreFormatError(
            f"format {value['format']!r} is not read by this release, which knows format {FORMAT};"
            " install the savs release that wrote the store"
        )
    identity, plan, shards = value["identity"], value["plan"], value.get("shards", [])
    if not identity["heads"]:
        raise ValueError("it has no heads")
    if identity["dtype"] not in STORED_DTYPES:
        raise ValueError(f"unknown dtype {identity['dtype']!r}")
    return Manifest(
        identity=Identity(
            model=dict(identity["model"]),
            processor=dict(identity["processor"]),
            dtype=identity["dtype"],
            benchmark=dict(identity["benchmark"]),
            prompt=str(identity["prompt"]),
            grid=tuple(
                LayerGrid(int(g["layer"]), tuple(map(int, g["heads"])), int(g["head_dim"]))
                for g in identity["heads"]
            ),
            outputs=dict(identity.get("outputs", {})),
        ),
        plan=parse_plan(plan),
        runs=tuple(dict(run) for run in value["runs"]),
        shards=tuple(
            SealedShard(str(s["name"]), int(s["rows"]), int(s["bytes"]), str(s["sha256"]))
            for s in shards
        ),
    )
