"""Bounds on numbers and JSON of users and strangers."""

from typing import Any

MAX_DIGITS = 18
"""Most digits of a number: it fits 64 bits, and Python itself refuses 4,301."""
MAX_LEVELS = 64
"""Most levels of nested objects and lists."""


def whole_number(text: str) -> int | None:
    """Return the number that digits are; None for other text, and for one of too many digits.

    `int` also takes digits of other scripts.

    >>> whole_number("12"), whole_number("-1"), whole_number("9" * 19), whole_number("٣")
    (12, None, None, None)
    """
    is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
    return int(text) if is_number else None


def is_too_deep(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Return whether objects and lists are nested more than `levels` deep.

    Examples
    --------
    >>> is_too_deep({"a": [1, []]}, levels=3), is_too_deep({"a": [1, []]}, levels=2)
    (False, True)
    """
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    nested = [part for part in parts if isinstance(part, dict | list)]  # not a million ids
    return levels == 0 or any(is_too_deep(part, levels - 1) for part in nested)
