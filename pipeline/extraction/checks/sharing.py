"""Whether prompts about the same images may share what is computed of them, tried on a few."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from savs.datasets.media.videos import images_of
from savs.datasets.rows.media_names import is_packed
from savs.pipeline.extraction.batches.prepare import share_images
from savs.pipeline.extraction.checks.batch_equality import (
    TOLERANCES,
    Trial,
    answers_of,
    distance,
    inverted,
    stacked,
)
from savs.pipeline.extraction.checks.ways import UntriedError, Verdict, Way
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.shared_images import ImageKey, knows_sizes
from savs.pipeline.extraction.shared_forward import SharedForward
from savs.pipeline.prompts.pieces import Pieces, images_in, is_plain, map_images

PREFIXES, IMAGES = "prefixes", "images"
LEVELS = (PREFIXES, IMAGES)
"""What can be shared, the most first: all up to the last image, or the images alone."""
OFF = "off"
UNNEEDED = "unneeded"
"""Each image has one prompt, so that nothing was decided."""
LONGER = " Say it in one word."
"""Makes a prompt longer, so that the lengths of those compared differ."""
WORDS = {
    PREFIXES: "each image, and what prompts about it begin with, is computed once",
    IMAGES: "each image is computed once",
    OFF: "each image is computed for every prompt about it",
}


@dataclass(frozen=True, slots=True)
class Questions:
    """Prompts about the same images, made of the user's: sharing is tried on them."""

    prompts: Sequence[Pieces] = ()
    images: int = 0
    """Images of each: some processors treat several as they do not one."""
    sizes_alone: bool = False
    """Whether the processor needs no pixels to make text, see `knows_sizes`."""
    refusal: str = ""
    """Why there are none."""


def images_recur(prompt_counts: Mapping[str, int]) -> bool:
    """Return whether several prompts may show one image.

    `prompt_counts` is the name of each medium -> how many prompts show it. In tables each row has
    its images inside, so that names do not tell.
    """
    return any(count > 1 or is_packed(name) for name, count in prompt_counts.items())


def questions_about(encoder: PromptEncoder, prompts: Sequence[Pieces]) -> Questions:
    """Return questions about the images of some prompts.

    They are three about the images of one prompt, two of the same text about other images of the
    same size, and one about those of another prompt, which may have another size.
    """
    if encoder.code.to_inputs is not None:
        return Questions(refusal="your code makes the model's inputs")
    if encoder.embedding is not None:
        return Questions(refusal="an embedding is read of whole prompts")
    usable = [pieces for pieces in prompts if images_in(pieces) and is_plain(pieces)]
    if not usable and not all(map(is_plain, prompts)):
        return Questions(refusal="a video or a sound is computed for every prompt about it")
    if not usable:
        return Questions(refusal="no prompt with an image was tried")
    first = usable[0]
    last = [pieces for pieces in usable if images_in(pieces) == images_in(first)][-1]
    turned = images_of(inverted(first))
    texts = [first, (*first, LONGER), last]
    about = [_with_images(pieces, images_of(first)) for pieces in texts]
    about += [_with_images(pieces, turned) for pieces in texts[:2]]
    about += [] if last is first else [last]
    return Questions(about, images_in(first), knows_sizes(encoder, about))


def _with_images(pieces: Pieces, images: Sequence[Image.Image]) -> Pieces:
    replacements = iter(images)
    return map_images(pieces, lambda _: next(replacements))


def sharing_ways(
    model: LoadedModel,
    questions: Questions,
    scale: PixelScale | None = None,
    answers: Answers = NO_ANSWERS,
    levels: Sequence[str] = LEVELS,
    *,
    host_inputs: bool = False,
) -> Iterator[Way]:
    """Yield the ways to share what is computed of images, at the `levels`, in turn.

    They run with what was found for pixels (`scale`) and `host_inputs`, and with likelihoods of the
    first labels of `answers`.
    """
    if questions.refusal:
        raise UntriedError(questions.refusal)
    trial = Trial(model, questions.prompts, answers)
    trial.run_alone()
    for level in levels:
        shared = SharedForward(model, scale, prefixes=level == PREFIXES, host_inputs=host_inputs)
        attempt = partial(_share, shared, trial, sizes_alone=questions.sizes_alone)
        yield Way(level, attempt, refusal=f"{level} are not shared")


def _share(shared: SharedForward, trial: Trial, *, sizes_alone: bool) -> Verdict:
    """Compare prompts that share with those that run by themselves, all at once and once more."""
    model, questions, singles = trial.model, trial.prompts, trial.singles
    shared.least_saved = 0
    other = np.stack([single.heads for single in singles])  # each is replaced below
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
            read = shared.launch(piece, trial.answers.tried(len(piece.requests))).result()
            values = answers_of(read)
            other[list(piece.requests)] = stacked(model, read).swapaxes(0, 1)
            for row, request in enumerate(piece.requests):
                apart = distance(singles[request].answers[None], values[row][None])
                if apart > TOLERANCES[model.dtype]:
                    return Verdict(False, f"answers move by {apart:.1e}")
        verdict = trial.compare(other)
        if not verdict.same:
            return verdict
    if distance(singles[0].heads, singles[3].heads) > 0 and distance(other[0], other[3]) == 0:
        return Verdict(False, "another image under the same text gives the same heads")
    return verdict


def _keys(questions: Sequence[Pieces]) -> dict[int, ImageKey]:
    """Return what each image is known by, by its identity; equal images may be one object."""
    images = [image for pieces in questions for image in images_of(pieces)]
    return {id(image): (f"image {number}", 0) for number, image in enumerate(images)}
