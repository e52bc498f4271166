"""The keys of classes on pages where examples are labelled."""

from collections.abc import Sequence

KEYS = "1234567890"
"""Keys of the first classes."""


def keys_of(classes: Sequence[str]) -> str:
    """Return the keys of the first classes; where names are numbers, each has its own digit.

    >>> keys_of(["cat", "dog"]), keys_of(["0", "2"]), keys_of(["0", "10"])
    ('12', '02', '')
    """
    if not all(name.isdecimal() for name in classes):
        return KEYS[: len(classes)]
    return "".join(classes) if all(len(name) == 1 for name in classes) else ""
