"""`savs extract`: the examples of a benchmark, read by a model into a store.

And its dry run: what that will take, from a short run of the engine that writes nothing.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from savs.datasets import Benchmark, Example
from savs.datasets.asked import OPTION as ASKED
from savs.datasets.asked import AskedQuestion, asked_questions
from savs.datasets.splits.shared_media import has_boxes, media_names
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.checks.refusals import require_media
from savs.pipeline.extraction.chosen_heads import chosen_heads, wanted_sites
from savs.pipeline.extraction.line.sinks import (
    EnoughError,
    Identities,
    MemorySink,
    ShardRows,
    Show,
    StoreSink,
    bytes_needed,
    in_shards,
)
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model_run import ModelRun, RunExamples
from savs.pipeline.extraction.recorded_options import recorded_options
from savs.pipeline.extraction.rows.appending import WantedExamples, add_examples, wanted_examples
from savs.pipeline.extraction.rows.following import follow_examples
from savs.pipeline.extraction.rows.text_rows import read_words, text_rows, unread_notes, with_texts
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source, make_fetching
from savs.pipeline.running.formatting import counted, format_seconds
from savs.pipeline.running.launchers import find_rank
from savs.pipeline.running.progress import Reporting
from savs.pipeline.targets.stored_answers import LABELS
from savs.stores import (
    FeatureStore,
    StoreError,
    StoreMismatchError,
    StoreNotFoundError,
    open_store,
    reserve,
    store_of,
)
from savs.stores.files.addresses import is_remote
from savs.stores.format.layout import MANIFEST
from savs.stores.format.plan import default_shard_rows
from savs.stores.write.opening import require_sole_writer

PROBE_S = 5.0
"""The probe runs at least this long after its start, if there are examples enough."""
LEAST_S = 1.0
"""Shorter times say nothing without the start."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extraction left on disk."""

    stores: dict[str, FeatureStore]
    """Site -> its store, open for reading."""
    rows: int
    """Examples that this run extracted."""
    seconds: float
    """Time that they took, without loading the model."""
    skipped: list[tuple[str, str, str]]
    """`(split, id, reason)` of every skipped example in the store."""
    warnings: tuple[str, ...] = ()
    """What a user should still know after the run."""

    @property
    def store(self) -> FeatureStore:
        """The store, of several sites the first."""
        return next(iter(self.stores.values()))

    def __repr__(self) -> str:
        """Return a few lines: the store, what this run did, and what comes next."""
        ran = f"{counted(self.rows, 'example')} in {format_seconds(self.seconds)}"
        return (
            f"Extraction({ran}, {len(self.skipped):,} skipped)\n  {self.store!r}\n"
            f"  next: savs.select({str(self.store.path)!r})"
        )


