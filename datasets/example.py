"""One example: a prompt, a label, its group, its media, and where these stand in the prompt."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from savs.foundation.errors import ParameterError

IMAGE_MARK, VIDEO_MARK, AUDIO_MARK = "<image>", "<video>", "<audio>"
"""Where an image or a video stands in a prompt, by either of two marks, and where a sound does."""
_ANY_MARK = re.compile(f"({IMAGE_MARK}|{VIDEO_MARK}|{AUDIO_MARK})")
SPLIT = "split"
"""Put each image at its mark and remove the mark: the default."""
KEEP = "keep"
"""Put all images first and leave their marks in the text, as the public reference does on Qwen.
Sounds stand at their marks."""
PLACEHOLDERS = (SPLIT, KEEP)
"""How marks can be treated."""
NATIVE, WITH_SOUND, FRAMES = "native", "with-sound", "frames"
VIDEO_INPUTS = (NATIVE, WITH_SOUND, FRAMES)
"""How a model gets a video: as a video, with its sound, or its frames as images. The first is the
default, as in the public reference of arXiv 2412.00142."""


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
    Images need no mark, sounds do: nothing else says that a medium is one."""
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
    def sounds(self) -> tuple[bool, ...]:
        """Whether each medium is read as a sound."""
        return sounds_among(self.prompt, len(self.media))


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


def sounds_among(prompt: str, media: int) -> tuple[bool, ...]:
    """Return for each of a prompt's media whether it is a sound: one whose mark is `<audio>`.

    Images without marks come first.

    Raises
    ------
    ValueError
        There are fewer media than marks of sounds, or the marks of images are neither 0 nor as many
        as the images.

    Examples
    --------
    >>> sounds_among("Is <audio> the sound of <image>?", 2)
    (True, False)
    >>> sounds_among("What is heard here? <audio>", 2)
    (False, True)
    """
    marks = _ANY_MARK.findall(prompt)
    sounds = marks.count(AUDIO_MARK)
    image_marks = len(marks) - sounds
    images = media - sounds
    if images < 0:
        raise ValueError(f"{sounds} {AUDIO_MARK} placeholders for {media} media")
    if image_marks not in (0, images):
        mark = VIDEO_MARK if VIDEO_MARK in marks and IMAGE_MARK not in marks else IMAGE_MARK
        raise ValueError(f"{image_marks} {mark} placeholders for {images} images")
    if not image_marks:
        return (False,) * images + (True,) * sounds
    return tuple(mark == AUDIO_MARK for mark in marks)


def without_marks(prompt: str) -> str:
    """Return the text of a prompt without the marks of media.

    >>> without_marks("<image>Is it red?")
    'Is it red?'
    """
    return _ANY_MARK.sub("", prompt)


def with_sounds(
    prompt: str, images: Sequence[str], sounds: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return a prompt that marks all its sounds, and all media in the order of their marks.

    Sounds of a prompt without `<audio>` come first.

    Raises
    ------
    ValueError
        The marks of sounds are neither 0 nor as many as the sounds.

    Examples
    --------
    >>> with_sounds("What is it?", ["a.jpg"], ["a.wav"])
    ('<audio>What is it?', ('a.jpg', 'a.wav'))
    >>> with_sounds("Is <audio> the sound of <image>?", ["a.jpg"], ["a.wav"])
    ('Is <audio> the sound of <image>?', ('a.wav', 'a.jpg'))
    """
    marks = prompt.count(AUDIO_MARK)
    if marks not in (0, len(sounds)):
        raise ValueError(f"{marks} {AUDIO_MARK} placeholders for {len(sounds)} sounds")
    if not marks:
        prompt = AUDIO_MARK * len(sounds) + prompt
    media = len(images) + len(sounds)
    images_left, sounds_left = iter(images), iter(sounds)
    return prompt, tuple(
        next(sounds_left if s else images_left) for s in sounds_among(prompt, media)
    )


def split_prompt(prompt: str, media: int, placeholders: str = SPLIT) -> tuple[str | int, ...]:
    """Split a prompt into pieces of text and numbers of media, in reading order.

    Each `<image>` or `<video>` marks one of the images and videos among the `media`; those of a
    prompt without such marks come first. Each `<audio>` marks a sound. No piece of text is empty.
    `placeholders` says how the marks of images are treated.

    Raises
    ------
    ValueError
        The marks do not fit the media, see `sounds_among`.
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
    sounds = sounds_among(prompt, media)
    images = [number for number, is_sound in enumerate(sounds) if not is_sound]
    in_front = placeholders == KEEP or not (IMAGE_MARK in prompt or VIDEO_MARK in prompt)
    pieces: list[str | int] = [*images] if in_front else []
    left = iter(number for number, is_sound in enumerate(sounds) if is_sound or not in_front)
    for part in re.split(f"({AUDIO_MARK})", prompt) if in_front else _ANY_MARK.split(prompt):
        is_mark = part == AUDIO_MARK if in_front else _ANY_MARK.fullmatch(part)
        pieces.append(next(left) if is_mark else part)
    return tuple(piece for piece in pieces if piece != "")
