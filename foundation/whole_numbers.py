"""Whole numbers in text of users and strangers."""

MAX_DIGITS = 18
"""Most digits of a number: it fits 64 bits, and Python itself refuses 4,301."""


def whole_number(text: str) -> int | None:
    """Return the number that digits are; None for other text, and for one of too many digits.

    >>> whole_number("12"), whole_number("-1"), whole_number("9" * 19)
    (12, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else None
