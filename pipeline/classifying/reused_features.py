"""Features of new images that the stores of other outputs have: no image runs twice for them.

A command may write several outputs, each with a store of its own, and the next command another one.
Features are copied from other stores before the model is loaded, if they have the same model,
prompt and classifier, and the image has the same content.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from savs.datasets import Example
from savs.pipeline.classifying.classified_store import STORE, read_store_record
from savs.pipeline.errors import OutputError
from savs.pipeline.inputs.stored_rows import example_columns, planned_rows
from savs.stores import FeatureStore, ShardContent, ShardSpec, StoreError
from savs.stores.format.layout import REASON_COLUMN, SECONDS, STORED_DTYPES
from savs.stores.format.manifest import read_manifest
from savs.stores.read.store import store_of
from savs.stores.shard.read import open_shard
from savs.stores.write.opening import Reservation

Prompt = tuple[tuple[str, ...], str, str | None]
"""SHA-256 of each medium, the text, and the subtask."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """The row of a finished shard that has the features of a prompt."""

    store: FeatureStore
    spec: ShardSpec
    row: int
    """Counted from 0 in the file."""


PromptOf = Callable[[Example], Prompt | str]
"""Example -> its prompt, or why its media cannot be read."""
CanRedo = Callable[[ShardSpec, Sequence[str]], bool]
"""Whether a finished shard, with the ids of its rows, can be made again."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What `ReusedFeatures.copy_into` wrote."""

    ids: frozenset[str]
    """The examples of the shards."""
    rows: int
    """Those that have features."""
    stores: tuple[str, ...]
    """Names of the stores that had these."""


KnownRow = tuple[Example, tuple[str, ...], StoredRow | str]
"""Example, SHA-256 of its media, and its row or why it is skipped."""


@dataclass(frozen=True, slots=True)
class ReusedFeatures:
    """The prompts that some stores have features of, all by one model and of the same heads."""

    like: FeatureStore
    """One of the stores."""
    rows: Mapping[Prompt, StoredRow | str]
    """Prompt -> its row, or why it was skipped."""

    def row_of(self, prompt: Prompt | str) -> StoredRow | str | None:
        """Return what is known of an example: its row, why it is skipped, or nothing.

        An unreadable medium needs no model either.
        """
        return prompt if isinstance(prompt, str) else self.rows.get(prompt)

    def copy_into(
        self,
        place: Reservation,
        examples: Sequence[Example],
        shard_rows: int | None,
        prompt_of: PromptOf,
        *,
        on_begun: Callable[[], None],
        can_redo: CanRedo | None = None,
    ) -> Copied:
        """Write the missing shards of a store of which all rows are known.

        `examples` are those that the store will hold: it is made, or extended. With `can_redo`
        finished shards with skipped examples are written again. `on_begun` is called when the store
        is there. Other processes may do the same.
        """
        identity, batching = self.like.manifest.identity, self.like.manifest.batching
        writer = place.begin(identity, {"train": [], "test": planned_rows(examples)}, shard_rows)
        on_begun()
        if batching and not writer.manifest.batching:
            writer.settle_batching(batching)
        by_id = {example.id: example for example in examples}
        again = [] if can_redo is None else writer.reopen_skipped(can_redo)
        known: dict[ShardSpec, list[KnownRow]] = {}
        for spec in [*writer.missing(), *again]:
            shard = []
            for example in (by_id[name] for name in writer.manifest.plan.planned_ids(spec)):
                prompt = prompt_of(example)
                if (row := self.row_of(prompt)) is not None:
                    shard.append((example, () if isinstance(prompt, str) else prompt[0], row))
            has_features = any(isinstance(row, StoredRow) for _, _, row in shard)
            if len(shard) == spec.rows and (has_features or not identity.outputs):
                known[spec] = shard
        ids, stores, count = set[str](), dict[str, None](), 0
        for spec in writer.open_shards([*known]).claimed():
            stored = [(e, d, row) for e, d, row in known[spec] if isinstance(row, StoredRow)]
            skipped = [(e, d, row) for e, d, row in known[spec] if isinstance(row, str)]
            try:
                content = self._content(stored, skipped, writer.claims.process.id)
            except StoreError:  # damaged, or gone by now: the model runs its rows
                writer.claims.release(spec.name)
                continue
            writer.write(spec, content)
            ids.update(example.id for example, _, _ in known[spec])
            count += len(stored)
            stores |= {row.store.path.name: None for _, _, row in stored}
        return Copied(frozenset(ids), count, tuple(stores))

    def _content(
        self,
        kept: Sequence[tuple[Example, tuple[str, ...], StoredRow]],
        skipped: Sequence[tuple[Example, tuple[str, ...], str]],
        writer: str,
    ) -> ShardContent:
        """Return a shard of examples with features, and of those with the reason of a skip."""
        identity = self.like.manifest.identity
        dtype = STORED_DTYPES[identity.dtype]
        layers = {
            grid.layer: np.empty((len(grid.heads), len(kept), grid.head_dim), dtype)
            for grid in identity.grid
        }
        outputs: dict[str, Any] = {}
        run: Mapping[str, Any] = {}
        by_shard: dict[Path, list[int]] = {}
        for place, (_, _, row) in enumerate(kept):
            by_shard.setdefault(row.store.path / row.spec.name, []).append(place)
        for path, places in by_shard.items():
            first, rows = kept[places[0]][2], [kept[place][2].row for place in places]
            with open_shard(path, first.spec, first.store.manifest) as shard:
                run = run or shard.run
                for grid in identity.grid:
                    heads = shard.heads([(grid, head) for head in grid.heads])
                    for number, values in enumerate(heads):
                        layers[grid.layer][number, places] = values[rows]
                for name in identity.outputs:
                    values = shard.output(name)
                    room = np.empty((len(kept), *values.shape[1:]), values.dtype)
                    outputs.setdefault(name, room)[places] = values[rows]
        columns, refused = (
            example_columns([row[0] for row in part], [row[1] for row in part])
            for part in (kept, skipped)
        )
        refused[REASON_COLUMN] = [reason for _, _, reason in skipped]
        # the model made them in that run, whose time the other store has
        run = {**run, "writer": writer, SECONDS: 0.0}
        return ShardContent(layers, columns, refused, run, outputs)


