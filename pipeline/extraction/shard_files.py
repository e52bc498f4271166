"""The shards of a run on the disk: written once, and read again where a prompt recurs."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from savs.pipeline.extraction.model.loaded_model import Read
from savs.stores import (
    FeatureWriter,
    LayerGrid,
    ShardContent,
    ShardSpec,
    StoreError,
    StoreMismatchError,
)
from savs.stores.format.layout import THUMBNAIL_COLUMN
from savs.stores.shard.read import open_shard


@dataclass(frozen=True, slots=True)
class Recalled:
    """What an earlier shard holds of some rows."""

    read: Read
    thumbnails: Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """A prompt that has features in a shard."""

    digests: tuple[str, ...]
    """SHA-256 of each medium."""
    prompt: str
    subtask: str | None
    spec: ShardSpec
    row: int
    """Counted from 0 in the file."""


class ShardFiles(Protocol):
    """Where an engine puts its shards."""

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Keep a shard."""

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return rows of a shard, counted from 0 in its file."""
        ...


class StoredShards:
    """The shards of a store that is being filled, maybe by other processes too."""

    def __init__(self, writer: FeatureWriter) -> None:
        self.writer = writer
        self._seen: dict[str, int] = {}
        """Name of a shard -> its fingerprint when its rows were counted."""
        self._lost = ShardsInMemory(writer.manifest.identity.grid)
        """Shards that another process has published: its rows may be others."""

    def write(self, spec: ShardSpec, content: ShardContent) -> bool:
        """Write a shard; returns what `FeatureWriter.write` does."""
        if not self.writer.write(spec, content):
            self._lost.write(spec, content)
            return False
        with open_shard(self.writer.path / spec.name, spec, self.writer.manifest) as shard:
            self._seen[spec.name] = shard.fingerprint
        self._lost.forget(spec)  # claimed again since
        return True

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Read rows of a finished shard.

        Raises
        ------
        StoreMismatchError
            Another process has written it again, so that its rows may be others.
        StoreError
            It is damaged.
        """
        if self._lost.has(spec):
            return self._lost.read(spec, rows)
        manifest = self.writer.manifest
        grids = manifest.identity.grid
        path = self.writer.path / spec.name
        with open_shard(path, spec, manifest) as shard:
            if self._seen[spec.name] != shard.fingerprint:
                raise StoreMismatchError(
                    f"{path} was written again by another process, and prompts of this run were to"
                    " be taken from it; run the same command again"
                )
            heads = iter(shard.heads([(grid, head) for grid in grids for head in grid.heads]))
            layers = {
                grid.layer: np.stack([next(heads)[rows] for _ in grid.heads]) for grid in grids
            }
            outputs = {name: shard.output(name)[rows] for name in manifest.identity.outputs}
            table = shard.examples([THUMBNAIL_COLUMN])
        small: Sequence[bytes | None] = [None] * len(rows)
        if THUMBNAIL_COLUMN in table.columns:
            small = table[THUMBNAIL_COLUMN][rows].to_list()
        return Recalled(Read(layers, outputs), small)

    def prompts(self, wanted: Collection[ShardSpec], *, thumbnails: bool) -> Iterator[StoredPrompt]:
        """Yield prompts that have features in the store.

        Shards are left out that are `wanted` or that skipped an example, since they may be written
        again; that lack the thumbnails that the others will have; and that are damaged.
        """
        manifest, gone = self.writer.manifest, set(wanted)
        names = ["media_sha256", "prompt", "subtask", THUMBNAIL_COLUMN]
        for spec in manifest.plan.shards():
            path = self.writer.path / spec.name
            if spec in gone or not path.exists():
                continue
            with suppress(StoreError), open_shard(path, spec, manifest) as shard:
                table = shard.examples(names)
                if len(table) < spec.rows or thumbnails > (THUMBNAIL_COLUMN in table.columns):
                    continue
                self._seen[spec.name] = shard.fingerprint
                texts = table["media_sha256", "prompt", "subtask"].iter_rows()
                for row, (digests, prompt, subtask) in enumerate(texts):
                    yield StoredPrompt(tuple(digests), prompt, subtask, spec, row)


class ShardsInMemory:
    """Shards of a run that writes nothing."""

    def __init__(self, grid: Sequence[LayerGrid]) -> None:
        self._grid = grid
        self._kept: dict[ShardSpec, ShardContent] = {}

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Keep a shard."""
        self._kept[spec] = content
        return None

    def has(self, spec: ShardSpec) -> bool:
        """Return whether a shard is kept."""
        return spec in self._kept

    def forget(self, spec: ShardSpec) -> None:
        """Keep a shard no longer, if it was kept."""
        self._kept.pop(spec, None)

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return rows of a shard."""
        content = self._kept[spec]
        layers = {layer: values[:, rows] for layer, values in content.layers.items()}
        outputs = {name: values[rows] for name, values in content.outputs.items()}
        small: Any = content.examples.get(THUMBNAIL_COLUMN, [None] * (max(rows, default=0) + 1))
        return Recalled(Read(layers, outputs), [small[row] for row in rows])
