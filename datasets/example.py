"""One example: a prompt, a label, its group, its media, and where these stand in the prompt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from savs.foundation.errors import ParameterError

IMAGE_MARK = "<image>"
SPLIT = "split"
"""Put each image at its mark and remove the mark: the default."""
KEEP = "keep"
"""Put all images first and leave the marks in the text, as the public reference does on Qwen."""
PLACEHOLDERS = (SPLIT, KEEP)
"""How marks can be treated."""
NATIVE, FRAMES = "native", "frames"
VIDEO_INPUTS = (NATIVE, FRAMES)
"""How a model gets a video: as a video, or its frames as images. The first is the default, as in
the public reference of arXiv 2412.00142."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a benchmark, ready for a model."""

    id: str
    """Unique in its split: the file's `id` column, else `<file stem>:<row>`."""
    split: str
    """`train`, `test` or `unlabelled`."""
    index: int
    """Position among the examples that were read, from 0."""
    label: str | None
    """The right class, byte for byte as in the file; None if it is not known."""
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
    """Return what names a subtask after a noun of a message; nothing of None.

    Examples
    --------
    >>> of_subtask("Jigsaw"), of_subtask(None)
    (" of subtask 'Jigsaw'", '')
    """
    return "" if subtask is None else f" of subtask {subtask!r}"


def first_few(names: Iterable[str], most: int) -> str:
    """Return the first names for a message, and dots if there are more.

    Examples
    --------
    >>> first_few(["a", "b", "c"], 2), first_few(["a", "b"], 2)
    ('a, b ...', 'a, b')
    """
    listed = list(names)
    return ", ".join(listed[:most]) + (" ..." if len(listed) > most else "")


def split_prompt(prompt: str, media: int, placeholders: str = SPLIT) -> tuple[str | int, ...]:
    """Split a prompt into pieces of text and image numbers, in reading order.

    Each `<image>` marks one of the `media` images; those of a prompt without marks come first. No
    piece of text is empty. `placeholders` says how the marks are treated.

    Raises
    ------
    ValueError
        The number of marks is neither 0 nor the number of images.
    ParameterError
        `placeholders` is none of `PLACEHOLDERS`.

    Examples
    --------
    >>> split_prompt("Is <image> like <image>?", 2)
    ('Is ', 0, ' like ', 1, '?')
    >>> split_prompt("What is this?", 1)
    (0, 'What is this?')
    >>> split_prompt("Is <image> like <image>?", 2, "keep")
    (0, 1, 'Is <image> like <image>?')
    """
    if placeholders not in PLACEHOLDERS:
        raise ParameterError(
            f"`placeholders` is {placeholders!r}, expected {' or '.join(PLACEHOLDERS)}"
        )
    texts = prompt.split(IMAGE_MARK)
    marks = len(texts) - 1
    if marks not in (0, media):
        raise ValueError(f"{marks} {IMAGE_MARK} placeholders for {media} images")
    if marks == 0 or placeholders == KEEP:
        pieces: list[str | int] = [*range(media), prompt]
    else:
        pieces = [texts[0]]
        for number, text in enumerate(texts[1:]):
            pieces += [number, text]
    return tuple(piece for piece in pieces if piece != "")
