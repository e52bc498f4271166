"""Images of prompts."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from savs.datasets.media_kinds.catalogue import images_of
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import Outline
from savs.pipeline.prompts.media.inputs import Counter, KindInputs, Pieces


class ImageInputs(KindInputs):
    """Images, those of videos that are given frame by frame included."""

    kind, letter, word, part = IMAGES, "I", "image", "image_processor"
    needs_place = False  # templates may put images in front
    probes = ("TI", "TIT", "ITI", "TITI")
    refusal = "this model reads no images, and the prompt has one"
    refused = "reads no images, and prompts have some"
    instead = "run a model that does (savs models lists them)"

    def among(self, pieces: Pieces) -> Sequence[Image.Image]:
        """Return the images of a prompt, the frames of its videos included."""
        return images_of(pieces)

    def value(self, piece: Image.Image) -> Image.Image:
        """Return the image."""
        return piece

    def tokens(self, counter: Counter, outline: Outline) -> int:
        """Return the tokens of all images of a medium."""
        return sum(counter.image(*size) for size in outline.sizes)

    def said(self, media: Sequence[Image.Image]) -> str:
        """Return the sizes of all images."""
        return f"images of {[image.size for image in media]} px"

    def shape(self, piece: Image.Image) -> Sequence[int]:
        """Return 0: images of any sizes may be a batch."""
        del piece
        return [0]

    def map_images(self, piece: Image.Image, change: Callable[[Image.Image], Image.Image]) -> Any:
        """Return the changed image."""
        return change(piece)
