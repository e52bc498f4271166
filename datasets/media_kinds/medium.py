"""What each kind of media says of itself, so that nothing else branches on it.

Commands ask for names and marks as they start, so packages that decode are imported where a method
needs them.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from savs.datasets.media_kinds.decoding import Decoding

if TYPE_CHECKING:
    from PIL import Image

IMAGE_COLUMN = "image"
"""Column of rows whose media need no mark in a prompt."""


def list_column(column: str) -> str:
    """Return the column of lists that goes with one of single media.

    >>> list_column("image")
    'images'
    """
    return f"{column}s"


@dataclass(frozen=True, slots=True)
class Outline:
    """What a medium will be in a prompt, as far as it is known before it is decoded."""

    kind: "MediumKind"
    """What the model gets: of a video whose frames go in as images, images."""
    sizes: Sequence[tuple[int, int]] = field(default_factory=list)
    """Width and height of each of its images in pixels, upright; `(0, 0)` of an unreadable one."""
    seconds: float | None = None
    """How long its sound lasts, 0 if its header does not say; None without one."""


@dataclass(frozen=True, slots=True)
class Player:
    """What a page plays of a medium."""

    tag: str
    """Element of HTML that plays it."""
    mime_type: str
    data: bytes
    length: str
    """How long the whole medium lasts, for a caption."""


class MediumKind(ABC):
    """One kind of media; what is not abstract is as for most kinds."""

    noun: ClassVar[str]
    """What messages call one."""
    mark: ClassVar[str]
    """Where one stands in a prompt."""
    columns: ClassVar[tuple[str, ...]]
    """Columns of rows that may name one. Its own is the first; from another one it is read as what
    that is of, as a video from the column of sounds."""
    column_words: ClassVar[tuple[str, ...]]
    """Parts of the names of columns that are probably meant to name some."""
    suffixes: ClassVar[tuple[str, ...]]
    """Of its files, in lower case; content decides what a medium is, and what cannot be decoded is
    skipped with its reason later."""
    usual_suffix: ClassVar[str]
    """One of these, for examples in help."""
    recorded: ClassVar[Mapping[str, type]] = {}
    """Names of its `facts`, and their types. The first is there wherever there are such media; of a
    kind with a column of its own it is the name of that."""
    in_memory: ClassVar[str] = ""
    """What `file_of` takes, in a message; empty if nothing."""
    one: ClassVar[str]
    """What the field of its column holds."""
    in_images: ClassVar[str] = ""
    """How one that is no image is looked at all the same, after the reason why it is not."""
    question: ClassVar[str]
    """The prompt about the files of a folder where the user gives none."""

    @property
    def a_noun(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    @property
    def column(self) -> str:
        """The column that is its own."""
        return self.columns[0]

    @property
    @abstractmethod
    def of(self) -> type:
        """The class of a decoded one."""

    @abstractmethod
    def has_content(self, data: bytes) -> bool:
        """Return whether a file is one by its first bytes."""

    @abstractmethod
    def decode(self, data: bytes, name: str, rules: Decoding) -> list[Any]:
        """Return what stands in a prompt for a file, in reading order; MediaError if it cannot."""

    def file_of(self, value: Any, name: str) -> bytes | None:
        """Return the bytes of a file of one that a program has; None if `value` is none.

        MediaError, which calls it `name`, if it cannot be a file.
        """
        del value, name

    @abstractmethod
    def outline(self, data: bytes, rules: Decoding) -> Outline:
        """Return what `decode` will give, as far as a header says; never an error."""

    @abstractmethod
    def pictures(self, piece: Any) -> "Sequence[Image.Image]":
        """Return what a person sees of a decoded one."""

    def images(self, piece: Any) -> "Sequence[Image.Image]":
        """Return the images that a model sees in a decoded one."""
        del piece
        return ()

    def player(self, piece: Any) -> Player | None:
        """Return what a page plays of a decoded one; None if a picture shows it."""
        del piece
        return None

    def needs_model(self, rules: Decoding, *, is_there: bool, options: Container[str]) -> bool:
        """Return whether a run needs a model that takes such media; arguments as of `facts`."""
        del rules, options
        return is_there

    def facts(
        self, rules: Decoding, *, is_there: bool, options: Container[str]
    ) -> dict[str, int | str]:
        """Return what a store records of the decoding; `options` are those that the user gave."""
        del rules, is_there, options
        return {}
