"""Where the features of a run go: stores that are filled, maybe by other processes too, or memory.

`ModelRun.read` does the same for every sink. What differs is asked of the sink: which rows it still
wants, how batches are made, which shards this process makes, and how progress is given.

A run that reads several sites fills a store of each. One leads: in it shards are claimed and
progress is shown. A shard is done when all stores have it, and the one that leads gets it last.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from savs.datasets import Example
from savs.pipeline.extraction.line.feed import MediaOf
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits
from savs.pipeline.inputs.stored_rows import example_columns, planned_rows
from savs.pipeline.running.formatting import counted, format_bytes
from savs.pipeline.running.launchers import ALONE, Rank
from savs.stores import (
    FeatureWriter,
    Identity,
    ShardContent,
    ShardSpec,
    StoreError,
    StoreLockedError,
    StoreMismatchError,
    StoreWriteError,
)
from savs.stores.files.addresses import is_remote
from savs.stores.format.layout import THUMBNAIL_COLUMN, Facts
from savs.stores.format.revision import UNREVISED, Revision
from savs.stores.shard.content import encode_column
from savs.stores.shard.read import open_shard
from savs.stores.write.opening import Reservation
from savs.stores.write.writer import OpenShards

Show = Callable[[int], None]
"""Is told how many more rows are done."""
Identities = Mapping[str, Identity]
"""Label of a site -> what the features of its store are of."""
Contents = Mapping[str, ShardContent]
"""Label of a site -> what its file of a shard holds."""
SHA256 = "0" * 64
THUMBNAIL_BYTES = 3_000
"""A small JPEG of a photo, as text."""
LOCKED_S = 1.0
"""How often a shard is tried that another process writes."""


@dataclass(frozen=True, slots=True)
class ShardRows:
    """A shard that is to be made."""

    spec: ShardSpec
    examples: Sequence[Example]
    """Its rows, in the order of the plan."""
    media: MediaOf


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


class Sink(ABC):
    """What a run asks of the place where its features go, in the order of `ModelRun.read`.

    What is not abstract is as of a sink that is empty, and that one process fills.
    """

    rows: int = 0
    """Rows that this process has given it."""

    @property
    def recorded(self) -> Identities:
        """Identity of each store that exists."""
        return {}

    @abstractmethod
    def rows_left(self, identities: Identities) -> int:
        """Return the rows that it lacks, given what is known of the model before it is loaded.

        It is given an identity for each that is `recorded`. Raises where the features would be of
        something else.
        """

    def is_complete(self, identities: Identities) -> bool:
        """Return whether nothing is to be done, so that no model is loaded; then it is closed."""
        del identities
        return False

    def note(self, state: str, **facts: Any) -> None:  # noqa: B027 - nobody has to be shown it
        """Show other processes what this one does."""

    @abstractmethod
    def begin(self, identities: Identities, answers: Answers) -> int:
        """Take note of the model, which is loaded by now, and return the rows that are to do."""

    def settle(self, is_valid: Callable[[Facts], bool], find: Callable[[], Facts]) -> Facts:
        """Return how batches are made: as recorded, if that `is_valid`, or as `find` finds it out.

        The record has the form of `Batching`.
        """
        del is_valid
        return find()

    @property
    def process(self) -> str:
        """Id of this process among those that fill the sink."""
        return ""

    @abstractmethod
    def passes(self, show: Show) -> Iterator[Iterable[ShardRows]]:
        """Yield the shards that this process makes, until all are made by any process.

        Each item is one pass of an engine. `show` is given rows that others have done meanwhile.
        """

    def prompts(self) -> Iterable[StoredPrompt]:
        """Return the prompts that have features already: they are not run again."""
        return ()

    @abstractmethod
    def write(self, spec: ShardSpec, contents: Contents) -> object:
        """Keep a shard of each site; an engine does so, and reads, in a thread of its own."""

    @abstractmethod
    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return rows of a shard, counted from 0 in its file, with the heads of all sites."""

    @abstractmethod
    def tell(self, rows: int) -> int:
        """Take note of rows that are done; return them and those that others did meanwhile.

        EnoughError if the sink needs no more: the run ends, and nothing is wrong.
        """

    @property
    def left_behind(self) -> str:
        """What an interruption leaves, for the user; empty if it leaves nothing."""
        return ""

    def end(self) -> None:  # noqa: B027 - not every sink has something to close
        """Close it: all that was to do is done."""


class EnoughError(Exception):
    """A sink needs no more."""


