"""A short proof before a long run: that this model's batches give what single examples give."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from savs.datasets import Example, MediaError
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.prepare import images_in, pieces_of
from savs.pipeline.extraction.checks.batch_equality import Check, check_batches, run_single
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.prompts import Pieces
from savs.pipeline.inputs.source import Source

COMPARED = 4
"""Examples that are run alone and in one batch."""


def precheck(
    model: LoadedModel, source: Source, examples: Mapping[str, Sequence[Example]]
) -> Check | None:
    """Compare a few examples of the test split, alone and in one batch.

    Examples of different lengths are taken, so that some are padded, and, as in every batch, of
    one number of images.

    Returns
    -------
    Check or None
        None where there are not two examples that can be read, or a batch of them cannot be run.
    """
    media = source.media("test")
    rows = sorted(examples["test"], key=lambda e: (len(e.media), len(e.prompt)))
    steps = range(COMPARED)
    places = dict.fromkeys(round(step * (len(rows) - 1) / (COMPARED - 1)) for step in steps)
    prompts: list[Pieces] = []
    for place in places:
        try:
            prompts.append(pieces_of(rows[place], media, model.placeholders))
        except MediaError:
            continue
    often = Counter(map(images_in, prompts)).most_common(1)
    prompts = [pieces for pieces in prompts if images_in(pieces) == often[0][0]]
    if len(prompts) < 2:
        return None
    try:
        singles = [run_single(model, pieces) for pieces in prompts]
        return check_batches(model, prompts, singles, len(prompts))
    except (ModelError, ValueError, torch.OutOfMemoryError):
        return None  # the run itself skips, halves or fails, and says so
