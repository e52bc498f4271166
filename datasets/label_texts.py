"""Texts of labels, as a store has them: a class as it is, many labels as JSON, a number."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

MOST = 1e100
"""Numbers are smaller than this, so that their squares are finite."""
States = Mapping[str, bool | None]
"""Label -> whether it is there; None if that is unknown. A label without a name is absent."""


def states_of(text: str) -> States:
    """Return the labels that a canonical text names.

    >>> states_of('["cat"]'), states_of('{"cat":true,"dog":null}')
    ({'cat': True}, {'cat': True, 'dog': None})
    """
    value = msgspec.json.decode(text)
    return dict.fromkeys(value, True) if isinstance(value, list) else value


def text_of(states: States) -> str:
    """Return the canonical text of labels."""
    not_absent = {name: states[name] for name in sorted(states) if states[name] is not False}
    return msgspec.json.encode(
        not_absent if None in not_absent.values() else list(not_absent)
    ).decode()


def parse_number(value: Any) -> float:
    """Return the number that a cell is; ValueError, which says what is expected, for another one.

    >>> parse_number("2.50"), parse_number(3)
    (2.5, 3.0)
    """
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    is_plain = is_number and str(value).isascii() and "_" not in str(value)
    try:
        number = float(value) if is_plain else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not abs(number) < MOST:
        raise ValueError("expected a finite number such as 3 or 2.5")
    return number + 0.0  # -0 is 0


def number_text(number: float) -> str:
    """Return the text of a number, from which `float` makes the same one.

    >>> number_text(3.0), number_text(0.1)
    ('3', '0.1')
    """
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
