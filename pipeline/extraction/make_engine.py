"""The engine as a run sets it up, and what a user should know after it ran."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from savs.datasets.media.media import MediaRules
from savs.pipeline.extraction.batches.feed import Planner
from savs.pipeline.extraction.batches.plan import BatchLimits
from savs.pipeline.extraction.batches.prepare import PrepareSettings
from savs.pipeline.extraction.batches.token_counts import TokenCounter
from savs.pipeline.extraction.batches.transport import needs_files
from savs.pipeline.extraction.batches.worker_process import WorkerSettings
from savs.pipeline.extraction.checks.sharing import Sharing
from savs.pipeline.extraction.engine import Engine
from savs.pipeline.extraction.in_context import Demonstrations
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.sinks import ShardFiles


def make_engine(
    model: LoadedModel,
    limits: BatchLimits,
    scale: PixelScale | None,
    run: RunOptions,
    *,
    workers: int,
    rules: MediaRules,
    answers: Answers,
    contexts: Sequence[Demonstrations] = (),
    loading: ModelOptions,
    sharing: Sharing,
    asked: Mapping[str, int],
    files: ShardFiles,
) -> Engine:
    """Return an engine with some worker processes, for media that are decoded by `rules`.

    `asked` is what `prompts_of` says of all examples.
    """
    prepare_settings = PrepareSettings(
        rules=replace(rules, fetching=None),  # the media are read here
        dtype=model.model.dtype,
        raw_pixels=scale is not None,
        thumbnails=run.thumbnails,
        shared_images=sharing.images,
        sizes_alone=sharing.sizes_alone,
    )
    pin = model.device.type == "cuda"
    settings = WorkerSettings(workers, loading, prepare_settings, pin, needs_files())
    planner = Planner(TokenCounter(model.encoder), limits, sharing.images, asked, answers)
    return Engine(model, planner, settings, answers, scale, contexts, sharing, files)


def run_notes(cuts: int, unshared: str, batch_tokens: int) -> list[str]:
    """Return what a user should know after a run with batches of so many tokens.

    The first two are `Engine.cuts` and `Engine.unshared`.
    """
    found = []
    if cuts:
        found.append(
            f"{cuts} batches did not fit the memory and were run in pieces; fewer --batch-tokens"
            f" than {batch_tokens:,} avoid that"
        )
    if unshared:
        found.append(f"images were computed for each prompt from some batch on: {unshared}")
    return found
