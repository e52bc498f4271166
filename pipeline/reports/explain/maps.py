"""Maps of attention: where heads look at the end of a prompt, and the words that they write."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageStat

from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.chosen_heads import keep_heads
from savs.pipeline.extraction.model.attention_rows import keep_last_rows, written_tokens
from savs.pipeline.extraction.model.hook_points import IMAGE_TOKENS
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.prompts.input_names import GRID
from savs.pipeline.prompts.media.catalogue import images_in, map_images
from savs.pipeline.prompts.media.inputs import Pieces
from savs.stores import Head, head_name
from savs.stores.format.layout import to_float32

CUTS = ("do_center_crop", "crop_to_patches", "do_pan_and_scan", "do_image_splitting")
"""Settings of image processors that show a model parts of an image."""
QUERIES = (
    *("num_query_tokens", "latent_query_num", "perceiver_config"),
    "projector_patch_to_query_dict",
)
"""Settings of models whose image tokens are learned queries: BLIP-2, Kosmos-2, Idefics2, Aria."""
FAR = 0.02
"""Greatest relative distance of a head's output from weights times values."""
BROKEN = "\ufffd"
"""What a tokenizer writes for bytes that are no character."""
LONGEST = 4
"""Bytes, so tokens, of a character in UTF-8."""
PART = "(part of a character)"
WORDS = 10
"""Tokens that `head_words` returns."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where the chosen heads look in one prompt."""

    heads: tuple[Head, ...]
    features: tuple[Array, ...]
    """Each head's feature in this pass."""
    on_images: tuple[Array, ...]
    """For each image `(heads, rows, columns)` float32: the attention on its patches."""
    tokens: tuple[str, ...]
    """The prompt's other tokens, in reading order."""
    on_tokens: Array
    """`(heads, tokens)` float32: the attention on them."""


def look(model: LoadedModel, prompt: Pieces, heads: Sequence[Head]) -> Look:
    """Run one prompt and return where heads look at its end.

    ModelError if the attention cannot be read: the model computes it in another way, gates what
    follows, or puts the patches of an image in an order that is no grid, or has no token of a
    patch.
    """
    _require_patches(model)
    points = [p for p in model.hook_points if p.grid.layer in {layer for layer, _ in heads}]
    with keep_last_rows(model.model, points) as rows:
        inputs = model.inputs([prompt])
        features = [values[0] for values in heads_at_last_token(model, inputs, heads)]
    places = {(p.grid.layer, head): i for p in points for i, head in enumerate(p.grid.heads)}
    maps = []
    for head, feature in zip(heads, features, strict=True):
        if head[0] not in rows:
            raise ModelError(f"{model.name}: the attention of layer {head[0]} cannot be read")
        row = rows[head[0]]
        output = row.output[places[head]]
        apart = np.linalg.norm(output - feature) / max(float(np.linalg.norm(feature)), 1e-12)
        if apart > FAR:
            raise ModelError(
                f"{model.name}: {head_name(head)} is not its attention times its values (relative"
                f" distance {apart:.2g}), so a map would not show what the head reads"
            )
        maps.append(row.weights[places[head]])
    weights = np.stack(maps)
    ids = inputs["input_ids"][0].tolist()
    grids, at = _patches(model, inputs, ids, images_in(prompt))
    others = [place for place in range(len(ids)) if place not in set(np.concatenate(at).tolist())]
    return Look(
        heads=tuple(heads),
        features=tuple(features),
        on_images=tuple(
            weights[:, places_here].reshape(-1, *grid)
            for places_here, grid in zip(at, grids, strict=True)
        ),
        tokens=token_texts(model.encoder.tokenizer, [ids[place] for place in others]),
        on_tokens=weights[:, others],
    )


def heads_at_last_token(model: LoadedModel, inputs: Any, heads: Sequence[Head]) -> list[Array]:
    """Return `(prompts, head_dim)` float32 features of each head at the last token of a batch."""
    cut = replace(model, hook_points=keep_heads(model.hook_points, heads))
    layers = zip(cut.grid, cut.read(inputs).heads, strict=True)
    features = {
        (grid.layer, head): to_float32(values[place], model.dtype)
        for grid, values in layers
        for place, head in enumerate(grid.heads)
    }
    return [features[head] for head in heads]


