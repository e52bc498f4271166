"""Images that a program has through a model: heads at the last token of one prompt.

A model is loaded once a process and stays, with what was found about its batches.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from savs.datasets import Example, MediaFolder
from savs.datasets.media_kinds.decoding import MAX_IMAGE_PIXELS
from savs.foundation.arrays import Array
from savs.pipeline.classifying.feature_cache import ImageHeads, model_files
from savs.pipeline.classifying.model_match import decoding_rules
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.chosen_heads import ChosenHeads
from savs.pipeline.extraction.line.sinks import MemorySink, in_shards
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model_run import ModelRun, RunExamples
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.pipeline.targets.stored_answers import ANSWERS
from savs.stores import LayerGrid, ShardContent

ROWS = 256
"""Images whose heads are put together at a time."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that stays in memory."""

    options: ModelOptions
    files: Sequence[Sequence[Any]]
    """Its files as they were before it was loaded, see `model_files`."""
    last: int | None
    """The deepest layer that a classifier needed when it was loaded; None for the whole model."""
    reader: ModelRun
    """The last run of the model: it has the weights, and how batches are made."""

    def has(self, options: ModelOptions, files: Sequence[Sequence[Any]], last: int | None) -> bool:
        """Return whether it is this model, with all layers up to `last`; its files are the same."""
        reaches = self.last is None or (last is not None and last <= self.last)
        is_loaded = self.reader.whole is not None  # not where no image could be read
        return is_loaded and reaches and self.options == options and self.files == files


@dataclass(slots=True)
class _Residence:
    """The one model of this process: two would need the memory of two."""

    turn: threading.RLock = field(default_factory=threading.RLock)
    resident: Resident | None = None


_RESIDENCE = _Residence()


@dataclass(frozen=True, slots=True)
class MediaInMemory(MediaFolder):
    """Images by their names, in memory."""

    contents: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """Return the bytes of an image."""
        return self.contents[name]

    def size(self, name: str) -> int | None:
        """Return their number."""
        return len(self.contents[name])


def read_heads(
    images: Mapping[str, bytes],
    question: str,
    options: ModelOptions,
    run: RunOptions,
    decoding: Mapping[str, Any],
    selection: SelectionConfig | None = None,
    reporting: Reporting = SILENT,
    *,
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> ImageHeads:
    """Return the heads of images, each before one question; unreadable images are skipped.

    The model stays in memory until another is asked for. What `decoding`, see `decoding_of`, lacks
    is as `extract` does by default. Of a classifier, its `selection`, no layer after the deepest of
    its heads is loaded, where the model allows it, or runs. ModelError if the model cannot be
    loaded or run.
    """
    chosen, asked = None, None if selection is None else selection.answers
    if selection is not None:  # the caller compares the models: it knows more about them
        chosen = ChosenHeads(selection, check=lambda _: (), of_classifier=asked is None)
    last = None if chosen is None or asked else chosen.last_layer
    labels = () if selection is None else selection.answer_labels
    rules = replace(decoding_rules(decoding), max_pixels=max_pixels)
    media = MediaInMemory(Path(), None, rules, images)
    examples = [
        Example(name, "test", number, None, question, (name,)) for number, name in enumerate(images)
    ]
    sink = MemorySink(in_shards(examples, lambda _: media, ROWS))
    with _RESIDENCE.turn:
        resident, files = _RESIDENCE.resident, model_files(options)
        if resident is not None and not resident.has(options, files, last):
            _RESIDENCE.resident = resident = None  # its memory is free before the next is loaded
        earlier = None if resident is None else resident.reader
        reader = ModelRun(options, replace(run, answers=asked), reporting, after=earlier)
        wanted = RunExamples(
            {"test": examples}, lambda _: media, media.rules, decoding=decoding, labels=labels
        )
        outcome = reader.read(wanted, sink, chosen)
        deepest = last if resident is None else resident.last
        _RESIDENCE.resident = Resident(options, files, deepest, reader)
    assert outcome.identity is not None  # a sink in memory lacks all rows
    parts = sink.in_order()
    (grid,) = (identity.grid for identity in sink.identities.values())
    values = np.concatenate([_side_by_side(part, grid) for part in parts])
    skipped = [row for p in parts for row in zip(p.skipped["id"], p.skipped["reason"], strict=True)]
    answers = None
    if asked:
        answers = np.concatenate([part.outputs[ANSWERS] for part in parts])
    return ImageHeads(outcome.identity.source(), grid, values, dict(skipped), answers)


@contextmanager
def resident_model() -> Iterator[LoadedModel]:
    """Lend the model that `read_heads` left in memory; nobody else runs it meanwhile.

    ModelError if there is none.
    """
    with _RESIDENCE.turn:
        resident = _RESIDENCE.resident
        if resident is None or resident.reader.whole is None:
            raise ModelError("no model is in memory; classify an image first")
        yield resident.reader.whole


def _side_by_side(part: ShardContent, grid: Sequence[LayerGrid]) -> Array:
    """Return `(rows, values)`: all heads of each row, layer by layer."""
    layers = [part.layers[layer.layer].transpose(1, 0, 2) for layer in grid]
    return np.concatenate(
        [layer.reshape(len(layer), layer.shape[1] * layer.shape[2]) for layer in layers], axis=1
    )