def run_extraction(
    benchmark: Benchmark,
    inputs: InputOptions,
    model: ModelOptions,
    run: RunOptions,
    *,
    out: Any,
    reporting: Reporting,
    name: str | None = None,
    allow_removed: bool | None = None,
    asked: Sequence[AskedQuestion] = (),
) -> Extraction:
    """Write the features of a benchmark's examples into a store, see `extract`.

    `out` is a folder or a URL, see `find_place`. `name` is the benchmark as the user gave it, which
    may be a Python file. With `allow_removed`, true or false, a store that is there follows its
    source, see `follow_examples`. `asked` are the answers whose log-likelihoods are kept, which a
    store that is there has recorded.
    """
    source = read_source(benchmark, inputs, run, None if is_remote(out) else f"{out}.fetched")
    wanted, words = None, read_words(run)
    if not run.append and allow_removed is None:
        wanted = wanted_examples(source)
    rank, folders = find_rank(), store_places(out, run)
    with ExitStack() as stack:
        places = [stack.enter_context(reserve(path)) for path in folders]
        place = places[0]
        place.claims.signs.note("starting", rank=rank.rank)
        store = None if place.manifest is None else store_of(place.path, place.manifest)
        if asked := asked or ([] if store is None else asked_questions(store.benchmark)):
            options = {**benchmark.options, ASKED: [msgspec.to_builtins(one) for one in asked]}
            source = replace(source, benchmark=replace(benchmark, options=options))
            run = replace(run, answers=LABELS)
        if allow_removed is not None:
            wanted = follow_examples(store, source, allow_removed=allow_removed)
            before, after = wanted.revision.before, wanted.revision.plan
            if before and after and {*before.plan.shards()} - {*after.shards()}:
                require_sole_writer(place.path, place.claims)  # it may make what is dropped
        if wanted is None:
            if store is None:
                raise StoreNotFoundError(
                    f"{place.path} is no store yet, so nothing can be appended; leave out `append`"
                )
            wanted = add_examples(store, source)
        for line in wanted.notes:
            reporting.say(line)
        reader = ModelRun(model, run, reporting, rank=rank)
        labelled = {} if wanted.labelled is None else {"train": [*wanted.labelled]}
        texts = text_rows(reader.encoder, benchmark, wanted.examples | labelled, words, run)
        wanted = with_texts(wanted, texts, store)
        for line in unread_notes(reader.encoder, wanted.examples):
            reporting.say(line)
        heads = chosen_heads(run)
        labels = [site.label for site in wanted_sites(run, heads)]
        recorded = recorded_options(name or benchmark.name, inputs, model, run)
        labels_asked = [(one.subtask, label) for one in asked for label in one.written]
        examples = replace(run_examples(source, wanted), asked=recorded, labels=labels_asked)
        if store is None:
            require_media(examples.examples, examples.media)
        sink = StoreSink(
            labels[0],
            dict(zip(labels, places, strict=True)),
            examples.examples,
            examples.media,
            run,
            say=reporting.say,
            rank=rank,
            can_redo=wanted.can_redo,
            revision=wanted.revision,
        )
        outcome = reader.read(examples, sink, heads)
    done = finished(folders, outcome.rows, outcome.seconds)
    return replace(done, warnings=tuple(wanted.warnings))


def read_source(
    benchmark: Benchmark, inputs: InputOptions, run: RunOptions, fetched: str | None = None
) -> Source:
    """Return a benchmark with its files; ParameterError for options that its labels rule out.

    What is at URLs is fetched into a folder, or only read without one.
    """
    fetching = make_fetching(inputs, None if fetched is None else Path(fetched))
    source = Source(benchmark, inputs, fetching, trains=not run.names_classes)
    if not source.labels.kind.are_classes and (run.classes or "labels" in run.answer_kinds):
        raise ParameterError(
            f"`{'classes' if run.classes else 'answers'}` compares an image with classes of which"
            f" one is right, and a row has {source.labels.kind.a_row_has}; omit it"
        )
    return source


def store_places(out: Any, run: RunOptions) -> list[Any]:
    """Return the place of each site's store; StoreMismatchError for several in a store."""
    if len(run.sites) < 2:
        return [out]
    if (out / MANIFEST).exists():
        raise StoreMismatchError(
            f"{out} is a store of one site, and several sites get folders in `out`; pass another"
            " `out`, or one `site`"
        )
    return [out / site.label for site in run.sites]


def finished(folders: Sequence[Any], rows: int, seconds: float) -> Extraction:
    """Return an extraction of stores that are complete, or that other processes complete."""
    stores = list(map(open_store, folders))
    by_site = {store.manifest.identity.site: store for store in stores}
    return Extraction(by_site, rows, seconds, skipped_examples(stores[0]))


def run_examples(source: Source, wanted: WantedExamples) -> RunExamples:
    """Return what a model run reads of a benchmark with its files."""
    folders = {split: source.media(split) for split in wanted.examples}
    return RunExamples(
        examples=wanted.examples,
        media=lambda example: folders[example.split],
        rules=source.rules,
        benchmark={"name": source.benchmark.name, "options": dict(source.benchmark.options)},
        decoding=source.decoding_facts(
            kinds=wanted.kinds,
            has_boxes=has_boxes(wanted.examples),
        ),
        todo=wanted.todo,
        needed_kinds=source.needed_kinds(wanted.kinds),
        seed=source.options.seed,
    )


def skipped_examples(store: FeatureStore) -> list[tuple[str, str, str]]:
    """Return `(split, id, reason)` of every skipped example of the splits that are complete."""
    return [
        row
        for split in store.splits
        if not store.missing(split)
        for row in store.skipped(split).select("split", "id", "reason").iter_rows()
    ]


