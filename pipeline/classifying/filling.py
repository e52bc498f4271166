"""New images into their store: the model of a classifier reads the chosen heads, and no others."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from savs.datasets import Example, MediaFolder
from savs.datasets.splits.shared_media import media_names
from savs.pipeline.classifying.classified_store import StoreExamples
from savs.pipeline.classifying.classifier_model import ClassifierModel
from savs.pipeline.classifying.model_match import as_identity, decoding_of, require_match
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.batches.feed import prompts_of
from savs.pipeline.extraction.batches.worker_process import start_server
from savs.pipeline.extraction.batches.workers import count_workers
from savs.pipeline.extraction.checks.preflight import Batching, preflight, recorded, sample
from savs.pipeline.extraction.checks.sharing import UNTRIED, images_recur
from savs.pipeline.extraction.chosen_heads import keep_heads
from savs.pipeline.extraction.engine import Engine, ShardRows
from savs.pipeline.extraction.make_engine import make_engine, run_notes
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.pipeline.extraction.model.identity import identity_before_loading
from savs.pipeline.extraction.model.load_encoder import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.pixel_scale import PixelScale, find_scale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.run_record import run_record
from savs.pipeline.extraction.share import Share
from savs.pipeline.inputs.source import find_video
from savs.pipeline.inputs.stored_rows import planned_rows
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.launchers import Rank
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.config_json import SelectionConfig
from savs.stores import FeatureWriter, Identity, PlannedRow, ShardSpec, StoreMismatchError
from savs.stores.format.manifest import read_manifest
from savs.stores.write.opening import Reservation


@dataclass(frozen=True, slots=True)
class Filled:
    """What a run did."""

    rows: int = 0
    """Examples that this process read."""
    seconds: float = 0.0
    """Time that they took, without loading the model."""
    notes: tuple[str, ...] = ()
    """What limits the predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """Reads new images by the model of a classifier."""

    selection: SelectionConfig
    loading: ModelOptions
    run: RunOptions
    reporting: Reporting
    question: str | None
    """The prompt of all images, where the user gave one: a part of what the store is of."""
    allow_other_prompt: bool
    rank: Rank
    """Which of several processes this is."""
    resumes: str = ""
    """What the same command goes on with after an interruption; nothing where nothing is kept."""

    def fill(
        self,
        place: Reservation,
        wanted: StoreExamples,
        *,
        is_known: bool,
        on_begun: Callable[[], None] = lambda: None,
    ) -> Filled:
        """Write what the store of new images lacks, with the other processes that work on it.

        Parameters
        ----------
        place
            Its folder.
        wanted
            Its examples.
        is_known
            Whether the store is known to be of this classifier and model, so that the model need
            not be loaded where nothing is to be done.
        on_begun
            Called when the store is there.

        Raises
        ------
        SelectionError
            The model that runs is not that of the classifier.
        StoreMismatchError
            The store is of another model, other heads or another question.
        OutputError
            Another process has added other images meanwhile.
        """
        say = self.reporting.say
        rows = {"train": [], "test": planned_rows(wanted.examples)}
        before = place.found
        if before is not None and is_known and not place.missing(before.identity, rows, None):
            writer = place.begin(before.identity, rows, None)
            on_begun()
            if not (self.run.retry_skipped and writer.reopen_skipped(wanted.can_redo)):
                say("0 examples to do: the model is not loaded")
                writer.seal()
                return Filled()
        encoder = load_encoder(self.loading)
        loading = replace(self.loading, revision=encoder.revision or self.loading.revision)
        todo = len(wanted.todo)
        running = self._before_loading(as_identity(self.selection.source, {}), loading, encoder)
        require_match(self.selection, running.source(), allow_other_prompt=self.allow_other_prompt)
        if before is not None:
            same = self._before_loading(before.identity, loading, encoder)
            todo = sum(spec.rows for spec in place.missing(self._stored(same), rows, None))
        tried = sample(encoder, *_largest_folder(wanted))
        workers = count_workers(self.run, loading.device, tried.seconds * todo, self.rank)
        if workers:
            start_server()
        if any(task.calibration is None for task in self.selection.tasks):
            say("the classifier is not calibrated: probability is only the share of the scores")
        place.claims.signs.note("loading", rank=self.rank.rank)
        loader = ClassifierModel(self.selection, loading, encoder, self.rank, say)
        whole = loader.load(tried.prompts)
        notes = [*self._match(whole), *self._video_notes(wanted)]
        for note in notes:
            say(f"note: {note}")
        place.claims.signs.note("checking", device=str(whole.device))
        points = keep_heads(whole.hook_points, self.selection.heads)
        model = replace(whole, hook_points=points)
        identity = self._stored(model.identity(self._benchmark, media=self._decoding))
        writer = self._begin(place, identity, rows)
        on_begun()
        writing = _Writing(self, writer, wanted, model, loading, tried.prompts, workers)
        done, seconds = writing.write()
        writer.seal()
        return Filled(done, seconds, tuple(notes))

    def _begin(
        self, place: Reservation, identity: Identity, rows: Mapping[str, Sequence[PlannedRow]]
    ) -> FeatureWriter:
        try:
            return place.begin(identity, rows, None)
        except StoreMismatchError as error:
            now = read_manifest(place.path)
            if place.found is not None and now.plan == place.found.plan:
                raise
            if now.identity.differences(identity):
                raise
            raise OutputError(
                f"another process has added other images to {place.path} meanwhile; run the same"
                " command again"
            ) from error

    @property
    def _benchmark(self) -> dict[str, Any]:
        options = {} if self.question is None else {"question": self.question}
        return {"name": "general", "options": options}

    @property
    def _decoding(self) -> dict[str, Any]:
        return decoding_of(self.selection)

    def _before_loading(
        self, found: Identity, loading: ModelOptions, encoder: PromptEncoder
    ) -> Identity:
        """Return what features would be of if the model's weights were those of another store."""
        given = (found, loading, encoder, self._benchmark, NO_ANSWERS, self._decoding)
        return identity_before_loading(*given)

    def _match(self, model: LoadedModel) -> list[str]:
        running = model.identity({}, media=self._decoding)
        return require_match(
            self.selection, running.source(), allow_other_prompt=self.allow_other_prompt
        )

    def _stored(self, identity: Identity) -> Identity:
        """Return an identity with the weights of the classifier's whole model.

        The loaded layers were compared with them, and those that were not loaded run for no
        feature. So the store fits its classifier, however many layers a machine loaded.
        """
        source = self.selection.source
        if identity.dtype != source.dtype:  # their digests cannot be compared
            return identity
        known = {k: source.model[k] for k in ("weights", "layer_weights") if k in source.model}
        return replace(identity, model={**identity.model, **known})

    def _video_notes(self, wanted: StoreExamples) -> list[str]:
        if "video" in self._decoding:
            return []
        for examples, media in _by_folder(wanted):
            found = find_video(media_names(examples), media)
            if found is not None:
                return [f"the training examples had no videos, and {found} is one"]
        return []