class StoreSink(Sink):
    """A store of each site, in places that are reserved.

    `places` is the label of a site -> what `reserve` gave, in the order in which sites are read;
    the store of the site `lead` leads. `examples` are all that the store will hold, in the order of
    its plan. `can_redo` returns whether a finished shard can be made again, see
    `FeatureWriter.reopen_skipped`. `revision` is what else changes in a store.
    """

    def __init__(
        self,
        lead: str,
        places: Mapping[str, Reservation],
        examples: Splits,
        media: MediaOf,
        run: RunOptions,
        *,
        say: Callable[[str], None] = lambda text: None,
        rank: Rank = ALONE,
        can_redo: Callable[[ShardSpec, Sequence[str]], bool] = lambda spec, ids: True,
        revision: Revision = UNREVISED,
    ) -> None:
        self._revision = revision
        self._lead = lead
        self._places = places
        self._place = places[lead]
        self._by_id = {split: {e.id: e for e in rows} for split, rows in examples.items()}
        self._media = media
        self._run = run
        self._say = say
        self._rank = rank
        self._can_redo = can_redo
        self._planned = {split: planned_rows(rows) for split, rows in examples.items()}
        self._wanted: list[ShardSpec] = []
        self._done = self._reported_rows = 0
        """Rows that it has computed, and rows of others that were told."""
        self._started_s = time.monotonic()
        self._writer: FeatureWriter
        self._files: Mapping[str, StoredShards]
        self._shards: OpenShards

    @property
    def recorded(self) -> Identities:
        """What the stores are of that are there."""
        return {
            label: place.manifest.identity
            for label, place in self._places.items()
            if place.manifest
        }

    @property
    def process(self) -> str:
        """Id of this process among those that write to the store."""
        return self._place.claims.process.id

    def note(self, state: str, **facts: Any) -> None:
        """Show other processes what this one does."""
        self._place.claims.signs.note(state, **facts)

    def rows_left(self, identities: Identities) -> int:
        """Return the rows without a shard; StoreMismatchError if one is another store."""
        missing = {
            spec
            for label, identity in identities.items()
            for spec in self._places[label].missing(
                identity, self._planned, self._run.shard_rows, self._revision
            )
        }
        if len(identities) < len(self._places):
            return sum(map(len, self._planned.values()))
        return sum(spec.rows for spec in missing)

    def is_complete(self, identities: Identities) -> bool:
        """Seal stores that lack no shard, unless skipped examples are to be tried again."""
        writers = self._begin(identities)
        if self._run.retry_skipped and self._reopened(writers):
            return False
        self._say("0 examples to do: the model is not loaded")
        for writer in writers.values():
            writer.seal()
        return True

    def begin(self, identities: Identities, answers: Answers) -> int:
        """Make the stores, or extend those that are there.

        StoreMismatchError if a store there belongs to another model, other settings or other
        examples. StoreWriteError if the disk is too small.
        """
        writers = self._begin(identities)
        self._files = {label: StoredShards(writer) for label, writer in writers.items()}
        missing = {label: set(writer.missing()) for label, writer in writers.items()}
        why = ""
        if self._run.retry_skipped:
            for label, specs in self._reopened(writers).items():
                missing[label].update(specs)
                why = ", as shards with skipped ones are read again as a whole" if specs else why
        everything = set[ShardSpec]().union(*missing.values())
        self._wanted = [spec for spec in self._writer.manifest.plan.shards() if spec in everything]
        needed = 0
        for label, identity in identities.items():
            specs = [spec for spec in self._wanted if spec in missing[label]]
            rows = [example for spec in specs for example in self._shard(spec).examples]
            size = bytes_needed(identity, rows, answers, thumbnails=self._run.thumbnails)
            needed += size
            if len(identities) > 1 and rows:
                self._say(f"{label}: {counted(len(rows), 'example')}, {format_bytes(size)}")
        free = require_space(self._writer.path, needed)
        space = "" if free is None else f", {format_bytes(free)} are free"
        todo = sum(spec.rows for spec in self._wanted)
        self._say(f"{counted(todo, 'example')} to do{why}: {format_bytes(needed)}{space}")
        if todo and self._rank.ranks > len(self._wanted):
            self._say(
                f"{self._rank.ranks} ranks share {len(self._wanted)} shards: some will have nothing"
                " to do; start fewer, or begin a store with fewer rows per shard (`shard_rows`)"
            )
        return todo

    def _begin(self, identities: Identities) -> dict[str, FeatureWriter]:
        """Open all stores for writing; new ones get the shards of those that are there."""
        writers: dict[str, FeatureWriter] = {}
        plan = None
        for label in sorted(self._places, key=lambda label: self._places[label].manifest is None):
            writers[label] = self._places[label].begin(
                identities[label], self._planned, self._run.shard_rows, self._revision, plan
            )
            if plan is not None and plan != writers[label].manifest.plan:
                raise StoreMismatchError(
                    f"{writers[label].path} has its examples in other shards than the stores next"
                    f" to it; extract `site` {label} by itself into another `out`"
                )
            plan = writers[label].manifest.plan
        self._writer = writers[self._lead]
        return {label: writers[label] for label in self._places}

    def _reopened(self, writers: Mapping[str, FeatureWriter]) -> dict[str, list[ShardSpec]]:
        """Return the finished shards that are made again, if there are any."""
        reopened = {label: w.reopen_skipped(self._can_redo) for label, w in writers.items()}
        return {label: specs for label, specs in reopened.items() if specs}

    def settle(self, is_valid: Callable[[Facts], bool], find: Callable[[], Facts]) -> Facts:
        """Return how batches are made as the store records it: the first process decides."""
        record = self._writer.manifest.batching
        if not is_valid(record):
            record = self._writer.settle_batching(find())
        for follower in self._followers:
            follower.settle_batching(record)
        return record

    @property
    def _followers(self) -> list[FeatureWriter]:
        """The stores that do not lead."""
        return [files.writer for label, files in self._files.items() if label != self._lead]

    def passes(self, show: Show) -> Iterator[Iterable[ShardRows]]:
        """Yield the shards that this process claims, until all are done by any process."""
        start = self._rank.rank / self._rank.ranks
        self._shards = self._writer.open_shards(self._wanted, start, self._followers)
        self._started_s = time.monotonic()
        while self._shards.wait(lambda: show(self.tell(0, waits=True))):
            yield (self._shard(spec) for spec in self._shards.claimed())

    def prompts(self) -> Iterable[StoredPrompt]:
        """Return the prompts that have features in shards which are not written again."""
        kinds = [
            files.prompts(self._wanted, thumbnails=self._run.thumbnails)
            for files in self._files.values()
        ]
        if len(kinds) == 1:
            return kinds[0]
        # stores that were made in several runs may have skipped others, and have other rows
        first, *others = (dict.fromkeys(prompts) for prompts in kinds)
        return [prompt for prompt in first if all(prompt in other for other in others)]

    def write(self, spec: ShardSpec, contents: Contents) -> bool:
        """Write a shard into each store that lacks it, the one that leads last.

        Returns False if another process has finished it meanwhile.
        """
        is_ours = False
        for label in sorted(self._files, key=lambda label: label == self._lead):
            while True:
                try:
                    is_ours |= self._files[label].write(spec, contents[label])
                    break
                except StoreLockedError:
                    if label == self._lead:
                        raise
                    # Another process had claimed this shard in the store that leads, and was taken
                    # for dead: it writes it here just now, or its claim will be seen to be dead.
                    time.sleep(LOCKED_S)
        self.rows += spec.rows if is_ours else 0
        return is_ours

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Read rows of a finished shard, see `StoredShards.read`."""
        return side_by_side([files.read(spec, rows) for files in self._files.values()])

    def tell(self, rows: int, *, waits: bool = False) -> int:
        """Take note of rows that are done; return them and those that others did meanwhile.

        `waits` says that this process found no free shard.
        """
        self._done += rows
        self.note(
            "waiting" if waits else "extracting",
            rows=self._done,
            written=self.rows,
            seconds=round(time.monotonic() - self._started_s, 1),
        )
        total = self._shards.others_rows
        others, self._reported_rows = total - self._reported_rows, total
        return rows + others

    @property
    def left_behind(self) -> str:
        """How many shards are safe."""
        safe = sum(map(self._writer.is_done, self._wanted))
        return (
            f"{safe} of {len(self._wanted)} shards of this run are safe in {self._writer.path}; run"
            " the same command again to go on"
        )

    def end(self) -> None:
        """Seal the stores in parallel if nothing is missing: all shards are read for it."""
        with ThreadPoolExecutor(len(self._files), "savs-seal") as pool:
            list(pool.map(lambda files: files.writer.seal(), self._files.values()))

    def _shard(self, spec: ShardSpec) -> ShardRows:
        examples = self._by_id[spec.split]
        ids = self._writer.manifest.plan.planned_ids(spec)
        return ShardRows(spec, [examples[name] for name in ids], self._media)


class StoredShards:
    """The shards of a store that is being filled, maybe by other processes too."""

    def __init__(self, writer: FeatureWriter) -> None:
        self.writer = writer
        self._seen: dict[str, int] = {}
        """Name of a shard -> its fingerprint when its rows were counted."""
        self._lost: dict[ShardSpec, ShardContent] = {}
        """Shards of ours that another process has published: its rows may be others."""

    def write(self, spec: ShardSpec, content: ShardContent) -> bool:
        """Write a shard; returns what `FeatureWriter.write` does, False if it is there."""
        path = self.writer.path / spec.name
        if self.writer.is_done(spec):
            self.writer.claims.release(spec.name)
            with open_shard(path, spec, self.writer.manifest) as shard:
                self._seen[spec.name] = shard.fingerprint
                if shard.examples(["id"])["id"].to_list() != content.examples["id"]:
                    self._lost[spec] = content
            return False
        if not self.writer.write(spec, content):
            self._lost[spec] = content
            return False
        with open_shard(path, spec, self.writer.manifest) as shard:
            self._seen[spec.name] = shard.fingerprint
        self._lost.pop(spec, None)  # claimed again since
        return True

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Read rows of a finished shard.

        StoreMismatchError if another process has written it again, so that its rows may be others.
        StoreError if it is damaged.
        """
        if spec in self._lost:
            return rows_of(self._lost[spec], rows)
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
            layers = [np.stack([next(heads)[rows] for _ in grid.heads]) for grid in grids]
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