def earlier_skips(out: Any) -> frozenset[tuple[str, str]]:
    """Return the split and id of what earlier runs into a store skipped; nothing without a store.

    A split that is not complete does not count: the next run continues the one that began it.
    """
    try:
        store = open_store(out, partial=True)
    except StoreError:
        return frozenset()
    return frozenset((split, identifier) for split, identifier, _ in skipped_examples(store))


@dataclass(frozen=True, slots=True)
class ExtractionCost:
    """The cost of an extraction."""

    examples: dict[str, int]
    """Split -> number of examples."""
    missing_media: list[str]
    """Names of images that are not in the media root, in order of first use."""
    notes: list[str]
    """What a user should know before the run, see `Source.notes`, and how batches are made."""
    bytes: dict[str, int]
    """Site -> size of its features and tables."""
    examples_per_second: float | None
    """Rate of the probe, preparation and model at once; None if no example could be run."""

    @property
    def seconds(self) -> float | None:
        """Estimated time of the whole extraction without loading the model."""
        total = sum(self.examples.values())
        return None if self.examples_per_second is None else total / self.examples_per_second


def estimate(
    benchmark: Benchmark, inputs: InputOptions, model: ModelOptions, run: RunOptions, out: Any
) -> ExtractionCost:
    """Count the examples, look for their images, and run some of the test split.

    With `append`, only those are counted that the store `out` lacks.
    """
    source = read_source(benchmark, inputs, run)
    lead = store_places(out, run)[0]
    wanted = add_examples(open_store(lead), source) if run.append else wanted_examples(source)
    words = read_words(run)
    missing = [
        name
        for split, rows in wanted.todo.items()
        for media in [source.media(split)]
        for name in media_names(rows)
        if not media.has(name)
    ]
    reader = ModelRun(model, run)
    texts = text_rows(reader.encoder, benchmark, wanted.examples, words, run)
    examples = run_examples(source, with_texts(wanted, texts, None))
    unread = unread_notes(reader.encoder, examples.examples)
    todo = wanted.todo | texts
    rows = [example for split in todo.values() for example in split]
    shard_rows = run.shard_rows or default_shard_rows(len(rows))
    shards = in_shards(examples.tried, examples.media, shard_rows)
    probe = _Probe(shards, rows, thumbnails=run.thumbnails)
    outcome = reader.read(examples, probe, chosen_heads(run))
    return ExtractionCost(
        examples={split: len(rows) for split, rows in todo.items()},
        missing_media=missing,
        notes=[*wanted.notes, *unread, *outcome.lines],
        bytes=probe.bytes,
        examples_per_second=probe.rate,
    )


class _Probe(MemorySink):
    """Ends a run after some seconds, and knows what all rows would take.

    It counts from the second time that any are done: the first has the start in it. The middle of
    the file comes first: files are often sorted.
    """

    def __init__(
        self, shards: Sequence[ShardRows], rows: Sequence[Example], *, thumbnails: bool
    ) -> None:
        middle = len(shards) // 2
        super().__init__([*shards[middle:], *shards[:middle]])
        self._all_rows = rows
        self._thumbnails = thumbnails
        self.bytes: dict[str, int] = {}
        self._begun = self.last = time.perf_counter()
        self.first: float | None = None
        self._rows_after_first = 0

    def begin(self, identities: Identities, answers: Answers) -> int:
        """Count the bytes; the clock starts later."""
        self.bytes = {
            label: bytes_needed(identity, self._all_rows, answers, thumbnails=self._thumbnails)
            for label, identity in identities.items()
        }
        return super().begin(identities, answers)

    def passes(self, show: Show) -> Iterator[Iterable[ShardRows]]:
        """Start the clock."""
        self._begun = self.last = time.perf_counter()
        return super().passes(show)

    def tell(self, rows: int) -> int:
        """Take note of rows that are done; EnoughError when it ran long enough."""
        if not rows:
            return 0
        self.last = time.perf_counter()
        if self.first is None:
            self.first = self.last
        else:
            self._rows_after_first += rows
            if self.last - self.first > PROBE_S:
                raise EnoughError
        return super().tell(rows)

    @property
    def rate(self) -> float | None:
        """Examples a second; None if none was done."""
        if self.first is not None and self.last - self.first > LEAST_S:
            return self._rows_after_first / (self.last - self.first)
        return self.rows / (self.last - self._begun) if self.rows else None