def _by_folder(wanted: StoreExamples) -> list[tuple[list[Example], MediaFolder]]:
    """Return the examples that are to be done, or tried again, of each folder."""
    parts: dict[int, tuple[list[Example], MediaFolder]] = {}
    redone = (example for example in wanted.examples if example.id in wanted.folders)
    for example in wanted.todo or redone:
        media = wanted.media_of(example)
        parts.setdefault(id(media), ([], media))[0].append(example)
    return list(parts.values())


def _largest_folder(wanted: StoreExamples) -> tuple[list[Example], MediaFolder]:
    return max(_by_folder(wanted), key=lambda part: len(part[0]))


@dataclass(frozen=True, slots=True)
class _Writing:
    """Writes the store with a loaded model."""

    of: Filling
    writer: FeatureWriter
    wanted: StoreExamples
    model: LoadedModel
    loading: ModelOptions
    prompts: Sequence[Pieces]
    workers: int

    def write(self) -> tuple[int, float]:
        """Write what is missing; return how many rows this process wrote, and the seconds."""
        run, say, rank = self.of.run, self.of.reporting.say, self.of.rank
        specs = self.writer.missing()
        if run.retry_skipped:
            specs += self.writer.reopen_skipped(self.wanted.can_redo)
        if not specs:
            return 0, 0.0
        scale = find_scale(self.model.encoder, self.prompts)
        given = [example for example in self.wanted.examples if example.id in self.wanted.folders]
        asked = prompts_of(given, self.model.encoder)
        batching = self._settle(scale, shared=images_recur(asked))
        for line in batching.notes():
            say(line)
        started = time.monotonic()
        shards = self.writer.open_shards(specs, rank.rank / rank.ranks)
        share = Share(self.writer, shards)
        cuts, unshared = 0, ""
        try:
            with self.of.reporting.progress(sum(spec.rows for spec in specs)) as show:
                while shards.wait(lambda: show(share.tell(0, waits=True))):
                    engine = self._engine(batching, scale, asked, share)
                    engine.recall(share.prompts(specs, thumbnails=False))
                    engine.on_rows = lambda rows: show(share.tell(rows))
                    engine.run(self._rows(spec) for spec in shards.claimed())
                    cuts, unshared = cuts + engine.cuts, unshared or engine.unshared
        except KeyboardInterrupt:
            if self.of.resumes:
                interruption.explain(
                    say,
                    "what was read is kept; run the same command again to go on with"
                    f" {self.of.resumes}",
                )
            raise
        for line in run_notes(cuts, unshared, batching.batch_tokens):
            say(line)
        return share.rows, time.monotonic() - started

    def _settle(self, scale: PixelScale | None, *, shared: bool) -> Batching:
        """Return how batches are made: as the store records it, or as a few prompts show."""
        run, known = self.of.run, self.writer.manifest.batching
        batching = recorded(known, run, shared=shared)
        if batching is None:
            found = preflight(self.model, self.prompts, scale, run, shared=shared).to_json()
            batching = Batching.from_json(self.writer.settle_batching(found))
        return batching

    def _engine(
        self, batching: Batching, scale: PixelScale | None, asked: Mapping[str, int], share: Share
    ) -> Engine:
        engine = make_engine(
            self.model,
            batching.limits,
            scale if batching.raw_pixels else None,
            self.of.run,
            workers=self.workers,
            rules=next(iter(self.wanted.folders.values())).rules,
            answers=NO_ANSWERS,
            loading=self.loading,
            sharing=batching.sharing or UNTRIED,
            asked=asked,
            files=share,
        )
        record = run_record(self.model, self.of.rank, self.writer.claims.process.id)
        made = {"batch_size": batching.limits.rows, "workers": engine.workers.workers}
        engine.record = record | batching.to_json() | made
        return engine

    def _rows(self, spec: ShardSpec) -> ShardRows:
        rows = self.writer.manifest.plan.splits[spec.split].rows(spec)
        examples = [self.wanted.examples[row] for row in rows]
        return ShardRows(spec, examples, self.wanted.media_of)