def rows_of(content: ShardContent, rows: Sequence[int]) -> Recalled:
    """Return rows of a shard that is in memory."""
    layers = [values[:, rows] for values in content.layers.values()]
    outputs = {name: values[rows] for name, values in content.outputs.items()}
    small = content.examples.get(THUMBNAIL_COLUMN)
    return Recalled(Read(layers, outputs), [small[row] if small else None for row in rows])


def side_by_side(parts: Sequence[Recalled]) -> Recalled:
    """Return rows of a shard with the heads of several sites."""
    first = parts[0]
    heads = list(chain.from_iterable(part.read.heads for part in parts))
    return Recalled(Read(heads, first.read.outputs), first.thumbnails)


def bytes_needed(
    identity: Identity,
    examples: Sequence[Example],
    answers: Answers = NO_ANSWERS,
    *,
    thumbnails: bool = False,
) -> int:
    """Return the bytes of examples with the heads of `identity` in a store, tables included."""
    each = identity.row_bytes + sum(output.nbytes for output in answers.room(1).values())
    small = sum(THUMBNAIL_BYTES for example in examples if example.media) if thumbnails else 0
    columns = example_columns(examples, [(SHA256,) * len(e.media) for e in examples])
    tables = sum(encode_column(name, column).nbytes for name, column in columns.items())
    return each * len(examples) + tables + small


