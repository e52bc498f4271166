"""Prepared inputs through the model, in halves where the memory does not hold them whole."""

from collections.abc import Sequence

import torch

from savs.datasets import Example, MediaFolder
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.prepare import Prepared, Refused, prepare
from savs.pipeline.extraction.model.extra_outputs import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel, Read


def run_batch(
    model: LoadedModel,
    examples: Sequence[Example],
    batch: Prepared | Refused,
    media: MediaFolder,
    answers: Answers = NO_ANSWERS,
) -> list[tuple[tuple[int, ...], Read] | Refused]:
    """Run a batch; where it does not fit the GPU's memory, run its halves."""
    if isinstance(batch, Refused):
        return [batch]
    try:
        return [(batch.places, model.read(batch.inputs, answers))]
    except torch.OutOfMemoryError as error:
        if len(batch.places) == 1:
            raise ModelError(
                f"example {examples[batch.places[0]].id!r} alone does not fit the memory of"
                f" {model.device}: {error}; lower --max-pixels, or use a larger GPU"
            ) from error
    torch.cuda.empty_cache()
    half = len(batch.places) // 2
    return [
        done
        for places in (batch.places[:half], batch.places[half:])
        for again in prepare(model, examples, places, media)
        for done in run_batch(model, examples, again, media, answers)
    ]
