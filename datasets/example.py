"""One example: a prompt, a label, its group, its media, and where these stand in the prompt."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from savs.datasets.media_kinds.catalogue import COLUMN_OF_MARK, KIND_OF_COLUMN
from savs.datasets.media_kinds.medium import IMAGE_COLUMN
from savs.foundation.errors import ParameterError

_ANY_MARK = re.compile(f"({'|'.join(COLUMN_OF_MARK)})")
LATER_MARK = re.compile(f"({'|'.join(m for m, c in COLUMN_OF_MARK.items() if c != IMAGE_COLUMN)})")
"""Marks of media that stand at their marks, however those of images are treated."""
SPLIT = "split"
"""Put each image at its mark and remove the mark: the default."""
KEEP = "keep"
"""Put all images first and leave their marks in the text, as the public reference does on Qwen.
Other media stand at their marks."""
PLACEHOLDERS = (SPLIT, KEEP)
"""How marks can be treated."""


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
    """The text for the model; `<image>` marks the position of an image, `<audio>` that of a sound.
    Images and videos need no mark, others do: nothing else says as what a medium is read."""
    media: tuple[str, ...] = ()
    """Names of the media, in the order of their marks; files relative to the media root."""
    group: str | None = None
    """Examples that are scored together have the same group."""
    subtask: str | None = None
    """Heads are selected separately for each subtask."""
    category: str | None = None
    """A part of the benchmark that is also reported separately."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the row that the benchmark does not read."""

    @property
    def columns(self) -> tuple[str, ...]:
        """As what each medium is read: the column that names such media, see `columns_of`."""
        return columns_of(self.prompt, len(self.media))

    def media_of(self, column: str) -> list[str]:
        """Return the names of the media that are read as those of a column, in their order."""
        return [n for n, c in zip(self.media, self.columns, strict=True) if c == column]


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


def columns_of(prompt: str, media: int) -> tuple[str, ...]:
    """Return for each of a prompt's media the column that names such media, by its mark.

    Images and videos without marks come first.

    Raises
    ------
    ValueError
        There are fewer media than marks of other kinds, or the marks of images are neither 0 nor as
        many as the images.

    Examples
    --------
    >>> columns_of("Is <audio> the sound of <image>?", 2)
    ('audio', 'image')
    >>> columns_of("What is heard here? <audio>", 2)
    ('image', 'audio')
    """
    marks = _ANY_MARK.findall(prompt)
    marked = tuple(COLUMN_OF_MARK[mark] for mark in marks)
    image_marks = marked.count(IMAGE_COLUMN)
    images = media - len(marked) + image_marks
    if images < 0:
        others = Counter(mark for mark in marks if COLUMN_OF_MARK[mark] != IMAGE_COLUMN)
        counts = " and ".join(f"{count} {mark}" for mark, count in others.items())
        raise ValueError(f"{counts} placeholders for {media} media")
    if image_marks not in (0, images):
        mark = next(m for m, c in COLUMN_OF_MARK.items() if c == IMAGE_COLUMN and m in marks)
        raise ValueError(f"{image_marks} {mark} placeholders for {images} images")
    return marked if image_marks else (IMAGE_COLUMN,) * images + marked


def without_marks(prompt: str) -> str:
    """Return the text of a prompt without the marks of media.

    >>> without_marks("<image>Is it red?")
    'Is it red?'
    """
    return _ANY_MARK.sub("", prompt)


def with_media(prompt: str, named: Mapping[str, Sequence[str]]) -> tuple[str, tuple[str, ...]]:
    """Return a prompt that marks all media but images, and all media in the order of their marks.

    `named` has the media of each column. Those of a prompt without their marks come first.

    Raises
    ------
    ValueError
        The marks of a column are neither 0 nor as many as its media.

    Examples
    --------
    >>> with_media("What is it?", {"image": ["a.jpg"], "audio": ["a.wav"]})
    ('<audio>What is it?', ('a.jpg', 'a.wav'))
    >>> with_media("Is <audio> the sound of <image>?", {"image": ["a.jpg"], "audio": ["a.wav"]})
    ('Is <audio> the sound of <image>?', ('a.wav', 'a.jpg'))
    """
    for column, names in named.items():
        if column == IMAGE_COLUMN:
            continue
        kind = KIND_OF_COLUMN[column]
        marks = prompt.count(kind.mark)
        if marks not in (0, len(names)):
            raise ValueError(f"{marks} {kind.mark} placeholders for {len(names)} {kind.noun}s")
        if not marks:
            prompt = kind.mark * len(names) + prompt
    left = {column: iter(names) for column, names in named.items()}
    columns = columns_of(prompt, sum(map(len, named.values())))
    return prompt, tuple(next(left[column]) for column in columns)


def split_prompt(prompt: str, media: int, placeholders: str = SPLIT) -> tuple[str | int, ...]:
    """Split a prompt into pieces of text and numbers of media, in reading order.

    Each `<image>` or `<video>` marks one of the images and videos among the `media`; those of a
    prompt without such marks come first. Other media stand at their marks. No piece of text is
    empty. `placeholders` says how the marks of images are treated.

    Raises
    ------
    ValueError
        The marks do not fit the media, see `columns_of`.
    ParameterError
        `placeholders` is none of `PLACEHOLDERS`.

    Examples
    --------
    >>> split_prompt("Is <image> like <image>?", 2)
    ('Is ', 0, ' like ', 1, '?')
    >>> split_prompt("Does <video> show <image> and <audio>?", 3)
    ('Does ', 0, ' show ', 1, ' and ', 2, '?')
    >>> split_prompt("What is this?", 1)
    (0, 'What is this?')
    >>> split_prompt("Is <image> like <image>?", 2, "keep")
    (0, 1, 'Is <image> like <image>?')
    >>> split_prompt("Who speaks? <audio>", 2)
    (0, 'Who speaks? ', 1)
    """
    if placeholders not in PLACEHOLDERS:
        raise ParameterError(
            f"`placeholders` is {placeholders!r}, expected {' or '.join(PLACEHOLDERS)}"
        )
    columns = columns_of(prompt, media)
    marked = {COLUMN_OF_MARK[mark] for mark in _ANY_MARK.findall(prompt)}
    in_front = placeholders == KEEP or IMAGE_COLUMN not in marked
    pieces: list[str | int] = [n for n, c in enumerate(columns) if in_front and c == IMAGE_COLUMN]
    left = (n for n, c in enumerate(columns) if not in_front or c != IMAGE_COLUMN)
    standing = LATER_MARK if in_front else _ANY_MARK
    pieces += (next(left) if standing.fullmatch(p) else p for p in standing.split(prompt))
    return tuple(piece for piece in pieces if piece != "")
