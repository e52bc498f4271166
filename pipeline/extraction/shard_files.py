"""The shards of a run on the disk: written once, and read again where a prompt recurs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.extraction.batches.feed import PromptKey
from savs.pipeline.extraction.model.loaded_model import Read
from savs.stores import FeatureWriter, LayerGrid, ShardContent, ShardSpec, StoreError
from savs.stores.format.layout import THUMBNAIL_COLUMN
from savs.stores.shard.read import open_shard


@dataclass(frozen=True, slots=True)
class Recalled:
    """What an earlier shard holds of some rows."""

    read: Read
    thumbnails: Sequence[bytes | None]


class ShardFiles(Protocol):
    """Where an engine puts its shards."""

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Keep a shard."""

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return rows of a shard, counted from 0 in its file."""
        ...


@dataclass(frozen=True, slots=True)
class StoredShards:
    """The shards of a store that is being filled."""

    writer: FeatureWriter

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Write a shard, see `FeatureWriter.write`."""
        return self.writer.write(spec, content)

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Read rows of a finished shard; StoreError where it is damaged."""
        manifest = self.writer.manifest
        grids = manifest.identity.grid
        with open_shard(self.writer.path / spec.name, spec, manifest) as shard:
            heads = iter(shard.heads([(grid, head) for grid in grids for head in grid.heads]))
            layers = {
                grid.layer: np.stack([next(heads)[rows] for _ in grid.heads]) for grid in grids
            }
            answers = np.zeros((len(rows), 0), np.float32)
            if "answers" in manifest.identity.outputs:
                answers = shard.output("answers")[rows]
            table = shard.examples([THUMBNAIL_COLUMN])
        small: Sequence[bytes | None] = [None] * len(rows)
        if THUMBNAIL_COLUMN in table.columns:
            small = table[THUMBNAIL_COLUMN][rows].to_list()
        return Recalled(Read(layers, answers), small)

    def prompts(
        self, wanted: Collection[ShardSpec], *, thumbnails: bool
    ) -> Iterator[tuple[PromptKey, ShardSpec, int]]:
        """Yield prompts that have features in the store, with the shard and row of each.

        Shards are left out that are `wanted` or that skipped an example, since they may be written
        again; that lack the thumbnails that the others will have; and that are damaged.
        """
        manifest, gone = self.writer.manifest, set(wanted)
        names = ["media_sha256", "prompt", THUMBNAIL_COLUMN]
        for spec in manifest.plan.shards():
            path = self.writer.path / spec.name
            if spec in gone or not path.exists():
                continue
            with suppress(StoreError), open_shard(path, spec, manifest) as shard:
                table = shard.examples(names)
                if len(table) < spec.rows or thumbnails > (THUMBNAIL_COLUMN in table.columns):
                    continue
                pairs = table["media_sha256", "prompt"].iter_rows()
                for row, (digests, prompt) in enumerate(pairs):
                    yield (tuple(digests), prompt), spec, row


class ShardsInMemory:
    """Shards of a run that writes nothing."""

    def __init__(self, grid: Sequence[LayerGrid]) -> None:
        self._grid = grid
        self._kept: dict[ShardSpec, ShardContent] = {}

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Keep a shard."""
        self._kept[spec] = content
        return None

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return rows of a shard."""
        content = self._kept[spec]
        layers = {layer: values[:, rows] for layer, values in content.layers.items()}
        outputs: Mapping[str, Array] = content.outputs
        answers = outputs["answers"][rows] if outputs else np.zeros((len(rows), 0), np.float32)
        small: Any = content.examples.get(THUMBNAIL_COLUMN, [None] * (max(rows, default=0) + 1))
        return Recalled(Read(layers, answers), [small[row] for row in rows])
