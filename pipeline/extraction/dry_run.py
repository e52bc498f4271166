"""What an extraction will take, from a short run of the engine; nothing is written."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from savs.datasets import Benchmark, Example
from savs.datasets.splits.shared_media import media_names
from savs.pipeline.extraction.appending import add_examples, wanted_examples
from savs.pipeline.extraction.batches.feed import prompts_of
from savs.pipeline.extraction.batches.workers import count_workers
from savs.pipeline.extraction.checks.disk_space import bytes_needed
from savs.pipeline.extraction.checks.preflight import Sample, preflight, sample
from savs.pipeline.extraction.checks.sharing import UNTRIED, images_recur
from savs.pipeline.extraction.checks.video_input import require_video_input
from savs.pipeline.extraction.chosen_heads import read_chosen_heads
from savs.pipeline.extraction.engine import ShardRows
from savs.pipeline.extraction.make_answers import answer_note, make_answers
from savs.pipeline.extraction.make_context import (
    Drawn,
    draw_demonstrations,
    read_demonstrations,
)
from savs.pipeline.extraction.make_engine import make_engine
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.load import load
from savs.pipeline.extraction.model.load_encoder import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import find_scale
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.shard_files import ShardsInMemory
from savs.pipeline.extraction.text_rows import read_words, text_rows
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source, Splits, make_fetching
from savs.stores import ShardSpec, open_store
from savs.stores.format.plan import default_shard_rows

PROBE_S = 5.0
"""The probe runs at least this long after its start, if there are examples enough."""
LEAST_S = 1.0
"""Shorter times say nothing without the start."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of an extraction."""

    examples: dict[str, int]
    """Split -> number of examples."""
    missing_media: list[str]
    """Names of images that are not in the media root, in order of first use."""
    notes: list[str]
    """What a user should know before the run, see `Source.notes`, and how batches are made."""
    bytes: int
    """Size of features and tables."""
    examples_per_second: float | None
    """Rate of the probe, preparation and model at once; None where no example could be run."""

    @property
    def seconds(self) -> float | None:
        """Estimated time of the whole extraction without loading the model."""
        total = sum(self.examples.values())
        return None if self.examples_per_second is None else total / self.examples_per_second


def estimate(
    benchmark: Benchmark, inputs: InputOptions, model: ModelOptions, run: RunOptions, out: Any
) -> Estimate:
    """Count the examples, look for their images, and run some of the test split.

    With `append`, only those are counted that the store `out` lacks.
    """
    source = Source(benchmark, inputs, make_fetching(inputs, None), trains=not run.names_classes)
    wanted = add_examples(open_store(out), source) if run.append else wanted_examples(source)
    examples, words = wanted.todo, read_words(run)
    missing = [
        name
        for split, found in examples.items()
        for media in [source.media(split)]
        for name in media_names(found)
        if not media.has(name)
    ]
    encoder = load_encoder(model)
    require_video_input(encoder, source, wanted)
    examples = examples | text_rows(encoder, benchmark, wanted.examples, words, run)
    probed = "test" if examples.get("test") else "train"
    tried = sample(encoder, examples[probed], source.media(probed))
    loaded = load(model, encoder)
    if run.heads_from is not None:
        of_benchmark = {"name": benchmark.name, "options": dict(benchmark.options)}
        decoding = source.decoding_facts(has_videos=wanted.has_videos)
        identity = loaded.identity(of_benchmark, media=decoding)
        loaded = read_chosen_heads(loaded, identity, Path(run.heads_from))
    rows = [example for found in examples.values() for example in found]
    drawn = draw_demonstrations(run, source, wanted.examples)
    answers = make_answers(run, model, encoder, wanted.examples, tried.prompts, drawn)
    notes = [*wanted.notes, *([answer_note(answers, rows)] if answers else [])]
    rate, seen = _probe(loaded, source, tried, examples, probed, answers, drawn, model, run)
    return Estimate(
        examples={split: len(found) for split, found in examples.items()},
        missing_media=missing,
        notes=[*notes, *seen],
        bytes=bytes_needed(loaded, rows, answers, thumbnails=run.thumbnails),
        examples_per_second=rate,
    )


def _probe(
    model: LoadedModel,
    source: Source,
    tried: Sample,
    examples: Splits,
    probed: str,
    answers: Answers,
    drawn: Drawn | None,
    loading: ModelOptions,
    run: RunOptions,
) -> tuple[float | None, list[str]]:
    """Return examples a second of a split, and what was found out about batches."""
    scale = find_scale(model.encoder, tried.prompts)
    rows = examples[probed]
    asked = prompts_of(chain.from_iterable(examples.values()), model.encoder)
    batching = preflight(model, tried.prompts, scale, run, answers, shared=images_recur(asked))
    answers = replace(answers, whole=batching.whole_answers, cells=batching.limits.tokens)
    contexts, lines = (
        ([], []) if drawn is None else read_demonstrations(model, drawn, source, examples, answers)
    )
    clock = _Clock()
    engine = make_engine(
        model,
        batching.limits,
        scale,
        run,
        workers=count_workers(
            run, loading.device, tried.seconds * sum(map(len, examples.values()))
        ),
        rules=source.rules,
        answers=answers,
        contexts=contexts,
        loading=loading,
        sharing=batching.sharing or UNTRIED,
        asked=asked,
        files=ShardsInMemory(model.grid),
    )
    engine.on_rows = clock.tell
    shard_rows = run.shard_rows or default_shard_rows(sum(map(len, examples.values())))
    shards = [
        ShardRows(_spec(number, part), part, source.media(probed))
        for number, part in enumerate(_parts(rows, shard_rows))
    ]
    with suppress(_Enough):
        engine.run(shards)
    return clock.rate, batching.notes() + lines


def _parts(rows: Sequence[Example], size: int) -> list[Sequence[Example]]:
    """Return the rows in shards, the middle of the file first: files are often sorted."""
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    middle = len(parts) // 2
    return parts[middle:] + parts[:middle]


def _spec(number: int, rows: Sequence[Example]) -> ShardSpec:
    return ShardSpec("test", number, 0, len(rows), "")


class _Enough(Exception):  # noqa: N818 - it ends the probe, nothing is wrong
    """The probe ran long enough."""


class _Clock:
    """Counts rows from the second time that any are done: the first has the start in it."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._first: float | None = None
        self._last = self._begun
        self._rows = self._all = 0

    def tell(self, rows: int) -> None:
        """Take note of rows that are done; end the probe when it ran long enough."""
        if not rows:
            return
        self._last = time.perf_counter()
        self._all += rows
        if self._first is None:
            self._first = self._last
            return
        self._rows += rows
        if self._last - self._first > PROBE_S:
            raise _Enough

    @property
    def rate(self) -> float | None:
        """Examples a second; None where none was done."""
        if self._first is not None and self._last - self._first > LEAST_S:
            return self._rows / (self._last - self._first)
        return self._all / (self._last - self._begun) if self._all else None
