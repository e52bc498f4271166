"""Whether prompts about the same images may share what is computed of them, tried on a few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from savs.datasets.media.videos import images_of
from savs.datasets.rows.media_names import is_packed
from savs.pipeline.extraction.batches.prepare import share_images
from savs.pipeline.extraction.checks.batch_equality import (
    TOLERANCES,
    Single,
    answers_of,
    compare_with_singles,
    distance,
    error_line,
    inverted,
    run_single,
    stacked,
)
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pieces import Pieces, images_in, is_plain, map_images
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.shared_images import ImageKey, knows_sizes
from savs.pipeline.extraction.shared_forward import SharedForward

PREFIXES, IMAGES = "prefixes", "images"
LEVELS = (PREFIXES, IMAGES)
"""What can be shared, the most first: all up to the last image, or the images alone."""
OFF = "off"
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
    images: int = 0
    """Images of each prompt that was compared: some processors treat several as they do not one."""
    sizes_alone: bool = False
    """Whether the processor needs no pixels to make text, see `knows_sizes`."""


UNTRIED = Sharing(OFF, "each image has one prompt")


def images_recur(prompt_counts: Mapping[str, int]) -> bool:
    """Return whether several prompts may show one image.

    `prompt_counts` is the name of each medium -> how many prompts show it. In tables each row has
    its images inside, so that names do not tell.
    """
    return any(count > 1 or is_packed(name) for name, count in prompt_counts.items())


def find_sharing(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    scale: PixelScale | None = None,
    answers: Answers = NO_ANSWERS,
    levels: Sequence[str] = LEVELS,
    *,
    host_inputs: bool = False,
) -> Sharing:
    """Return the most that can be shared without changing features beyond rounding.

    The `levels` are tried in turn, with what was found for pixels (`scale`) and `host_inputs`, and
    likelihoods of the first labels of `answers`.
    """
    if model.encoder.code.to_inputs is not None:
        return Sharing(OFF, "your code makes the model's inputs")
    if model.encoder.embedding is not None:
        return Sharing(OFF, "an embedding is read of whole prompts")
    questions = _questions(prompts)
    if not questions and not all(map(is_plain, prompts)):
        return Sharing(OFF, "a video or a sound is computed for every prompt about it")
    if not questions:
        return Sharing(OFF, "no prompt with an image was tried")
    sizes_alone = knows_sizes(model.encoder, questions)
    refused: list[str] = []
    try:
        singles = [run_single(model, pieces, answers) for pieces in questions]
        for level in levels:
            shared = SharedForward(
                model, scale, prefixes=level == PREFIXES, host_inputs=host_inputs
            )
            equal, what = _try(shared, questions, singles, answers, sizes_alone=sizes_alone)
            if equal:
                seen = "; ".join([what, *refused])
                return Sharing(level, seen, images_in(questions[0]), sizes_alone)
            refused.append(f"{level} are not shared: {what}")
    except Exception as error:  # of the examples themselves: the run skips them, and says so
        refused.append(error_line(error))
    return Sharing(OFF, "; ".join(refused))


def _questions(prompts: Sequence[Pieces]) -> list[Pieces]:
    """Return prompts to compare.

    They are three about the images of one prompt, two of the same text about other images of the
    same size, and one about those of another prompt, which may have another size.
    """
    usable = [pieces for pieces in prompts if images_in(pieces) and is_plain(pieces)]
    if not usable:
        return []
    first = usable[0]
    last = [pieces for pieces in usable if images_in(pieces) == images_in(first)][-1]
    turned = images_of(inverted(first))
    texts = [first, (*first, LONGER), last]
    about = [_with_images(pieces, images_of(first)) for pieces in texts]
    about += [_with_images(pieces, turned) for pieces in texts[:2]]
    return about if last is first else [*about, last]


def _with_images(pieces: Pieces, images: Sequence[Image.Image]) -> Pieces:
    replacements = iter(images)
    return map_images(pieces, lambda _: next(replacements))


def _try(
    shared: SharedForward,
    questions: Sequence[Pieces],
    singles: Sequence[Single],
    answers: Answers,
    *,
    sizes_alone: bool,
) -> tuple[bool, str]:
    """Compare prompts that share with those that run by themselves, all at once and once more."""
    model = shared.model
    shared.least_saved = 0
    other = np.stack([single.heads for single in singles])  # each is replaced below
    what = ""
    try:
        last = len(questions) - 1  # it continues from the prefix that was kept
        for part in (range(last + 1), [last]):
            batch = share_images(
                model.encoder,
                [questions[i] for i in part],
                _keys(questions),
                numbers=part,
                dtype=model.model.dtype,
                raw=shared.features.scale is not None,
                sizes_alone=sizes_alone,
            )
            for piece in shared.pieces(batch):
                read = shared.launch(piece, answers.tried(len(piece.requests))).result()
                values = answers_of(read)
                other[list(piece.requests)] = stacked(model, read).swapaxes(0, 1)
                for row, request in enumerate(piece.requests):
                    apart = distance(singles[request].answers[None], values[row][None])
                    if apart > TOLERANCES[model.dtype]:
                        return False, f"answers move by {apart:.1e}"
            equal, what = compare_with_singles(singles, other, model.dtype)
            if not equal:
                return False, what
    except Exception as error:  # whatever it is, the plain way has not failed by it
        return False, error_line(error)
    if distance(singles[0].heads, singles[3].heads) > 0 and distance(other[0], other[3]) == 0:
        return False, "another image under the same text gives the same heads"
    return True, what


def _keys(questions: Sequence[Pieces]) -> dict[int, ImageKey]:
    """Return what each image is known by, by its identity; equal images may be one object."""
    images = [image for pieces in questions for image in images_of(pieces)]
    return {id(image): (f"image {number}", 0) for number, image in enumerate(images)}
