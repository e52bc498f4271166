"""The table of inputs of all kinds of media, and prompts that have several of them."""

from collections.abc import Callable
from itertools import chain

from PIL import Image

from savs.datasets.media_kinds.catalogue import Decoded, images_of, kind_of, other_than_images
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.pipeline.prompts.media.images import ImageInputs
from savs.pipeline.prompts.media.inputs import KindInputs, Pieces
from savs.pipeline.prompts.media.sounds import SOUND_INPUTS
from savs.pipeline.prompts.media.videos import VideoInputs

INPUTS: dict[MediumKind, KindInputs] = {
    inputs.kind: inputs for inputs in (ImageInputs(), SOUND_INPUTS, VideoInputs())
}
"""Kind of media -> its inputs, in the order in which prompts are refused for them. A kind without
inputs is decoded to images."""


def inputs_for(kind: MediumKind) -> KindInputs:
    """Return the inputs of a kind of media: those of images if it is decoded to them."""
    return INPUTS.get(kind, INPUTS[IMAGES])


def inputs_of(piece: Decoded) -> KindInputs:
    """Return the inputs of the kind of a medium that was decoded."""
    return inputs_for(kind_of(piece))


def images_in(pieces: Pieces) -> int:
    """Return how many images a prompt has, the frames of its videos included."""
    return len(images_of(pieces))


def is_plain(pieces: Pieces) -> bool:
    """Return whether a prompt has no media but images."""
    return other_than_images(pieces) is None


def shape_of(pieces: Pieces) -> tuple[int, ...]:
    """Return the shapes of a prompt's media: 0 for each image, the number of frames of each video.

    Prompts of one shape may be a batch: some models are wrong, and some processors fail, where the
    numbers of images, of sounds or of frames differ within one.
    """
    media = (piece for piece in pieces if not isinstance(piece, str))
    return tuple(chain.from_iterable(inputs_of(piece).shape(piece) for piece in media))


def map_images(pieces: Pieces, change: Callable[[Image.Image], Image.Image]) -> Pieces:
    """Return a prompt whose images, and frames of videos, are changed, in reading order."""
    return tuple(
        piece if isinstance(piece, str) else inputs_of(piece).map_images(piece, change)
        for piece in pieces
    )


def inverted(pieces: Pieces) -> Pieces:
    """Return a prompt with other media: colours are inverted, and sounds played backwards."""
    return tuple(
        piece if isinstance(piece, str) else inputs_of(piece).inverted(piece) for piece in pieces
    )
