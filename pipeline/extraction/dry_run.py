"""What an extraction will take, from a short run of the engine; nothing is written."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from savs.datasets import Benchmark, Example
from savs.datasets.splits.shared_media import media_names
from savs.pipeline.extraction.appending import add_examples, wanted_examples
from savs.pipeline.extraction.checks.refusals import bytes_needed
from savs.pipeline.extraction.chosen_heads import chosen_heads
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_extraction import run_examples, store_places
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.sinks import (
    EnoughError,
    Identities,
    MemorySink,
    ShardRows,
    Show,
    in_shards,
)
from savs.pipeline.extraction.text_rows import read_words, text_rows, unread_notes, with_texts
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source, make_fetching
from savs.stores import open_store
from savs.stores.format.plan import default_shard_rows

PROBE_S = 5.0
"""The probe runs at least this long after its start, if there are examples enough."""
LEAST_S = 1.0
"""Shorter times say nothing without the start."""


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
    source = Source(benchmark, inputs, make_fetching(inputs, None), trains=not run.names_classes)
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