def require_space(folder: Any, needed: int) -> int | None:
    """Return a disk's free bytes, None of object storage; StoreWriteError if they are too few."""
    if is_remote(folder):
        return None
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreWriteError(
            f"{folder} needs {format_bytes(needed)}, {format_bytes(free)} are free; give `out` a"
            " larger disk, or `limit`"
        )
    return free


class MemorySink(Sink):
    """Shards of a run of one process that writes nothing, read in the order given."""

    def __init__(self, shards: Sequence[ShardRows]) -> None:
        self._contents: dict[ShardSpec, Contents] = {}
        self._todo = shards
        self.identities: Identities = {}
        """What is read of the model, once it is loaded."""

    def write(self, spec: ShardSpec, contents: Contents) -> None:
        """Keep a shard of each site."""
        self._contents[spec] = contents

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return rows of a shard."""
        return side_by_side([rows_of(content, rows) for content in self._contents[spec].values()])

    def rows_left(self, identities: Identities) -> int:
        """Return all rows: nothing is recorded."""
        del identities
        return sum(len(shard.examples) for shard in self._todo)

    def begin(self, identities: Identities, answers: Answers) -> int:
        """Return all rows."""
        del answers
        self.identities = identities
        return self.rows_left(identities)

    def passes(self, show: Show) -> Iterator[Iterable[ShardRows]]:
        """Yield all shards at once."""
        del show
        yield self._todo

    def tell(self, rows: int) -> int:
        """Count rows that are done."""
        self.rows += rows
        return rows

    def in_order(self) -> list[ShardContent]:
        """Return the shards of the only site, in the order of their numbers."""
        shards = sorted(self._contents.items(), key=lambda shard: shard[0].number)
        return [content for _, of_sites in shards for (content,) in [of_sites.values()]]


def in_shards(examples: Sequence[Example], media: MediaOf, size: int) -> list[ShardRows]:
    """Return examples in shards of some rows each, as a `MemorySink` takes them."""
    parts = [examples[start : start + size] for start in range(0, len(examples), size)]
    return [
        ShardRows(ShardSpec("test", number, 0, len(part), ""), part, media)
        for number, part in enumerate(parts)
    ]