def mask_patches(prompt: Pieces, hidden: Sequence[Array]) -> Pieces:
    """Return a prompt whose images have some patches in the image's mean colour.

    `hidden` has `(rows, columns)` flags of the patches to hide for each image.
    """
    masks = iter(hidden)
    return map_images(prompt, lambda image: _hide(image, next(masks)))


def _hide(image: Image.Image, hidden: Array) -> Image.Image:
    changed = image.copy()
    colour = tuple(round(value) for value in ImageStat.Stat(image).mean)
    rows, columns = hidden.shape
    for row, column in np.argwhere(hidden):
        box = (
            round(column * image.width / columns),
            round(row * image.height / rows),
            round((column + 1) * image.width / columns),
            round((row + 1) * image.height / rows),
        )
        changed.paste(colour, box)
    return changed


def _require_patches(model: LoadedModel) -> None:
    if not model.encoder.has_heads:
        raise ModelError(
            f"{model.name}: {model.encoder.kind_name} has no attention from a prompt to an image,"
            " so there are no maps to draw; leave out `attention_maps`"
        )
    if any(getattr(model.encoder.config, name, None) is not None for name in QUERIES):
        raise ModelError(
            f"{model.name}: its image tokens are learned queries, each of which reads the whole"
            " image, and no image patches, so there are no maps to draw; leave out `attention_maps`"
        )


def _patches(
    model: LoadedModel, inputs: Any, ids: Sequence[int], images: int
) -> tuple[list[tuple[int, int]], list[Array]]:
    """Return the grid of each image's patches, and the positions of its tokens in reading order."""
    config = model.encoder.config
    token = next((getattr(config, n) for n in IMAGE_TOKENS if hasattr(config, n)), None)
    at = np.flatnonzero(np.array(ids) == token)
    grids = _grids(model, inputs, len(at), images)
    sizes = [rows * columns for rows, columns in grids]
    if not images or len(grids) != images or sum(sizes) != len(at):
        raise ModelError(
            f"{model.name}: its {len(at)} image tokens are not known to be one grid of patches for"
            f" each of {images} images, so maps cannot be drawn"
        )
    return grids, np.split(at, np.cumsum(sizes)[:-1])


def _grids(model: LoadedModel, inputs: Any, tokens: int, images: int) -> list[tuple[int, int]]:
    """Return rows and columns of each image; none where the processor cuts images up."""
    if GRID in inputs:
        merge = getattr(model.model.config.vision_config, "spatial_merge_size", 1)
        return [
            (int(frames) * int(rows) // merge, int(columns) // merge)
            for frames, rows, columns in inputs[GRID].tolist()
        ]
    side = round((tokens / max(images, 1)) ** 0.5)
    return [(side, side)] * images if side > 1 and _makes_squares(model.encoder.images) else []


def _makes_squares(processor: Any) -> bool:
    """Return whether an image processor scales every whole image to one square."""
    size = dict(getattr(processor, "size", None) or {})
    is_square = size.get("height") is not None and size["height"] == size.get("width")
    return is_square and not any(getattr(processor, name, None) for name in CUTS)


def token_texts(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """Return the text of each token; of one that is a part of a character, the character.

    `PART` stands for a token whose character is not known from its neighbours.
    """
    texts = [str(tokenizer.decode([token])) for token in ids]
    for place, text in enumerate(texts):
        if BROKEN not in text:
            continue
        texts[place] = PART
        # The shortest run of tokens around it that is whole characters, an earlier one first.
        runs = [
            (stop - start, start, stop)
            for start in range(max(0, place - LONGEST + 1), place + 1)
            for stop in range(place + 1, min(len(ids), start + LONGEST) + 1)
        ]
        for _, start, stop in sorted(runs):
            joined = str(tokenizer.decode(list(ids[start:stop])))
            if BROKEN not in joined:
                texts[place] = joined
                break
    return tuple(texts)


def head_words(model: LoadedModel, head: Head, feature: Array) -> tuple[str, ...]:
    """Return the texts of the `WORDS` tokens that a head writes, see `written_tokens`."""
    tokens = written_tokens(model, head, feature, WORDS)
    return tuple(token_texts(model.encoder.tokenizer, [token])[0] for token in tokens)
