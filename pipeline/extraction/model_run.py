"""One run of a model: what happens between a checkpoint's name and the features of examples.

`ModelRun.read` is the story: check, load, decide, fill; each gives the next a value. What needs no
weights comes first, so that most mistakes cost seconds: the processor, a few of the user's own
prompts, labels as tokens, and all that is known of the model before it is loaded. Then weights, on
devices that they fit; then how batches are made, tried on those prompts or as a store records it;
then passes over shards.

`extract`, `--dry-run`, `classify` and the estimator call this with examples and a sink;
`load_model`, `check_model` and maps of attention need the model alone: `ModelRun.load`.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import torch

from savs.datasets import Example
from savs.datasets.benchmarks.shapes.scenes import CANVASES
from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.catalogue import KINDS, images_of
from savs.datasets.media_kinds.decoding import WITH_SOUND
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind
from savs.datasets.media_kinds.videos import VIDEOS
from savs.datasets.splits.shared_media import columns_read
from savs.pipeline.demo import SHIPPED
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.decisions import (
    GIVEN,
    IN_RUNS,
    OFF,
    PREFIXES,
    STRICT,
    WHOLE,
    Batching,
    images_recur,
    is_valid,
    preflight,
)
from savs.pipeline.extraction.checks.engines import (
    batching_of_vllm,
    compare_here,
    compare_with,
    is_of_vllm,
    one_of_each,
)
from savs.pipeline.extraction.checks.flash import use_attention
from savs.pipeline.extraction.checks.refusals import require_kind, require_video_sound
from savs.pipeline.extraction.checks.trial import NOTHING_COMPARED, Verdict, sample
from savs.pipeline.extraction.chosen_heads import (
    ChosenHeads,
    has_the_heads,
    keep_heads,
    wanted_sites,
)
from savs.pipeline.extraction.line.engine import Engine
from savs.pipeline.extraction.line.feed import MediaOf, Planner, prompts_of
from savs.pipeline.extraction.line.in_context import (
    Demonstrations,
    Drawn,
    draw_demonstrations,
    read_demonstrations,
)
from savs.pipeline.extraction.line.jobs import TokenCounter
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.sinks import EnoughError, Show, Sink
from savs.pipeline.extraction.line.workers import WorkerSettings, count_workers, start_server
from savs.pipeline.extraction.model.answers import Answers, answer_note, make_answers
from savs.pipeline.extraction.model.checkpoint_files import (
    WeightFiles,
    local_weight_paths,
    unread_bytes,
    weight_files,
)
from savs.pipeline.extraction.model.hook_points import find_site_points, image_tokens
from savs.pipeline.extraction.model.identity import identity_before_loading
from savs.pipeline.extraction.model.load import can_end_early, explained, load, load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import AUTO, ModelOptions, with_recipe
from savs.pipeline.extraction.model.pixel_scale import PixelScale, find_scale
from savs.pipeline.extraction.model.placement import find_placement, layer_count
from savs.pipeline.extraction.model.sites import AT_HEADS, IMAGE_MEAN, Site
from savs.pipeline.extraction.model.tower_attention import set_runs
from savs.pipeline.extraction.model.vllm_model import (
    VllmModel,
    load_in_vllm,
    require_vllm,
    without_vllm,
)
from savs.pipeline.extraction.recorded_options import ASKED, options_of_site
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits
from savs.pipeline.prompts.media.catalogue import images_in, is_plain
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.formatting import counted_as
from savs.pipeline.running.launchers import Rank, find_rank
from savs.pipeline.running.option_texts import VLLM
from savs.pipeline.running.progress import SILENT, Reporting
from savs.stores import Identity
from savs.stores.format.layout import UNLABELLED, Facts

DRIVER = Path("/sys/module/nvidia/version")
"""Where Linux tells the version of NVIDIA's driver."""
LONG_READ_BYTES = 10**9
"""From this size on, reading weights for their digest takes long enough for a message."""
PACKAGES = ("savs", "torch", "transformers", "h5py", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class RunExamples:
    """Examples with their media, and what a store says of both."""

    examples: Splits
    """Split -> all examples that the sink will hold, in the order of its plan."""
    media: MediaOf
    rules: MediaRules
    benchmark: Facts = field(default_factory=dict)
    """Name and options of the benchmark, for the identity of the features."""
    decoding: Facts = field(default_factory=dict)
    """How media are decoded, where that is part of the identity."""
    todo: Splits | None = None
    """Those without features before the run, where that is known: they are tried."""
    needed_kinds: Sequence[MediumKind] = ()
    """Kinds of media that the model must take as such."""
    seed: int = 0
    """Of the draw of demonstrations."""
    labels: Sequence[tuple[str | None, str]] = ()
    """Subtask and label of each pair that answers are the likelihoods of; empty for those that
    training examples have."""
    asked: Facts = field(default_factory=dict)
    """What the run was asked for: each shard records it, and nothing depends on it."""

    @property
    def new(self) -> Splits:
        """The examples without features, as far as is known before the sink is looked at."""
        return self.examples if self.todo is None else self.todo

    @property
    def answer_labels(self) -> Sequence[tuple[str | None, str]]:
        """Subtask and label of each pair that answers are the likelihoods of, each once."""
        train = self.examples.get("train", ())
        labels = self.labels or [(example.subtask, str(example.label)) for example in train]
        return list(dict.fromkeys(labels))

    @property
    def tried(self) -> Sequence[Example]:
        """Examples of which some are tried: those of the test split, if there are any."""
        splits = (self.new.get(split) for split in ("test", "train", UNLABELLED))
        return next(filter(None, splits), ())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    rows: int = 0
    """Rows that this process gave the sink."""
    seconds: float = 0.0
    """Time until all were done, without loading the model."""
    notes: tuple[str, ...] = ()
    """How the model differs from that of the chosen heads, where it may."""
    lines: tuple[str, ...] = ()
    """How answers, batches and demonstrations are computed, for the user."""
    identity: Identity | None = None
    """Identity of the features of the first site, with all heads of the model; None where no model
    was loaded."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Results of the checks on the first prompts; later reads of the same model use them again."""

    batching: Batching
    scale: PixelScale | None
    """How pixels are normalised on the device, if they can be."""

    @property
    def pixels(self) -> PixelScale | None:
        """How pixels are normalised in this run: a store may record that they are not."""
        return self.scale if self.batching.raw_pixels else None


@dataclass(frozen=True, slots=True)
class Checked:
    """A run of which all is checked that needs no weights."""

    examples: RunExamples
    sink: Sink
    heads: ChosenHeads | None
    """None for all."""
    sites: tuple[Site, ...]
    """What is read; the first leads."""
    prompts: Sequence[Pieces]
    """Some of the examples', on which the model is tried."""
    drawn: Drawn | None
    """Demonstrations, if there are any."""
    answers: Answers
    lines: tuple[str, ...]
    """What the answers cost, for the user."""
    workers: int
    """Processes that prepare batches; 0 until the rows that are left are counted."""

    def at_sites(self, model: LoadedModel) -> LoadedModel:
        """Return a model that reads all heads of the sites."""
        points = find_site_points(model.model, model.hook_points, self.sites)
        return replace(model, hook_points=points)

    def at_chosen(self, model: LoadedModel) -> LoadedModel:
        """Return a model `at_sites` that reads the chosen heads alone, and stops at the deepest."""
        if self.heads is None:
            return model
        return replace(model, hook_points=keep_heads(model.hook_points, self.heads.heads))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model of a run, and what its features are of."""

    model: LoadedModel
    """It reads what the run wants."""
    identity: Identity
    """Of the first site, with all heads of the model."""
    notes: tuple[str, ...]
    """How the model differs from that of the chosen heads, where it may."""
    rows: int
    """Those to do, by any process."""


@dataclass(frozen=True, slots=True)
class Decided:
    """How a model runs the examples."""

    settled: Settled
    answers: Answers
    contexts: Sequence[Demonstrations]
    prompt_counts: Mapping[str, int]
    """See `prompts_of`."""
    lines: tuple[str, ...]
    """How batches and demonstrations are computed, for the user."""


class ModelRun:
    """A checkpoint that reads examples. Making one loads its processor, and no weights.

    A branch in `options` is pinned to the commit that it is now. `rank` says which of several
    processes this is, by default as the launcher says. `after` is an earlier run of the same
    checkpoint, whose weights and batches are continued. A run fills one store, of which it records
    how batches are made. ModelError: see `load_encoder`.
    """

    def __init__(
        self,
        options: ModelOptions,
        run: RunOptions,
        reporting: Reporting = SILENT,
        *,
        rank: Rank | None = None,
        after: "ModelRun | None" = None,
    ) -> None:
        options = with_recipe(options)
        self.encoder = load_encoder(options) if after is None else after.encoder
        self.options = replace(options, revision=self.encoder.revision or options.revision)
        self.run = run
        self.reporting = reporting
        self.rank = find_rank() if rank is None else rank
        self.whole: LoadedModel | None = None if after is None else after.whole
        """The model as it was loaded, with the hook points of all its heads."""
        self.settled: Settled | None = None if after is None else after.settled
        """How the last read made its batches."""

    def load(self, last_layer: int | None = None) -> LoadedModel:
        """Load the layers up to `last_layer`, or all, to where they fit; errors: `load_model`."""
        if self.options.engine == VLLM:
            raise ModelError("`engine` vllm is for runs that store or classify examples; drop it")
        placement = find_placement(self.options, self.encoder, self.rank, last_layer=last_layer)
        self.reporting.say(f"loading {self.options.model} on {placement.text}")
        return load(self.options, self.encoder, placement, last_layer=last_layer)

    def read(self, examples: RunExamples, sink: Sink, heads: ChosenHeads | None = None) -> Outcome:
        """Give a sink the features of all examples that it lacks: of chosen heads, or of all.

        ModelError, SelectionError if the model cannot be loaded or run, or is not that of the
        chosen heads. StoreError if the sink belongs to other features, or cannot be written.
        DatasetError if demonstrations cannot be drawn or read.
        """
        checked = self._check(examples, sink, heads)
        if checked is None:
            return Outcome()
        loaded = self._load(checked)
        if not loaded.rows:
            sink.end()
            return Outcome(notes=loaded.notes, identity=loaded.identity)
        decided = self._decide(checked, loaded.model)
        started = time.monotonic()
        self._fill(checked, loaded, decided)
        seconds = time.monotonic() - started
        sink.end()
        lines = (*checked.lines, *decided.lines)
        return Outcome(sink.rows, seconds, loaded.notes, lines, loaded.identity)

    # --- what needs no weights

    def _check(
        self, examples: RunExamples, sink: Sink, heads: ChosenHeads | None
    ) -> Checked | None:
        """Refuse what cannot be run; None if the sink has all that this run would give it."""
        sites = wanted_sites(self.run, heads)
        self._require_sites(sites, examples)
        if self.options.engine == VLLM:
            require_vllm(self.options, self.run, self.encoder)
        columns, prompts = columns_read(examples.examples), self.encoder.reads_prompts
        for kind in KINDS:
            is_shown = prompts and kind in examples.needed_kinds  # others refuse them one by one
            if is_shown or (kind.column in columns and kind.column != IMAGE_COLUMN):
                require_kind(self.encoder, kind)
        if prompts and VIDEOS in examples.needed_kinds and examples.rules.video == WITH_SOUND:
            require_video_sound(self.encoder)
        tried = sample(self.encoder, examples.tried, examples.media)
        sizes = {image.size for pieces in tried.prompts for image in images_of(pieces)}
        if self.options.model in SHIPPED and not sizes <= {*CANVASES}:
            self.reporting.say(
                f"note: {self.options.model} only knows drawn shapes. For photos use e.g. `model`"
                " Qwen/Qwen2-VL-7B-Instruct"
            )
        drawn = draw_demonstrations(self.run, examples.examples, examples.seed)
        answers = make_answers(
            self.run,
            self.options,
            self.encoder,
            examples.answer_labels,
            tried.prompts,
            demonstrated={} if drawn is None else drawn.facts(),
        )
        lines, new = (), [*chain.from_iterable(examples.new.values())]
        if answers and new:
            lines = (answer_note(answers, new),)
            self.reporting.say(lines[0])
        checked = Checked(examples, sink, heads, sites, tried.prompts, drawn, answers, lines, 0)
        left = self._rows_left(checked)
        if left is None:
            return None
        device = "cpu" if self.options.engine == VLLM else self.options.device
        workers = count_workers(self.run, device, tried.seconds * left, self.rank)
        if workers:
            start_server()  # it imports while the weights are loaded
        return replace(checked, workers=workers)

    def _require_sites(self, sites: Sequence[Site], examples: RunExamples) -> None:
        """Refuse sites of a model without layers to read, and means over absent images."""
        if not self.encoder.has_heads and sites != (AT_HEADS,):
            raise ModelError(
                f"{self.encoder.name} is {self.encoder.kind_name}: its output is kept, and"
                " no layer is read; drop `site`, `slices` and `pooling`"
            )
        if all(site.pooling != IMAGE_MEAN for site in sites):
            return
        image_tokens(self.encoder.name, self.encoder.config)
        for example in chain.from_iterable(examples.new.values()):
            if IMAGE_COLUMN not in example.columns:
                raise ModelError(
                    f"the {example.split} example {example.id!r} has no image, so it has no mean"
                    " over one; leave it out, or keep `pooling` last"
                )

    def _rows_left(self, checked: Checked) -> int | None:
        """Return the rows that the sink lacks, as far as is known; None if it surely has all.

        The sink, and the chosen heads, are compared with what is known of the model: before the
        weight files are read for their digest, and after that.
        """
        sink, heads = checked.sink, checked.heads
        self._expected(checked, None)
        files = self._weights() if self.whole is None else self.whole.weights
        rows, identities = self._expected(checked, None if files is None else files.digest)
        # a folder may hold other weights by now, an adapter too
        is_pinned = self.options.adapter is None and (
            self.encoder.revision is not None or str(self.options.model) in SHIPPED
        )
        has_all = [has_the_heads(one, self.encoder, heads) for one in identities.values()]
        if rows or not is_pinned or len(identities) < len(checked.sites) or not all(has_all):
            return rows
        return None if sink.is_complete(identities) else 0

    def _expected(
        self, checked: Checked, weights: str | None
    ) -> tuple[int, Mapping[str, Identity]]:
        """Return the rows that the sink lacks, and what its stores would be of, site by site.

        `weights` is the digest of the weights, None if it is not known. Raises where a store, or
        the chosen heads, belong to another model.
        """
        examples, sink, heads = checked.examples, checked.sink, checked.heads
        before = partial(
            identity_before_loading,
            options=self.options,
            encoder=self.encoder,
            benchmark=examples.benchmark,
            answers=checked.answers,
            media=examples.decoding,
            weights=weights,
        )
        if heads is not None:
            heads.check(before(heads.identity, site=checked.sites[0].label))
        recorded = sink.recorded
        identities = {label: before(identity, site=label) for label, identity in recorded.items()}
        rows = sum(map(len, examples.examples.values()))
        return (sink.rows_left(identities) if recorded else rows), identities

    def _weights(self) -> WeightFiles | None:
        """Return the weight files with their digests; None if they are not on this host yet."""
        paths = local_weight_paths(self.options, self.encoder.config, self.encoder.revision)
        if paths is None:
            return None
        if (size := unread_bytes(paths)) >= LONG_READ_BYTES:
            self.reporting.say(
                f"reading {size / 1e9:.1f} GB of weights for their SHA-256; it is kept for later"
                " runs"
            )
        with explained("model", str(self.options.model)):
            return weight_files(paths)

    # --- the model, and what its features are of

    def _load(self, checked: Checked) -> Loaded:
        """Load the model, where no earlier run did, and begin the sink."""
        sink, examples, heads = checked.sink, checked.examples, checked.heads
        if self.whole is None:
            sink.note("loading")
            self.whole = self._load_first_layers(checked)
            if self.options.engine == VLLM:
                self.whole = load_in_vllm(self.options, self.encoder, self.run.batch_tokens)
            if self.whole is None:
                self.whole = self.load()
                self._say_layers(self.whole, heads, "runs")
        sink.note("checking", device=str(self.whole.device))
        every = checked.at_sites(self.whole)
        model = checked.at_chosen(every)
        identities = {
            site.label: every.identity(
                examples.benchmark, checked.answers, examples.decoding, site.label
            )
            for site in checked.sites
        }
        identity = identities[checked.sites[0].label]
        notes = () if heads is None else tuple(heads.check(identity))
        for note in notes:
            self.reporting.say(f"note: {note}")
        rows = sink.begin(
            {label: replace(identities[label], grid=grid) for label, grid in model.grids.items()},
            checked.answers,
        )
        return Loaded(model, identity, notes, rows)

    def _load_first_layers(self, checked: Checked) -> LoadedModel | None:
        """Load no layer after the deepest chosen head, and try that on a prompt.

        None if all layers are loaded: nothing was chosen, they are needed, or the model does not
        run with few.
        """
        heads = checked.heads
        if heads is None or not heads.of_classifier:
            return None
        if not can_end_early(self.options, self.encoder, heads.last_layer):
            return None
        try:
            model = self.load(heads.last_layer)
            limited = checked.at_chosen(checked.at_sites(model))
            for prompt in checked.prompts[:1]:
                limited.read(limited.inputs([prompt]))
        except Exception as error:  # each family has its own
            reason = str(error).partition("\n")[0]
            self.reporting.say(
                f"all layers are loaded, since the model does not run with few: {reason}"
            )
            return None
        self._say_layers(model, heads, "loads and runs")
        return model

    def _say_layers(self, model: LoadedModel, heads: ChosenHeads | None, does: str) -> None:
        """Say how many decoder layers run for the heads of a classifier."""
        if heads is None or not heads.of_classifier or not self.encoder.has_heads:
            return
        total, few = layer_count(model.model), heads.last_layer + 1
        if total is not None and few < total:
            self.reporting.say(
                f"{does} {few} of {total} decoder layers, up to the deepest chosen head:"
                f" {100 * (1 - few / total):.0f} % of the decoder are left out"
            )

    # --- how it runs

    def _decide(self, checked: Checked, model: LoadedModel) -> Decided:
        """Try ways to run on the first prompts, or take those that a store records."""
        examples, prompts, say = checked.examples, checked.prompts, self.reporting.say
        counts = prompts_of(chain.from_iterable(examples.examples.values()), self.encoder)
        self.settled = self._settle(checked, model, shared=images_recur(counts))
        batching = self.settled.batching
        is_whole = batching.answers.name == WHOLE
        answers = replace(checked.answers, whole=is_whole, cells=batching.limits.tokens)
        on_batches, demonstrated = batching.notes(), []
        for line in on_batches:
            (say if batching.is_warning else self.reporting.detail)(line)
        contexts: Sequence[Demonstrations] = ()
        if checked.drawn is not None:
            contexts, demonstrated = read_demonstrations(
                model, checked.drawn, examples.media, examples.new, answers
            )
        for line in demonstrated:
            say(line)
        if not batching.raw_pixels and any(map(images_in, filter(is_plain, prompts))):
            self.reporting.detail(
                "pixels are normalised by the processor: after it they would differ"
            )
        return Decided(self.settled, answers, contexts, counts, (*on_batches, *demonstrated))

    def _settle(self, checked: Checked, model: LoadedModel, *, shared: bool) -> Settled:
        """Return how batches are made; of one prompt alone they were not compared earlier."""
        settled, prompts = self.settled, checked.prompts
        if isinstance(model, VllmModel):
            record = checked.sink.settle(
                lambda record: is_of_vllm(record, model.version, self.run),
                lambda: self._compared(checked, model).to_json(),
            )
            return Settled(msgspec.convert(record, Batching), None)
        if settled is None or (len(prompts) > 1 and not settled.batching.is_compared):
            scale, attention = find_scale(self.encoder, prompts), self.options.attention
            record = checked.sink.settle(
                lambda record: is_valid(record, self.run, attention, shared=shared),
                lambda: preflight(
                    model,
                    prompts,
                    scale,
                    self.run,
                    checked.answers,
                    shared=shared,
                    attention=attention,
                ).to_json(),
            )
            settled = Settled(msgspec.convert(record, Batching), scale)
            way = settled.batching.attention.name
            if attention == AUTO and (note := use_attention(model, way)):
                self.reporting.say(note)
        set_runs(model.model, runs=settled.batching.tower.name == IN_RUNS)  # also if recorded
        return settled

    def _compared(self, checked: Checked, model: VllmModel) -> Batching:
        """Compare vLLM with transformers; ModelError where they differ and `strict` is asked."""

        def load() -> LoadedModel:
            other = ModelRun(without_vllm(self.options), RunOptions(), self.reporting)
            return checked.at_chosen(checked.at_sites(other.load()))

        verdict, rows = Verdict(True, NOTHING_COMPARED), checked.examples
        if self.options.compare_with is not None:
            verdict = compare_with(self.options.compare_with, model, rows.examples, rows.media)
        elif self.run.batch_check != OFF and checked.prompts:
            prompts = one_of_each(checked.prompts, rows.new, rows.media, self.encoder)
            verdict = compare_here(model, prompts, load)
        self.reporting.say(f"vLLM {model.version} {verdict.seen}")
        if not verdict.same and self.run.batch_check in (None, STRICT):
            model.engine.close()
            raise ModelError(
                f"vLLM {model.version} gives other features of {model.name} than transformers"
                f" ({verdict.seen}); leave out `engine`, or the sites that differ"
            )
        return batching_of_vllm(model, self.run, verdict)

    # --- passes over shards, with the other processes that fill the sink

    def _fill(self, checked: Checked, loaded: Loaded, decided: Decided) -> None:
        """Run the shards of this process, with an engine for each pass of the sink."""
        sink, say = checked.sink, self.reporting.say
        cuts, unshared, cut_sounds = 0, "", set[str]()
        try:
            with self.reporting.progress(loaded.rows) as show, suppress(EnoughError):
                for shards in sink.passes(show):
                    engine = self._engine(checked, loaded.model, decided, show)
                    engine.recall(sink.prompts())
                    try:
                        engine.run(shards)
                    finally:
                        cuts += engine.forward.cuts
                        unshared = unshared or engine.forward.unshared
                        cut_sounds |= engine.cut_sounds
        except KeyboardInterrupt:
            if sink.left_behind:
                interruption.explain(say, sink.left_behind)
            raise
        finally:
            if isinstance(loaded.model, VllmModel):
                loaded.model.engine.close()
        if cuts:
            batches = "1 batch" if cuts == 1 else f"{cuts} batches"
            say(
                f"{batches} did not fit the memory and ran in pieces; a smaller `batch_size` avoids"
                f" it, or in Python batch_tokens below {decided.settled.batching.batch_tokens:,}"
            )
        if cut_sounds:
            say(
                f"{counted_as(len(cut_sounds), 'sound', 'was', 'were')} cut after"
                f" {checked.examples.rules.audio_max_seconds} s (`audio_max_seconds`)"
            )
        if unshared:
            say(f"images were computed for each prompt from some batch on: {unshared}")

    def _engine(self, checked: Checked, model: LoadedModel, decided: Decided, show: Show) -> Engine:
        """Return an engine with worker processes; it tells the sink of each batch."""
        batching, scale = decided.settled.batching, decided.settled.pixels
        examples, sink = checked.examples, checked.sink
        settings = PassSettings(
            run=self.run,
            rules=replace(examples.rules, fetching=None),  # the media are read in this process
            dtype=model.model.dtype,
            limits=batching.limits,
            raw_pixels=scale is not None,
            shared_images=batching.shared_images,
            shares_prefixes=batching.sharing.name == PREFIXES,
            sizes_alone=batching.sizes_alone,
            host_inputs=batching.host_inputs.name == GIVEN,
        )
        gpu = model.device if model.device.type == "cuda" else None
        record = {
            **batching.to_json(),
            **run_record(model, self.rank, sink.process),
            "batch_size": batching.limits.rows,
            "workers": checked.workers,
        }
        asked = examples.asked
        return Engine(
            model=model,
            planner=Planner(
                TokenCounter(self.encoder),
                settings,
                decided.prompt_counts,
                decided.answers,
            ),
            workers=WorkerSettings(checked.workers, self.options, settings, gpu),
            answers=decided.answers,
            scale=scale,
            contexts=decided.contexts,
            sink=sink,
            records={
                label: record | ({ASKED: options_of_site(asked, label)} if asked else {})
                for label in model.grids
            },
            on_rows=lambda rows: show(sink.tell(rows)),
        )


def run_record(model: LoadedModel, rank: Rank, writer: str) -> dict[str, Any]:
    """Return rank, time, attention, device and versions as JSON; `writer` is this process."""
    packages = [*PACKAGES, *(["av"] if find_spec("av") else [])]
    record: dict[str, Any] = {
        "attention": model.attention,
        "device": str(model.device),
        "rank": rank.rank,
        "ranks": rank.ranks,
        "writer": writer,
        "versions": {package: version(package) for package in packages},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if isinstance(model, VllmModel):
        record["versions"][VLLM] = model.version
    if model.device.type == "cuda":
        record |= {
            "gpu": torch.cuda.get_device_name(model.device),
            "gpus": torch.cuda.device_count(),
            "driver": DRIVER.read_text().strip() if DRIVER.exists() else None,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return record