def find_features(
    folders: Iterable[Path], key: str, but: Path, tried: Collection[Path] | None
) -> ReusedFeatures | None:
    """Return what the stores in some folders have whose record has this `key`; None if nothing.

    The store `but` is left out. What was skipped counts in the stores `tried` alone; None for all.
    A store that cannot be read has nothing.
    """
    rows: dict[Prompt, StoredRow | str] = {}
    like = None
    paths = {path for folder in folders for path in folder.glob(f"*{STORE}") if path != but}
    for path in sorted(paths):
        with suppress(StoreError, OutputError):
            record = read_store_record(path)
            if record is None or record.features != key:
                continue
            store = store_of(path, read_manifest(path), partial=True)
            like = like or store
            if not like.manifest.identity.differences(store.manifest.identity):
                rows = dict(_prompts(store, with_skipped=tried is None or path in tried)) | rows
    return ReusedFeatures(like, rows) if like is not None and rows else None


def _prompts(
    store: FeatureStore, *, with_skipped: bool
) -> Iterator[tuple[Prompt, StoredRow | str]]:
    """Yield the prompts of a store's finished shards; damaged shards have none."""
    names = ["media_sha256", "prompt", "subtask"]
    for spec in store.present("test"):
        with (
            suppress(StoreError),
            open_shard(store.path / spec.name, spec, store.manifest) as shard,
        ):
            table = shard.examples(names).select(names)
            for row, (digests, prompt, subtask) in enumerate(table.iter_rows()):
                yield (tuple(digests), prompt, subtask), StoredRow(store, spec, row)
            refused = shard.skipped(names).select(*names, REASON_COLUMN)
            for digests, prompt, subtask, reason in refused.iter_rows() if with_skipped else ():
                if digests:  # else it was not read, and may be by now
                    yield (tuple(digests), prompt, subtask), reason
