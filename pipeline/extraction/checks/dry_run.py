"""What an extraction will take, from a short probe; nothing is written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from savs.datasets import Benchmark, Example, MediaFolder
from savs.datasets.media.download import Fetching
from savs.pipeline.extraction.batches.plan import make_batches
from savs.pipeline.extraction.batches.prepare import Refused, prepare
from savs.pipeline.extraction.batches.run import run_batch
from savs.pipeline.extraction.checks.disk_space import example_bytes
from savs.pipeline.extraction.model.load import load
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source

PROBE_S = 5.0
"""The probe runs at least this long, if there are examples enough."""
WARM_UP_BATCHES = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of an extraction."""

    examples: dict[str, int]
    """Split -> number of examples."""
    missing_media: list[str]
    """Names of images that are not in the media root, in order of first use."""
    notes: list[str]
    """What a user should know before the run, see `Source.notes`."""
    bytes: int
    """Size of the features."""
    examples_per_second: float | None
    """Rate of the probe; None where no example could be run."""

    @property
    def seconds(self) -> float | None:
        """Estimated time of the whole extraction without loading the model."""
        total = sum(self.examples.values())
        return None if self.examples_per_second is None else total / self.examples_per_second


def estimate(
    benchmark: Benchmark, inputs: InputOptions, model: ModelOptions, batch_size: int
) -> Estimate:
    """Count the examples, look for their images, and time a few batches of the test split."""
    source = Source(benchmark, inputs, Fetching() if inputs.fetch_urls else None)
    examples = source.examples()
    media = {split: source.media(split) for split in examples}
    missing = [
        name
        for split, found in examples.items()
        for name in dict.fromkeys(name for example in found for name in example.media)
        if not media[split].has(name)
    ]
    notes = source.notes(examples)
    loaded = load(model)
    total = sum(len(found) for found in examples.values())
    return Estimate(
        examples={split: len(found) for split, found in examples.items()},
        missing_media=missing,
        notes=notes,
        bytes=total * example_bytes(loaded),
        examples_per_second=_probe(loaded, examples["test"], source.media("test"), batch_size),
    )


def _probe(
    model: LoadedModel, examples: Sequence[Example], media: MediaFolder, batch_size: int
) -> float | None:
    """Return examples a second, in the order of a real run from the middle length on."""
    batches = make_batches(examples, batch_size)
    middle = len(batches) // 2
    done, seconds = 0, 0.0
    for number, batch in enumerate(batches[middle:] + batches[:middle]):
        started = time.perf_counter()
        rows = 0
        for part in prepare(model, examples, batch, media):
            done_now = run_batch(model, examples, part, media)
            rows += sum(len(run[0]) for run in done_now if not isinstance(run, Refused))
        if number >= WARM_UP_BATCHES or number == len(batches) - 1:
            done, seconds = done + rows, seconds + time.perf_counter() - started
        if seconds > PROBE_S:
            break
    return done / seconds if done else None
