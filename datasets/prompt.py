"""Where the images of a prompt stand: at each `<image>` mark, or before the text."""

IMAGE_MARK = "<image>"


def split_prompt(prompt: str, media: int) -> tuple[str | int, ...]:
    """Return a prompt as pieces of text and image numbers, in reading order.

    A prompt without marks has its images first. No piece of text is empty.

    Parameters
    ----------
    prompt
        Text, with `<image>` at the place of each image, or without marks.
    media
        Number of images that belong to it.

    Raises
    ------
    ValueError
        The prompt has marks, but not one for each image.

    Examples
    --------
    >>> split_prompt("Is <image> like <image>?", 2)
    ('Is ', 0, ' like ', 1, '?')
    >>> split_prompt("What is this?", 1)
    (0, 'What is this?')
    """
    texts = prompt.split(IMAGE_MARK)
    marks = len(texts) - 1
    if marks == 0:
        pieces: list[str | int] = [*range(media), prompt]
    elif marks != media:
        raise ValueError(f"{marks} {IMAGE_MARK} marks for {media} images")
    else:
        pieces = [texts[0]]
        for number, text in enumerate(texts[1:]):
            pieces += [number, text]
    return tuple(piece for piece in pieces if piece != "")
