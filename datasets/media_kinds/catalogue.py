"""The table of all kinds of media, and what a column, a mark, bytes or a decoded medium is of."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind, Outline
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.datasets.media_kinds.videos import VIDEOS

if TYPE_CHECKING:
    from PIL import Image

    from savs.datasets.media_kinds.decoders.sounds import Sound
    from savs.datasets.media_kinds.decoders.videos import Video

    Decoded = Image.Image | Sound | Video
    """What stands in a prompt for a medium, or for a part of one."""
else:
    Decoded = object

KINDS: tuple[MediumKind, ...] = (IMAGES, SOUNDS, VIDEOS)
"""All kinds. The first is that of a file that no other kind knows by its bytes."""
COLUMNS = tuple(dict.fromkeys(kind.column for kind in KINDS))
"""Columns of rows with media."""
KIND_OF_COLUMN = {column: next(k for k in KINDS if k.column == column) for column in COLUMNS}
"""Column of rows -> what it is read as."""
COLUMN_OF_MARK = {kind.mark: kind.column for kind in KINDS}
KIND_OF_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}
SUFFIXES = tuple(suffix for kind in (*KINDS[1:], KINDS[0]) for suffix in kind.suffixes)
"""Suffixes that a name without one may stand for, in this order, as lists of ids have them."""


def kinds_in(column: str) -> list[MediumKind]:
    """Return the kinds of media that a column may name, in the order of the table.

    >>> [kind.a_noun for kind in kinds_in("audio")]
    ['a sound', 'a video']
    """
    return [kind for kind in KINDS if column in kind.columns]


def kind_of(piece: Decoded) -> MediumKind:
    """Return the kind of a medium that was decoded."""
    return next(kind for kind in KINDS if isinstance(piece, kind.of))


def other_than_images(pieces: Iterable[str | Decoded]) -> MediumKind | None:
    """Return the kind of a medium of a prompt that is no image; None if there is none."""
    media = (kind_of(piece) for piece in pieces if not isinstance(piece, str))
    others = [kind for kind in media if kind is not IMAGES]
    return min(others, key=KINDS.index, default=None)


def kind_of_content(data: bytes) -> MediumKind:
    """Return the kind of a file by its first bytes."""
    return next((kind for kind in KINDS[1:] if kind.has_content(data)), KINDS[0])


def outline_of(data: bytes, rules: Decoding, column: str = IMAGE_COLUMN) -> Outline:
    """Return what is known of a medium before it is decoded as what its column says."""
    kind = kind_of_content(data) if column == IMAGE_COLUMN else KIND_OF_COLUMN[column]
    return (kind if kind.column == column else KINDS[0]).outline(data, rules)


def images_of(pieces: Iterable[str | Decoded]) -> "list[Image.Image]":
    """Return all images of a prompt's pieces in reading order, the frames of videos included."""
    media = (piece for piece in pieces if not isinstance(piece, str))
    return [image for piece in media for image in kind_of(piece).images(piece)]


def pictures_in(decoded: Iterable[Decoded]) -> "list[Image.Image]":
    """Return what a person sees of decoded media: images, frames of videos, waveforms of sounds."""
    return [image for piece in decoded for image in kind_of(piece).pictures(piece)]
