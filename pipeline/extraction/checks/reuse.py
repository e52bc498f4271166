"""Whether prompts about the same images may share what is computed of them, tried on a few."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.media.media import sha256
from savs.datasets.rows.packed_media import is_packed
from savs.pipeline.extraction.batches.prepare import images_in, share_images
from savs.pipeline.extraction.checks.batch_equality import (
    TOLERANCES,
    Single,
    compare,
    distance,
    inverted,
    run_single,
    stacked,
)
from savs.pipeline.extraction.model.extra_outputs import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompts import Pieces
from savs.pipeline.extraction.model.shared_inputs import ImageKey, knows_sizes
from savs.pipeline.extraction.shared_forward import SharedForward

PREFIXES, IMAGES = "prefixes", "images"
LEVELS = (PREFIXES, IMAGES)
"""What can be shared, the most first: all up to the last image, or the images alone."""
OFF = "off"
LOOKED_AT = 64
"""Rows of a table whose images are compared."""
LONGER = " Say it in one word."
"""Makes a prompt longer, so that the lengths of those compared differ."""


WORDS = {
    PREFIXES: "each image, and what prompts about it begin with, is computed once",
    IMAGES: "each image is computed once",
    OFF: "each image is computed for every prompt about it",
}


@dataclass(frozen=True, slots=True)
class Sharing:
    """What prompts about the same images have in common in a run."""

    level: str
    """One of `LEVELS`, or `off`."""
    seen: str
    """What the comparison saw."""
    images: int = 0
    """Images of each prompt that was compared: some processors treat several as they do not one."""


def images_recur(asked: Mapping[str, int], examples: Sequence[Example], media: MediaFolder) -> bool:
    """Return whether several prompts show one image, by its name or, in tables, its content.

    Parameters
    ----------
    asked
        Name of each medium -> how many prompts show it.
    examples
        Rows of which the first are looked at: in tables each row has its images inside.
    media
        Where their media are read.
    """
    if any(count > 1 for count in asked.values()):
        return True
    packed = [e.media[0] for e in examples if e.media and is_packed(e.media[0])][:LOOKED_AT]
    found: list[str] = []
    for name in packed:
        with suppress(MediaError):  # the run itself skips it, and says so
            found.append(sha256(media.read(name)))
    return len(set(found)) < len(found)


def find_sharing(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    scale: PixelScale | None = None,
    answers: Answers = NO_ANSWERS,
) -> Sharing:
    """Return the most that can be shared without changing features beyond rounding.

    Parameters
    ----------
    model
        The loaded model.
    prompts
        Some of the user's prompts.
    scale
        What was found for their pixels.
    answers
        Labels whose logits are compared, too.
    """
    asked = _questions(prompts)
    if not asked or model.encoder.code.to_inputs is not None:
        return Sharing(OFF, "no prompt with an image was tried")
    sizes_alone = knows_sizes(model.encoder, asked)
    reason = ""
    for level in LEVELS:
        try:
            singles = [run_single(model, pieces, answers) for pieces in asked]
            found = _try(model, asked, singles, scale, answers, level, sizes_alone=sizes_alone)
        except Exception as error:  # whatever it is, the plain way has not failed by it
            found = Sharing(OFF, f"{type(error).__name__}: {error}")
        if found.level == level:
            return found
        reason = found.seen
    return Sharing(OFF, reason)


def _questions(prompts: Sequence[Pieces]) -> list[Pieces]:
    """Return prompts to compare: three about the images of one, two about others as large."""
    given = [pieces for pieces in prompts if images_in(pieces)]
    if not given:
        return []
    first, last = given[0], given[-1]
    own = [piece for piece in first if isinstance(piece, Image.Image)]
    texts = [first, (*first, LONGER), *([last] if images_in(last) == len(own) else [])]
    turned = [piece for piece in inverted(first) if isinstance(piece, Image.Image)]
    about = [_with_images(pieces, own) for pieces in texts]
    return about + [_with_images(pieces, turned) for pieces in texts[:2]]


def _with_images(pieces: Pieces, images: Sequence[Image.Image]) -> Pieces:
    shown = iter(images)
    return tuple(next(shown) if isinstance(piece, Image.Image) else piece for piece in pieces)


def _try(
    model: LoadedModel,
    asked: Sequence[Pieces],
    singles: Sequence[Single],
    scale: PixelScale | None,
    answers: Answers,
    level: str,
    *,
    sizes_alone: bool,
) -> Sharing:
    """Compare prompts that share with those that run by themselves, all at once and once more."""
    keys = _keys(asked)
    shared = SharedForward(model, scale, prefixes=level == PREFIXES)
    alone = np.stack([single.heads for single in singles])
    doubled = np.stack([single.doubled for single in singles])
    other = np.empty_like(alone)
    what = ""
    for part in (range(len(asked)), [len(asked) - 1]):  # the last goes on with what was kept
        batch = share_images(
            model.encoder,
            [asked[i] for i in part],
            keys,
            numbers=part,
            dtype=model.model.dtype,
            raw=scale is not None,
            sizes_alone=sizes_alone,
        )
        for piece in shared.pieces(batch):
            read = shared.launch(piece, answers).result()
            other[list(piece.requests)] = stacked(model, read).swapaxes(0, 1)
            for row, request in enumerate(piece.requests):
                apart = distance(singles[request].answers[None], read.answers[row][None])
                if apart > TOLERANCES[model.dtype]:
                    return Sharing(OFF, f"answers move by {apart:.1e}")
        equal, what = compare(alone, doubled, other, model.dtype)
        if not equal:
            return Sharing(OFF, what)
    if distance(alone[0], alone[-2]) > 0 and distance(other[0], other[-2]) == 0:
        return Sharing(OFF, "another image under the same text gives the same heads")
    return Sharing(level, what, images_in(asked[0]))


def _keys(asked: Sequence[Pieces]) -> dict[int, ImageKey]:
    """Return what each image is known by, by its identity; equal images may be one object."""
    images = [piece for pieces in asked for piece in pieces if isinstance(piece, Image.Image)]
    return {id(image): (f"image {number}", 0) for number, image in enumerate(images)}
