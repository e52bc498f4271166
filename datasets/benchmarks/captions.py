"""Captions in prompts that ask whether an image shows them, for models that compare texts."""

import re
from collections.abc import Mapping

from savs.datasets.metrics.matching import YES

ASKED = re.compile(
    r"\s*Does this image show (.+)\? (?:Please answer|Answer) with Yes or No\.", re.S
)
QUOTES = ("'", '"')


def shown_caption(prompt: str) -> Mapping[str, str]:
    """Return the caption of `Does this image show ...?` for Yes; nothing of another prompt.

    Examples
    --------
    >>> shown_caption("Does this image show 'A cat.'? Answer with Yes or No.")
    {'Yes': 'A cat.'}
    >>> shown_caption("What is this?")
    {}
    """
    found = ASKED.fullmatch(prompt)
    if found is None:
        return {}
    text = found[1]
    is_quoted = len(text) > 2 and text[0] in QUOTES and text[-1] == text[0]
    return {YES: text[1:-1] if is_quoted else text}
