"""Positions of images in a prompt: at each `<image>` mark, or before the text."""

from savs.foundation.errors import ParameterError

IMAGE_MARK = "<image>"
SPLIT = "split"
"""Put each image at its mark and remove the mark: the default."""
KEEP = "keep"
"""Put all images first and leave the marks in the text, as the public reference does on Qwen."""
PLACEHOLDERS = (SPLIT, KEEP)
"""How marks can be treated."""


def split_prompt(prompt: str, media: int, placeholders: str = SPLIT) -> tuple[str | int, ...]:
    """Split a prompt into pieces of text and image numbers, in reading order.

    The images of a prompt without marks come first. No piece of text is empty.

    Parameters
    ----------
    prompt
        Text, with `<image>` at the position of each image, or without marks.
    media
        Number of its images.
    placeholders
        `split` or `keep`: how the marks are treated.

    Raises
    ------
    ValueError
        The number of marks is neither 0 nor the number of images.
    ParameterError
        `placeholders` is neither.

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
            f"placeholders is {placeholders!r}, expected {' or '.join(PLACEHOLDERS)}"
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
