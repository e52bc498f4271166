"""Images that a program has through a model: heads at the last token of one prompt.

A model is loaded once a process and stays, with what was found about its batches.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from savs.datasets import Example, MediaFolder
from savs.foundation.arrays import Array
from savs.pipeline.classifying.classifier_model import ClassifierModel, of_layers
from savs.pipeline.classifying.feature_cache import ImageHeads
from savs.pipeline.classifying.model_match import decoding_rules
from savs.pipeline.extraction.batches.feed import prompts_of
from savs.pipeline.extraction.batches.worker_process import start_server
from savs.pipeline.extraction.batches.workers import count_workers
from savs.pipeline.extraction.checks.preflight import Batching, preflight, sample
from savs.pipeline.extraction.checks.sharing import UNTRIED
from savs.pipeline.extraction.engine import ShardRows
from savs.pipeline.extraction.make_engine import make_engine
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.pipeline.extraction.model.load import load
from savs.pipeline.extraction.model.load_encoder import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import PixelScale, find_scale
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.shard_files import ShardsInMemory
from savs.pipeline.running.launchers import find_rank
from savs.pipeline.running.progress import SILENT
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores import LayerGrid, ShardContent, ShardSpec

ROWS = 256
"""Images whose heads are put together at a time."""


@dataclass(slots=True)
class Resident:
    """A model that stays in memory."""

    options: ModelOptions
    last: int | None
    """The deepest layer that a classifier needed when it was loaded; None for the whole model."""
    model: LoadedModel
    tried: tuple[PixelScale | None, Batching] | None = None
    """What was found on the first images; of one alone batches are not compared."""

    def has(self, options: ModelOptions, last: int | None) -> bool:
        """Return whether it is this model, with all layers up to `last`."""
        reaches = self.last is None or (last is not None and last <= self.last)
        return self.options == options and reaches


@dataclass(slots=True)
class _Residence:
    """The one model of this process: two would need the memory of two."""

    turn: threading.RLock = field(default_factory=threading.RLock)
    resident: Resident | None = None


_RESIDENCE = _Residence()


@dataclass(frozen=True, slots=True)
class GivenMedia(MediaFolder):
    """Images by their names, in memory."""

    given: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """Return the bytes of an image."""
        return self.given[name]

    def size(self, name: str) -> int | None:
        """Return their number."""
        return len(self.given[name])


def read_heads(
    images: Mapping[str, bytes],
    question: str,
    options: ModelOptions,
    run: RunOptions,
    decoding: Mapping[str, Any],
    selection: SelectionConfig | None = None,
) -> ImageHeads:
    """Return the heads of images, each put before one question; what cannot be read is skipped.

    Parameters
    ----------
    images
        Name -> bytes of an image file.
    question
        The prompt.
    options
        The model. It stays in memory until another is asked for.
    run
        Sizes of batches, and workers.
    decoding
        How images are decoded, see `decoding_of`; what it lacks is as `extract` does by default.
    selection
        The classifier whose layers alone are read. None behind the deepest of its heads is loaded,
        where the model allows it, or runs. By default all.

    Raises
    ------
    ModelError
        The model cannot be loaded or run.
    """
    with _RESIDENCE.turn:
        media = GivenMedia(Path(), None, decoding_rules(decoding), images)
        examples = [_example(name, number, question) for number, name in enumerate(images)]
        resident = _resident(options, selection, examples, media)
        whole = resident.model
        model = whole if selection is None else of_layers(whole, selection)
        shards = _Collected(model.grid)
        _run(resident, model, examples, media, run, shards)
    values = np.concatenate([_side_by_side(part, model.grid) for part in shards.parts()])
    source = whole.identity({}, media=decoding).source()
    return ImageHeads(source, model.grid, values, shards.skipped())


def _resident(
    options: ModelOptions,
    selection: SelectionConfig | None,
    examples: Sequence[Example],
    media: MediaFolder,
) -> Resident:
    """Return the model that stays; a classifier's, with no more layers than its heads need."""
    last = None if selection is None else max(layer for layer, _ in selection.heads)
    found = _RESIDENCE.resident
    if found is None or not found.has(options, last):
        _RESIDENCE.resident = found = None  # its memory is free before the next is loaded
        if selection is None:
            model = load(options)
        else:
            encoder = load_encoder(options)
            held = ClassifierModel(selection, options, encoder, find_rank(), SILENT.say)
            model = held.load(sample(encoder, examples, media).prompts)
        found = _RESIDENCE.resident = Resident(options, last, model)
    return found


def _example(name: str, number: int, question: str) -> Example:
    return Example(name, "test", number, None, question, (name,))


def _run(
    resident: Resident,
    model: LoadedModel,
    examples: Sequence[Example],
    media: MediaFolder,
    run: RunOptions,
    shards: "_Collected",
) -> None:
    tried = sample(model.encoder, examples, media)
    workers = count_workers(run, resident.options.device, tried.seconds * len(examples))
    if workers:
        start_server()
    is_known = resident.tried is not None and resident.tried[1].equal is not None
    if resident.tried is None or (len(tried.prompts) > 1 and not is_known):
        scale = find_scale(model.encoder, tried.prompts)
        resident.tried = scale, preflight(model, tried.prompts, scale, run, shared=False)
    scale, batching = resident.tried
    engine = make_engine(
        model,
        batching.limits,
        scale if batching.raw_pixels else None,
        run,
        workers=workers,
        rules=media.rules,
        answers=NO_ANSWERS,
        loading=resident.options,
        sharing=UNTRIED,
        asked=prompts_of(examples, model.encoder),
        files=shards,
    )
    starts = range(0, len(examples), ROWS)
    parts = [examples[start : start + ROWS] for start in starts]
    engine.run(
        ShardRows(ShardSpec("test", number, 0, len(part), ""), part, media)
        for number, part in enumerate(parts)
    )


class _Collected(ShardsInMemory):
    """The shards of one call."""

    def __init__(self, grid: Sequence[LayerGrid]) -> None:
        super().__init__(grid)
        self._parts: dict[int, ShardContent] = {}

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Keep a shard."""
        self._parts[spec.number] = content
        return super().write(spec, content)

    def parts(self) -> list[ShardContent]:
        """Return the shards in order."""
        return [self._parts[number] for number in sorted(self._parts)]

    def skipped(self) -> dict[str, str]:
        """Return the reason of each image that was skipped."""
        return {
            str(name): str(reason)
            for part in self.parts()
            for name, reason in zip(part.skipped["id"], part.skipped["reason"], strict=True)
        }


def _side_by_side(part: ShardContent, grid: Sequence[LayerGrid]) -> Array:
    """Return `(rows, values)`: all heads of each row, layer by layer."""
    layers = [part.layers[layer.layer].transpose(1, 0, 2) for layer in grid]
    return np.concatenate(
        [layer.reshape(len(layer), layer.shape[1] * layer.shape[2]) for layer in layers], axis=1
    )
