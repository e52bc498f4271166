"""The content of a preview page."""

from collections.abc import Mapping
from dataclasses import dataclass

from savs.datasets import Example

SIDE_PX = 320
"""Largest width and height of an image on the page."""
TEXT, TOKEN, IMAGE = "text", "token", "image"
"""Kinds of a run of tokens: plain text, a control token, image tokens."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One scaled image, or a placeholder for one that cannot be shown."""

    name: str
    width: int
    """Size of the original image in pixels."""
    height: int
    jpeg: bytes
    """Empty where it cannot be read."""
    frame: str = ""
    """`frame 2 of 8` where it is of a video."""

    @property
    def shown_width(self) -> int:
        """Width on the page, in pixels."""
        return round(self.width * min(1.0, SIDE_PX / max(self.width, self.height, 1)))


Piece = str | Picture
"""A part of a prompt, in reading order."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring tokens of one kind."""

    kind: str
    """`text`, `token` or `image`."""
    text: str
    """Their text; for image tokens, the text of one."""
    count: int
    """Number of tokens."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A prompt's final text, as the model reads it."""

    runs: tuple[Run, ...]
    is_joined: bool = False
    """Whether the chat template alone would move its images, see `ImagePlaces`."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(run.count for run in self.runs)

    @property
    def image_tokens(self) -> int:
        """Number of image tokens."""
        return sum(run.count for run in self.runs if run.kind == IMAGE)


@dataclass(frozen=True, slots=True)
class Shown:
    """One example."""

    example: Example
    pieces: tuple[Piece, ...]
    """Its prompt."""
    skipped: str | None = None
    """Why it would be skipped."""
    worded: Worded | None = None
    """The rendered prompt, if a model was given."""


@dataclass(frozen=True, slots=True)
class SplitContent:
    """One split."""

    name: str
    source: str
    """Source of its examples."""
    examples: int
    labels: Mapping[tuple[str | None, str | None], int]
    """Subtask and label -> examples, in order of first appearance."""
    absent: Mapping[str, str]
    """Id of each example with a missing medium -> the medium."""
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class PreviewContent:
    """The whole page."""

    benchmark: str
    summary: str
    model: str | None
    placeholders: str
    notes: tuple[str, ...]
    """Leaks, labels that training lacks."""
    splits: tuple[SplitContent, ...]
