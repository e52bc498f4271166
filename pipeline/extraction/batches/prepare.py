"""From a job to model inputs: media decoded, prompts encoded. This runs in worker processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.example import SPLIT, split_prompt
from savs.datasets.media.images import thumbnail
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media.videos import Visual, images_of, videos_of
from savs.pipeline.extraction.batches.jobs import Done, Job, Prepared, Refused
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.pieces import Pieces, images_in, in_type, shape_of
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder
from savs.pipeline.extraction.model.shared_images import ImageKey, encode_image, encode_texts
from savs.stores.format.layout import THUMBNAIL_PX


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """How jobs are prepared."""

    rules: MediaRules
    """How media are decoded."""
    dtype: torch.dtype
    """The model's type; other pixels than bytes are given in it, which halves what is moved."""
    raw_pixels: bool
    """Leave pixels of images as bytes, see `PixelScale`; never those of videos."""
    thumbnails: bool
    """Make a small JPEG of each request's first image."""
    shared_images: int = 0
    """Prompts with so many images may share them; 0 for none."""
    sizes_alone: bool = False
    """Make the texts of prompts that share images from the images' sizes, see `knows_sizes`."""
    host_inputs: bool = False
    """Compute what the model would compute from the sizes of images, see `host_inputs`."""


def prepare(encoder: PromptEncoder, job: Job, settings: PrepareSettings) -> Done:
    """Return the inputs of a job; what cannot be decoded or encoded is refused by itself.

    Where prompts differ in their shape, as videos make them, each shape is a batch of its own, see
    `shape_of`.
    """
    refused: list[Refused] = []
    usable: list[tuple[int, Pieces]] = []
    small: dict[int, bytes] = {}
    thumbnails: dict[str, bytes] = {}
    decoded: dict[str, list[Visual]] = {}
    for request in job.requests:
        try:
            for digest in request.media:
                if digest not in decoded:
                    medium = job.media[digest]
                    decoded[digest] = decode_medium(medium.data, medium.name, settings.rules)
            seen = [decoded[digest] for digest in request.media]
        except MediaError as error:
            refused.append(Refused(request.number, str(error)))
            continue
        usable.append((request.number, arrange(request.prompt, seen, encoder.placeholders)))
        if settings.thumbnails and seen:
            first = request.media[0]
            if first not in thumbnails:
                thumbnails[first] = thumbnail(images_of(seen[0])[0], THUMBNAIL_PX)
            small[request.number] = thumbnails[first]
    alike: dict[tuple[int, ...], list[tuple[int, Pieces]]] = {}
    for number, pieces in usable:
        alike.setdefault(shape_of(pieces), []).append((number, pieces))
    keys = {id(seen): (d, n) for d, found in decoded.items() for n, seen in enumerate(found)}
    parts: list[Prepared | Refused] = []
    unshared = ""
    for shape, part in alike.items():
        if job.shared and len(shape) == settings.shared_images and not any(shape):
            try:
                parts.append(_share(encoder, part, settings, keys))
                continue
            except Exception as error:  # the plain way tells what is wrong with which prompt
                unshared = str(error)
        parts += _encode(encoder, part, settings)
    return Done(job.number, [*refused, *parts], small, unshared)


def pieces_of(example: Example, media: MediaFolder, placeholders: str = SPLIT) -> Pieces:
    """Return an example's prompt with its images decoded, in reading order.

    Raises
    ------
    MediaError
        An image or a video is missing or cannot be decoded.
    """
    return arrange(example.prompt, [media.visuals(name) for name in example.media], placeholders)


def arrange(prompt: str, media: Sequence[Sequence[Visual]], placeholders: str = SPLIT) -> Pieces:
    """Return a prompt with what each medium shows in reading order."""
    pieces = split_prompt(prompt, len(media), placeholders)
    return tuple(chain.from_iterable(media[p] if isinstance(p, int) else [p] for p in pieces))


def _encode(
    encoder: PromptEncoder, batch: list[tuple[int, Pieces]], settings: PrepareSettings
) -> list[Prepared | Refused]:
    """Run the processor; where it refuses a batch, halve it until the culprit is alone."""
    numbers = tuple(number for number, _ in batch)
    try:
        has_videos = bool(videos_of(batch[0][1]))
        raw = settings.raw_pixels and not has_videos
        inputs = encoder.encode([pieces for _, pieces in batch], RAW_IMAGES if raw else None)
        ready = _in_type(inputs, settings.dtype)
        return [
            Prepared(
                requests=numbers,
                inputs=ready,
                images=images_in(batch[0][1]),
                has_videos=has_videos,
                host_inputs=host_inputs(encoder, inputs) if settings.host_inputs else {},
            )
        ]
    except Exception as error:  # a processor may raise anything
        if len(batch) == 1:
            sizes = [image.size for image in images_of(batch[0][1])]
            reason = str(error) if isinstance(error, ValueError | IndexError) else repr(error)
            return [
                Refused(numbers[0], f"the processor refuses it (images of {sizes} px): {reason}")
            ]
        half = len(batch) // 2
        return _encode(encoder, batch[:half], settings) + _encode(encoder, batch[half:], settings)


def _share(
    encoder: PromptEncoder,
    batch: list[tuple[int, Pieces]],
    settings: PrepareSettings,
    keys: Mapping[int, ImageKey],
) -> Prepared:
    return share_images(
        encoder,
        [pieces for _, pieces in batch],
        keys,
        numbers=[number for number, _ in batch],
        dtype=settings.dtype,
        raw=settings.raw_pixels,
        sizes_alone=settings.sizes_alone,
    )


def share_images(
    encoder: PromptEncoder,
    prompts: Sequence[Pieces],
    keys: Mapping[int, ImageKey],
    *,
    numbers: Sequence[int],
    dtype: torch.dtype,
    raw: bool,
    sizes_alone: bool,
) -> Prepared:
    """Return prompts with as many images each, every image prepared once.

    Parameters
    ----------
    encoder
        With the processor; it may raise anything.
    prompts
        Text and images in reading order.
    keys
        Identity of each image -> what it is known by.
    numbers
        Numbers of the requests.
    dtype, raw, sizes_alone
        As in `PrepareSettings`.
    """
    shown = list(map(images_of, prompts))
    images = {keys[id(image)]: image for image in chain.from_iterable(shown)}
    return Prepared(
        requests=tuple(numbers),
        inputs=_in_type(encode_texts(encoder, prompts, sizes_alone=sizes_alone), dtype),
        images=len(shown[0]),
        shown=tuple(tuple(keys[id(image)] for image in own) for own in shown),
        vision={
            key: _in_type(encode_image(encoder, image, raw=raw), dtype)
            for key, image in images.items()
        },
    )


def _in_type(inputs: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    return {name: in_type(name, value, dtype) for name, value in inputs.items()}
