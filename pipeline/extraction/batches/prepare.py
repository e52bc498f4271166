"""From a job to model inputs: media decoded, prompts encoded. This runs in worker processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from PIL import Image

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.media.images import thumbnail
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.prompt import SPLIT, split_prompt
from savs.pipeline.extraction.batches.jobs import Done, Job, Prepared, Refused
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.prompts import Pieces
from savs.stores.format.layout import THUMBNAIL_PX


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """How jobs are prepared."""

    rules: MediaRules
    """How media are decoded."""
    dtype: torch.dtype
    """The model's type; other pixels than bytes are given in it, which halves what is moved."""
    raw_pixels: bool
    """Leave pixels as bytes, see `PixelScale`."""
    thumbnails: bool
    """Make a small JPEG of each request's first image."""


def prepare(encoder: PromptEncoder, job: Job, settings: PrepareSettings) -> Done:
    """Return the inputs of a job; what cannot be decoded or encoded is refused by itself.

    Where prompts differ in their number of images, as videos make them, each number is a batch
    of its own: some models are wrong where it differs within a batch.
    """
    refused: list[Refused] = []
    usable: list[tuple[int, Pieces]] = []
    small: dict[int, bytes] = {}
    images: dict[str, list[Image.Image]] = {}
    for request in job.requests:
        try:
            for digest in request.media:
                if digest not in images:
                    medium = job.media[digest]
                    images[digest] = decode_medium(medium.data, medium.name, settings.rules)
            seen = [images[digest] for digest in request.media]
        except MediaError as error:
            refused.append(Refused(request.number, str(error)))
            continue
        usable.append((request.number, arrange(request.prompt, seen, encoder.placeholders)))
        if settings.thumbnails and seen:
            small[request.number] = thumbnail(seen[0][0], THUMBNAIL_PX)
    alike: dict[int, list[tuple[int, Pieces]]] = {}
    for number, pieces in usable:
        alike.setdefault(images_in(pieces), []).append((number, pieces))
    parts = [_encode(encoder, part, settings) for part in alike.values()]
    return Done(job.number, [*refused, *chain.from_iterable(parts)], small)


def pieces_of(example: Example, media: MediaFolder, placeholders: str = SPLIT) -> Pieces:
    """Return an example's prompt with its images decoded, in reading order.

    Raises
    ------
    MediaError
        An image or a video is missing or cannot be decoded.
    """
    return arrange(example.prompt, [media.images(name) for name in example.media], placeholders)


def arrange(
    prompt: str, media: Sequence[Sequence[Image.Image]], placeholders: str = SPLIT
) -> Pieces:
    """Return a prompt with its images in reading order; a video stands as its frames."""
    pieces = split_prompt(prompt, len(media), placeholders)
    return tuple(chain.from_iterable(media[p] if isinstance(p, int) else [p] for p in pieces))


def images_in(pieces: Pieces) -> int:
    """Return how many images a prompt has."""
    return sum(isinstance(piece, Image.Image) for piece in pieces)


def _encode(
    encoder: PromptEncoder, batch: list[tuple[int, Pieces]], settings: PrepareSettings
) -> list[Prepared | Refused]:
    """Run the processor; where it refuses a batch, halve it until the culprit is alone."""
    numbers = tuple(number for number, _ in batch)
    try:
        inputs = encoder.encode([pieces for _, pieces in batch], raw=settings.raw_pixels)
        ready = {name: _in_type(value, settings.dtype) for name, value in inputs.items()}
        return [Prepared(numbers, ready, images_in(batch[0][1]))]
    except Exception as error:  # a processor may raise anything
        if len(batch) == 1:
            sizes = [piece.size for piece in batch[0][1] if isinstance(piece, Image.Image)]
            reason = str(error) if isinstance(error, ValueError | IndexError) else repr(error)
            return [
                Refused(numbers[0], f"the processor refuses it (images of {sizes} px): {reason}")
            ]
        half = len(batch) // 2
        return _encode(encoder, batch[:half], settings) + _encode(encoder, batch[half:], settings)


def _in_type(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value
