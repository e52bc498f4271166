"""Images: the kind of media that needs no mark."""

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind, Outline

if TYPE_CHECKING:
    from PIL import Image


class Images(MediumKind):
    """Images, which need no mark."""

    noun, mark, columns = "image", "<image>", (IMAGE_COLUMN,)
    column_words = ("image", "img", "photo", "picture")
    suffixes = (
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    )
    usual_suffix = ".jpg"
    in_memory = "a PIL image, a uint8 array"
    one = "name of one image below the media root (or `images`, or neither)"
    question = "What is in the image?"

    @property
    def of(self) -> type:
        """The class of images in Pillow."""
        from PIL import Image

        return Image.Image

    def has_content(self, data: bytes) -> bool:
        """Return True: what an image is, its decoder knows."""
        del data
        return True

    def decode(self, data: bytes, name: str, rules: Decoding) -> "list[Image.Image]":
        """Return the image, see `decode_image`."""
        from savs.datasets.media_kinds.decoders.images import decode_image

        return [decode_image(data, name, rules.draft_pixels, rules.max_pixels)]

    def file_of(self, value: Any, name: str) -> bytes | None:
        """Return the bytes of a PNG, which keeps every pixel, of a PIL image or an array."""
        from savs.datasets.media_kinds.decoders.images import file_of_pixels

        return file_of_pixels(value, name)

    def outline(self, data: bytes, rules: Decoding) -> Outline:
        """Return the size of the image."""
        from savs.datasets.media_kinds.decoders.images import upright_size

        del rules
        return Outline(self, [upright_size(data)])

    def images(self, piece: "Image.Image") -> "Sequence[Image.Image]":
        """Return the image."""
        return (piece,)

    pictures = images

    def needs_model(self, rules: Decoding, *, is_there: bool, options: Container[str]) -> bool:
        """Return False: prompts are refused one by one."""
        del rules, is_there, options
        return False


IMAGES = Images()
