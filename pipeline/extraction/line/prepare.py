"""From a job to model inputs: media decoded, prompts encoded. This runs in worker processes."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from PIL import Image

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.example import SPLIT, split_prompt
from savs.datasets.media_kinds.catalogue import Decoded, images_of, pictures_in
from savs.datasets.media_kinds.decoders.images import thumbnail
from savs.datasets.media_kinds.decoders.videos import all_sounds_of
from savs.datasets.media_kinds.images import IMAGES
from savs.pipeline.extraction.line.jobs import Done, ImageKey, Job, Prepared, Refused
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder
from savs.pipeline.prompts.input_names import GRID, TEXT, in_type
from savs.pipeline.prompts.media.catalogue import INPUTS, images_in, is_plain, shape_of
from savs.pipeline.prompts.media.inputs import Pieces
from savs.stores.format.layout import THUMBNAIL_PX

SIZES_ALONE = {"device": "meta"}
"""Options of an image processor that make it compute the shapes of pixels, and no pixels."""
PLAIN = "What is this?"
"""Text next to an image by itself: processors and templates are made for both."""


def prepare(encoder: PromptEncoder, job: Job, settings: PassSettings) -> Done:
    """Return the inputs of a job; what cannot be decoded or encoded is refused by itself.

    Where prompts differ in their shape, as videos make them, each shape is a batch of its own, see
    `shape_of`.
    """
    refused: list[Refused] = []
    usable: list[tuple[int, Pieces]] = []
    small: dict[int, bytes] = {}
    thumbnails: dict[tuple[str, str], bytes] = {}
    decoded: dict[tuple[str, str], Sequence[Decoded]] = {}
    reasons: dict[tuple[str, str], str] = {}
    wanted = {key for r in job.requests for key in zip(r.media, r.columns, strict=True)}
    for digest, column in sorted(wanted):  # so boxes of an image, decoded once, are adjacent
        rules = encoder.decoding(settings.rules, column)
        try:
            decoded[digest, column] = job.media[digest].decode(rules, column)
        except MediaError as error:
            reasons[digest, column] = str(error)
    for request in job.requests:
        media = list(zip(request.media, request.columns, strict=True))
        if wrong := [reasons[key] for key in media if key in reasons]:
            refused.append(Refused(request.number, wrong[0]))
            continue
        seen = [decoded[key] for key in media]
        usable.append((request.number, arrange(request.prompt, seen, encoder.options.placeholders)))
        if settings.run.thumbnails and seen:
            first = media[0]
            if first not in thumbnails:
                thumbnails[first] = thumbnail(pictures_in(seen[0])[0], THUMBNAIL_PX)
            small[request.number] = thumbnails[first]
    alike: dict[tuple[int, ...], list[tuple[int, Pieces]]] = {}
    for number, pieces in usable:
        alike.setdefault(shape_of(pieces), []).append((number, pieces))
    keys = {id(seen): (d, n) for (d, _), items in decoded.items() for n, seen in enumerate(items)}
    parts: list[Prepared | Refused] = []
    unshared = ""
    for shape, part in alike.items():
        if job.shared and len(shape) == settings.shared_images and not any(shape):
            try:
                numbers = [number for number, _ in part]
                prompts = [pieces for _, pieces in part]
                parts.append(share_images(encoder, prompts, keys, numbers, settings))
                continue
            except Exception as error:  # the plain way tells what is wrong with which prompt
                unshared = str(error)
        parts += _encode(encoder, part, settings)
    cut = {d for (d, _), shown in decoded.items() if any(s.is_cut for s in all_sounds_of(shown))}
    return Done([*refused, *parts], small, unshared, frozenset(cut))


def pieces_of(example: Example, media: MediaFolder, encoder: PromptEncoder | None = None) -> Pieces:
    """Return a prompt in reading order with its media decoded; MediaError if one cannot be."""
    decoded = [
        media.decode(name, column, encoder.decoding(media.rules, column) if encoder else None)
        for name, column in zip(example.media, example.columns, strict=True)
    ]
    return arrange(
        example.prompt, decoded, SPLIT if encoder is None else encoder.options.placeholders
    )


def arrange(prompt: str, media: Sequence[Sequence[Decoded]], placeholders: str) -> Pieces:
    """Return a prompt with what each medium shows in reading order."""
    pieces = split_prompt(prompt, len(media), placeholders)
    return tuple(chain.from_iterable(media[p] if isinstance(p, int) else [p] for p in pieces))


def _encode(
    encoder: PromptEncoder, batch: list[tuple[int, Pieces]], settings: PassSettings
) -> list[Prepared | Refused]:
    """Run the processor; where it refuses a batch, halve it until the culprit is alone."""
    numbers = tuple(number for number, _ in batch)
    try:
        plain = is_plain(batch[0][1])
        raw = settings.raw_pixels and plain
        inputs = encoder.encode([pieces for _, pieces in batch], RAW_IMAGES if raw else None)
        ready = _in_type(inputs, settings.dtype)
        return [
            Prepared(
                requests=numbers,
                inputs=ready,
                images=images_in(batch[0][1]),
                is_plain=plain,
                host_inputs=host_inputs(encoder, inputs) if settings.host_inputs else {},
            )
        ]
    except Exception as error:  # a processor may raise anything
        if len(batch) == 1:
            reason = str(error) if isinstance(error, ValueError | IndexError) else repr(error)
            media = {kind: inputs.among(batch[0][1]) for kind, inputs in INPUTS.items()}
            said = [INPUTS[kind].said(of_kind) for kind, of_kind in media.items() if of_kind]
            what = " and ".join(filter(None, said)) or INPUTS[IMAGES].said([])
            return [Refused(numbers[0], f"the processor refuses it ({what}): {reason}")]
        half = len(batch) // 2
        return _encode(encoder, batch[:half], settings) + _encode(encoder, batch[half:], settings)


def share_images(
    encoder: PromptEncoder,
    prompts: Sequence[Pieces],
    keys: Mapping[int, ImageKey],
    numbers: Sequence[int],
    settings: PassSettings,
) -> Prepared:
    """Return prompts with as many images each, every image prepared once.

    `keys` is the identity of each image -> what it is known by, `numbers` those of the requests.
    The processor may raise anything.
    """
    per_prompt = list(map(images_of, prompts))
    images = {keys[id(image)]: image for image in chain.from_iterable(per_prompt)}
    return Prepared(
        requests=tuple(numbers),
        inputs=_in_type(
            encode_texts(encoder, prompts, sizes_alone=settings.sizes_alone), settings.dtype
        ),
        images=len(per_prompt[0]),
        image_keys=tuple(tuple(keys[id(image)] for image in of_prompt) for of_prompt in per_prompt),
        vision={
            key: _in_type(encode_image(encoder, image, raw=settings.raw_pixels), settings.dtype)
            for key, image in images.items()
        },
    )


def encode_texts(
    encoder: PromptEncoder, prompts: Sequence[Pieces], *, sizes_alone: bool
) -> dict[str, Any]:
    """Return the inputs of a batch without those of the vision tower; see `knows_sizes`."""
    inputs = encoder.encode(prompts, SIZES_ALONE if sizes_alone else None)
    return {name: inputs[name] for name in (*TEXT, GRID) if name in inputs}


def encode_image(encoder: PromptEncoder, image: Image.Image, *, raw: bool) -> dict[str, Any]:
    """Return what the vision tower takes for one image; `raw` as in `PromptEncoder.encode`."""
    inputs = encoder.encode([(image, PLAIN)], RAW_IMAGES if raw else None)
    return {name: value for name, value in inputs.items() if name not in TEXT}


def _in_type(inputs: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    return {name: in_type(name, value, dtype) for name, value in inputs.items()}
