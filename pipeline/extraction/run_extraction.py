"""Stage 1: run a model once over all examples and store the features of every head.

What can be refused without the model's weights is refused before they are loaded.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from savs.datasets import Benchmark
from savs.datasets.media.videos import videos_of
from savs.pipeline.demo import SHIPPED
from savs.pipeline.extraction.appending import WantedExamples, add_examples, wanted_examples
from savs.pipeline.extraction.batches.feed import prompts_of
from savs.pipeline.extraction.batches.worker_process import start_server
from savs.pipeline.extraction.batches.workers import count_workers
from savs.pipeline.extraction.checks.disk_space import bytes_needed, require_space
from savs.pipeline.extraction.checks.preflight import Batching, preflight, recorded, sample
from savs.pipeline.extraction.checks.sharing import UNTRIED, images_recur
from savs.pipeline.extraction.checks.video_input import require_video_input
from savs.pipeline.extraction.chosen_heads import has_the_heads, read_chosen_heads
from savs.pipeline.extraction.engine import Engine, ShardRows
from savs.pipeline.extraction.extraction import Extraction, skipped_examples
from savs.pipeline.extraction.in_context import Demonstrations
from savs.pipeline.extraction.make_answers import answer_note, make_answers
from savs.pipeline.extraction.make_context import (
    Drawn,
    draw_demonstrations,
    read_demonstrations,
)
from savs.pipeline.extraction.make_engine import make_engine, run_notes
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.identity import identity_before_loading
from savs.pipeline.extraction.model.load import load
from savs.pipeline.extraction.model.load_encoder import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pieces import Pieces, images_in
from savs.pipeline.extraction.model.pixel_scale import PixelScale, find_scale
from savs.pipeline.extraction.model.placement import find_placement
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.run_record import run_record
from savs.pipeline.extraction.share import Share
from savs.pipeline.extraction.text_rows import cut_note, read_words, text_rows, with_texts
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source, make_fetching
from savs.pipeline.inputs.stored_rows import planned_rows
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.formatting import format_bytes
from savs.pipeline.running.launchers import Rank, find_rank
from savs.pipeline.running.progress import Reporting
from savs.stores import (
    FeatureStore,
    FeatureWriter,
    ShardSpec,
    StoreNotFoundError,
    open_store,
    reserve,
    store_of,
)
from savs.stores.files.paths import is_remote


def run_extraction(
    benchmark: Benchmark,
    inputs: InputOptions,
    model: ModelOptions,
    run: RunOptions,
    *,
    out: Any,
    reporting: Reporting,
) -> Extraction:
    """Write the features of a benchmark's examples into a store, see `extract`.

    `out` is a folder or a URL, see `find_place`.
    """
    kept = None if is_remote(out) else Path(f"{out}.fetched")
    source = Source(benchmark, inputs, make_fetching(inputs, kept), trains=not run.names_classes)
    wanted, words = None if run.append else wanted_examples(source), read_words(run)
    rank = find_rank()
    heads_from = None if run.heads_from is None else Path(run.heads_from)
    with reserve(out) as place:
        place.claims.signs.note("starting", rank=rank.rank)
        store = None if place.found is None else store_of(out, place.found)
        if wanted is None:
            wanted = add_examples(_to_extend(store, out), source)
        for line in wanted.notes:
            reporting.say(line)
        encoder = load_encoder(model)
        model = replace(model, revision=encoder.revision or model.revision)  # a branch may move on
        require_video_input(encoder, source, wanted)
        texts = text_rows(encoder, benchmark, wanted.examples, words, run)
        for line in cut_note(encoder, texts):
            reporting.say(line)
        wanted = with_texts(wanted, texts, store)
        examples = wanted.examples
        rows = {split: planned_rows(found) for split, found in examples.items()}
        tried_split = "test" if wanted.todo.get("test") else "train"
        tried = sample(encoder, wanted.todo[tried_split], source.media(tried_split))
        drawn = draw_demonstrations(run, source, examples)
        answers = make_answers(run, model, encoder, examples, tried.prompts, drawn)
        if answers:
            reporting.say(answer_note(answers, [*chain.from_iterable(wanted.todo.values())]))
        facts = (
            {"name": benchmark.name, "options": dict(benchmark.options)},
            answers,
            source.decoding_facts(has_videos=wanted.has_videos),
        )
        todo = sum(map(len, examples.values()))
        if place.found is not None:
            same = identity_before_loading(place.found.identity, model, encoder, *facts)
            todo = sum(spec.rows for spec in place.missing(same, rows, run.shard_rows))
            is_known = _is_pinned(model, encoder) and has_the_heads(same, encoder, heads_from)
            if not todo and is_known:
                writer = place.begin(same, rows, run.shard_rows)
                if not (run.retry_skipped and writer.reopen_skipped(wanted.can_redo)):
                    reporting.say("0 examples to do: the model is not loaded")
                    writer.seal()
                    return _extraction(out)
        scale = find_scale(encoder, tried.prompts)
        workers = count_workers(run, model.device, tried.seconds * todo, rank)
        if workers:
            start_server()  # it imports while the weights are loaded
        placement = find_placement(model, encoder, rank)
        reporting.say(f"loading {model.model} on {placement.text}")
        place.claims.signs.note("loading")
        loaded = load(model, encoder, placement)
        place.claims.signs.note("checking", device=str(loaded.device))
        if heads_from is not None:
            loaded = read_chosen_heads(loaded, loaded.identity(*facts), heads_from)
        writer = place.begin(loaded.identity(*facts), rows, run.shard_rows)
        filling = _Filling(
            *(loaded, source, wanted, tried.prompts, scale, answers, drawn),
            *(model, run, rank, workers, reporting),
        )
        done, seconds = filling.fill(writer)
        writer.seal()
    return _extraction(out, done, seconds)


def _to_extend(store: FeatureStore | None, out: Any) -> FeatureStore:
    """Return the store that `--append` adds to; StoreNotFoundError without one."""
    if store is None:
        raise StoreNotFoundError(
            f"{out} is no store yet, so nothing can be appended; leave out --append"
        )
    return store


def _is_pinned(model: ModelOptions, encoder: PromptEncoder) -> bool:
    """Return whether the same name always means the same weights: a folder may hold others now."""
    return model.adapter is None and (encoder.revision is not None or str(model.model) in SHIPPED)


def _extraction(out: Any, rows: int = 0, seconds: float = 0.0) -> Extraction:
    store = open_store(out)
    return Extraction(store, rows, seconds, skipped_examples(store))


@dataclass(frozen=True, slots=True)
class _Filling:
    """Fills a store with the features of a loaded model."""

    model: LoadedModel
    source: Source
    wanted: WantedExamples
    prompts: Sequence[Pieces]
    """A few of the examples' prompts."""
    scale: PixelScale | None
    """How their pixels are normalised on the device, if they can be."""
    answers: Answers
    drawn: Drawn | None
    """Demonstrations, if there are any."""
    loading: ModelOptions
    run: RunOptions
    rank: Rank
    workers: int
    reporting: Reporting

    def fill(self, writer: FeatureWriter) -> tuple[int, float]:
        """Write what is missing, with the other processes that work on the store.

        Returns how many rows this process wrote and the seconds until all were written.
        """
        run, say = self.run, self.reporting.say
        wanted = writer.missing()
        if run.retry_skipped:
            wanted += writer.reopen_skipped(self.wanted.can_redo)
        todo = [example for spec in wanted for example in self._rows(writer, spec).examples]
        needed = bytes_needed(self.model, todo, self.answers, thumbnails=run.thumbnails)
        free = require_space(writer.path, needed)
        space = "" if free is None else f", {format_bytes(free)} are free"
        say(f"{len(todo):,} examples to do: {format_bytes(needed)}{space}")
        if not todo:
            return 0, 0.0
        if self.rank.ranks > len(wanted):
            say(
                f"{self.rank.ranks} ranks share {len(wanted)} shards: some will have nothing to do;"
                " start fewer, or begin a store with fewer --shard-rows"
            )
        asked = prompts_of(chain.from_iterable(self.wanted.examples.values()), self.model.encoder)
        batching = self._settle(writer, shared=images_recur(asked))
        answers = self._answers(batching)
        contexts = self._contexts(answers)
        plain = [pieces for pieces in self.prompts if not videos_of(pieces)]
        if not batching.raw_pixels and any(map(images_in, plain)):
            say("pixels are normalised by the processor: after it they would differ")
        started = time.monotonic()
        shards = writer.open_shards(wanted, self.rank.rank / self.rank.ranks)
        share = Share(writer, shards)
        cuts, unshared = 0, ""
        try:
            with self.reporting.progress(len(todo)) as show:
                while shards.wait(lambda: show(share.tell(0, waits=True))):
                    engine = self._engine(batching, share, asked, answers, contexts)
                    engine.recall(share.prompts(wanted, thumbnails=run.thumbnails))
                    engine.on_rows = lambda rows: show(share.tell(rows))
                    engine.run(self._rows(writer, spec) for spec in shards.claimed())
                    cuts, unshared = cuts + engine.cuts, unshared or engine.unshared
        except KeyboardInterrupt:
            interruption.explain(
                say,
                f"{sum(map(writer.is_done, wanted))} of {len(wanted)} shards of this run are"
                f" safe in {writer.path}; run the same command again to go on",
            )
            raise
        for line in run_notes(cuts, unshared, batching.batch_tokens):
            say(line)
        return share.rows, time.monotonic() - started

    def _answers(self, batching: Batching) -> Answers:
        """Return what is kept, and how it is computed."""
        cells = batching.limits.tokens
        return replace(self.answers, whole=batching.whole_answers, cells=cells)

    def _contexts(self, answers: Answers) -> Sequence[Demonstrations]:
        """Let the model read the demonstrations, if there are any."""
        if self.drawn is None:
            return ()
        given = (self.model, self.drawn, self.source, self.wanted.todo, answers)
        contexts, lines = read_demonstrations(*given)
        for line in lines:
            self.reporting.say(line)
        return contexts

    def _engine(
        self,
        batching: Batching,
        share: Share,
        asked: Mapping[str, int],
        answers: Answers,
        contexts: Sequence[Demonstrations],
    ) -> Engine:
        engine = make_engine(
            self.model,
            batching.limits,
            self.scale if batching.raw_pixels else None,
            self.run,
            workers=self.workers,
            rules=self.source.rules,
            answers=answers,
            contexts=contexts,
            loading=self.loading,
            sharing=batching.sharing or UNTRIED,
            asked=asked,
            files=share,
        )
        made = {"batch_size": batching.limits.rows, "workers": engine.workers.workers}
        record = run_record(self.model, self.rank, share.writer.claims.process.id)
        engine.record = record | batching.to_json() | made
        return engine

    def _rows(self, writer: FeatureWriter, spec: ShardSpec) -> ShardRows:
        rows = writer.manifest.plan.splits[spec.split].rows(spec)
        found = self.wanted.examples[spec.split]
        return ShardRows(spec, [found[row] for row in rows], self.source.media(spec.split))

    def _settle(self, writer: FeatureWriter, *, shared: bool) -> Batching:
        """Return how batches are made: as the store records it, or as a few prompts show."""
        batching = recorded(writer.manifest.batching, self.run, shared=shared)
        if batching is None:
            given = (self.model, self.prompts, self.scale, self.run, self.answers)
            found = preflight(*given, shared=shared).to_json()
            settled = writer.settle_batching(found)
            batching = Batching.from_json(settled)
        for line in batching.notes():
            self.reporting.say(line)
        return batching
