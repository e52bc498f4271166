"""What the inputs of a model are for each kind of media, so that nothing else branches on it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from PIL import Image

from savs.datasets.media_kinds.catalogue import Decoded
from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.medium import MediumKind, Outline

Pieces = tuple[str | Decoded, ...]
"""A prompt as text, images, videos and sounds in reading order."""
Encode = Callable[[Any, Pieces], Mapping[str, Any]]
"""Processor and a prompt -> what the processor makes of it; nothing is checked."""
Rules = TypeVar("Rules", bound=Decoding)


class Counter(Protocol):
    """Counts tokens of media from their sizes."""

    @property
    def processor(self) -> Any:
        """The processor of the model."""
        ...

    @property
    def image(self) -> Callable[[int, int], int]:
        """Width and height in pixels -> the tokens of an image."""
        ...

    @property
    def of_processor(self) -> Callable[[str, str, Any], int | None]:
        """Kind, keyword and size -> the tokens as a processor counts them; None if it does not."""
        ...


class KindInputs(ABC):
    """Inputs of one kind of media; what is not abstract is as for most kinds."""

    kind: ClassVar[MediumKind]
    letter: ClassVar[str]
    """Stands for it where a prompt is a string of the kinds of its pieces, such as `ITI`."""
    word: ClassVar[str]
    """Its type in a conversation."""
    part: ClassVar[str]
    """Attribute of a processor that has what reads it."""
    needs_place: ClassVar[bool] = True
    """Whether the chat template must have a place for it."""
    probes: ClassVar[tuple[str, ...]] = ()
    """Prompts that show whether a template moves such media, as strings of letters."""
    settings: ClassVar[str] = ""
    """What a store calls the digest of the settings of what reads them, apart from images."""
    refusal: ClassVar[str]
    """What is said of a prompt that has one, for a model that takes none."""
    refused: ClassVar[str]
    """What is said of such a model before a run, after its name."""
    instead: ClassVar[str]
    """What to do then."""

    @property
    def not_for_code(self) -> str:
        """What is said where the user's code makes the inputs, which takes text and images."""
        return f"your to_inputs takes text and images, and no {self.kind.noun}"

    def among(self, pieces: Pieces) -> Sequence[Any]:
        """Return those that a processor is given of a prompt, in reading order."""
        return [piece for piece in pieces if isinstance(piece, self.kind.of)]

    def reader(self, processor: Any) -> Any:
        """Return what reads it in a processor; None if nothing does."""
        return getattr(processor, self.part, None)

    @abstractmethod
    def value(self, piece: Any) -> Any:
        """Return one as a conversation has it."""

    @abstractmethod
    def tokens(self, counter: Counter, outline: Outline) -> int:
        """Return the tokens of one that is not decoded yet, as far as is known."""

    @abstractmethod
    def said(self, media: Sequence[Any]) -> str:
        """Return what a message says of those of a prompt."""

    @abstractmethod
    def shape(self, piece: Any) -> Sequence[int]:
        """Return what must be equal for prompts to be a batch, see `shape_of`."""

    def trials(self, processor: Any) -> Sequence[tuple[Any, str]]:
        """Return a few, with a question about each, on which `savs check-model` tests a model."""
        del processor
        return ()

    def require(self, processor: Any, prompts: Sequence[Pieces], encode: Encode) -> None:  # noqa: B027
        """Raise ValueError if a processor would not read the whole of some."""

    def options(self, processor: Any, media: Sequence[Any]) -> Mapping[str, Any]:
        """Return what a processor is given for those of a batch, in the order of its prompts."""
        del processor, media
        return {}

    def decoding(self, processor: Any, rules: Rules) -> Rules:
        """Return how media are decoded for a processor that reads such ones."""
        del processor
        return rules

    def is_recorded(self, decoding: Mapping[str, Any]) -> bool:
        """Return whether a store records `settings` and `facts`, from how media are decoded."""
        return self.kind.column in decoding

    def facts(self, processor: Any) -> dict[str, Any]:
        """Return what a store records of a processor that reads such media, next to `settings`."""
        del processor
        return {}

    def complete(self, inputs: Any, processor: Any, media: Sequence[Any]) -> None:  # noqa: B027
        """Set inputs of a batch that its processor does not compute."""

    def map_images(self, piece: Any, change: Callable[[Image.Image], Image.Image]) -> Any:
        """Return one whose images are changed."""
        del change
        return piece

    def inverted(self, piece: Any) -> Any:
        """Return another one of the same size."""
        return self.map_images(piece, lambda image: image.point([255 - v for v in range(256)] * 3))
