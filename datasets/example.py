"""One example: a prompt with images, a label, and its group."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a benchmark, ready for a model."""

    id: str
    """Unique in its split: the file's `id` column, else `<file stem>:<row>`."""
    split: str
    """`train` or `test`."""
    index: int
    """Position among the examples that were read, from 0."""
    label: str | None
    """The right class, byte for byte as in the file; None if a test split hides it."""
    prompt: str
    """The text for the model; `<image>` marks the position of an image."""
    media: tuple[str, ...] = ()
    """Names of the images, in the order of their marks; files relative to the media root."""
    group: str | None = None
    """Examples that are scored together have the same group."""
    subtask: str | None = None
    """Heads are selected separately for each subtask."""
    category: str | None = None
    """A part of the benchmark that is also reported separately."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the row that the benchmark does not read."""


def of_subtask(subtask: str | None) -> str:
    """Return what names a subtask behind a noun of a message; nothing of None.

    Examples
    --------
    >>> of_subtask("Jigsaw"), of_subtask(None)
    (" of subtask 'Jigsaw'", '')
    """
    return "" if subtask is None else f" of subtask {subtask!r}"
