"""Where the images of a prompt stand: at each `<image>` mark, or before the text."""

from savs.foundation.errors import ParameterError

IMAGE_MARK = "<image>"
SPLIT = "split"
"""Each image stands at its mark, and the mark is no text: the default."""
KEEP = "keep"
"""All images come first, and the marks stay in the text: the public reference on Qwen."""
PLACEHOLDERS = (SPLIT, KEEP)
"""What can be done with the marks."""


def split_prompt(prompt: str, media: int, placeholders: str = SPLIT) -> tuple[str | int, ...]:
    """Return a prompt as pieces of text and image numbers, in reading order.

    A prompt without marks has its images first. No piece of text is empty.

    Parameters
    ----------
    prompt
        Text, with `<image>` at the place of each image, or without marks.
    media
        Number of images that belong to it.
    placeholders
        `split` or `keep`: what is done with the marks.

    Raises
    ------
    ValueError
        The prompt has marks, but not one for each image.
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
        raise ValueError(f"{marks} {IMAGE_MARK} marks for {media} images")
    if marks == 0 or placeholders == KEEP:
        pieces: list[str | int] = [*range(media), prompt]
    else:
        pieces = [texts[0]]
        for number, text in enumerate(texts[1:]):
            pieces += [number, text]
    return tuple(piece for piece in pieces if piece != "")
