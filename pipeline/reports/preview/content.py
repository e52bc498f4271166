"""The content of a preview page."""

from collections.abc import Mapping
from dataclasses import dataclass

from savs.datasets import Example
from savs.datasets.example import KEEP
from savs.pipeline.reports.pages.pictures import Picture

SIDE_PX = 320
"""Largest width and height of an image on the page."""
TEXT, TOKEN, IMAGE = "text", "token", "image"
"""Kinds of a run of tokens: plain text, a control token, image tokens."""
MOST_LABELS = 60
"""Most rows of the table of labels."""
MOST_ABSENT = 10
"""Most examples with missing media that are listed."""


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

    @property
    def facts(self) -> dict[str, str]:
        """Group, subtask and category, where the example has them."""
        names = ("group", "subtask", "category")
        values = {name: getattr(self.example, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


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

    @property
    def has_subtasks(self) -> bool:
        """Whether the table of labels has a column of subtasks."""
        return any(subtask is not None for subtask, _ in self.labels)

    @property
    def first_labels(self) -> list[tuple[tuple[str | None, str | None], int]]:
        """The rows of the table of labels."""
        return list(self.labels.items())[:MOST_LABELS]

    @property
    def more_labels(self) -> bool:
        """Whether the table lacks some."""
        return len(self.labels) > MOST_LABELS

    @property
    def most(self) -> int:
        """The greatest number of examples of a label."""
        return max(self.labels.values(), default=1)

    @property
    def named_absent(self) -> list[str]:
        """Lines about the first examples with missing media."""
        named = [f"{identifier}: {name}" for identifier, name in self.absent.items()]
        more = len(named) - MOST_ABSENT
        return named[:MOST_ABSENT] + ([f"and {more:,} more"] if more > 0 else [])


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

    @property
    def reading(self) -> str:
        """How the prompts are shown."""
        prompts = f"prompts as {self.model} reads them" if self.model else "prompts and labels"
        kept = "; all images first, placeholders kept in the text"
        return prompts + (kept if self.placeholders == KEEP else "")
