"""One example: a prompt with its images, a label, and what groups it with others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a benchmark, ready to be put to a model."""

    id: str
    """Unique in its split: the file's `id` column, else `<file stem>:<row>`."""
    split: str
    """`train` or `test`."""
    index: int
    """Row in the input file, from 0."""
    label: str | None
    """The right class, byte for byte as the file spells it; None where a test split hides it."""
    prompt: str
    """The text as it is put to the model; `<image>` marks the place of an image."""
    media: tuple[str, ...] = ()
    """Names of the images, relative to the media root, in the order of their marks."""
    group: str | None = None
    """Examples that are scored together share it."""
    subtask: str | None = None
    """Heads are selected for each subtask by itself."""
    category: str | None = None
    """A part of the benchmark that is reported by itself."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the row that the benchmark does not know."""
