"""What the labels of rows are: a class each, many labels, or numbers; and the text of a number.

A store keeps that in the options of its benchmark, under `OPTION`, as the `form` of labels. Without
it a row has one class.
"""

import math
from collections.abc import Mapping
from typing import Any

OPTION = "labels"
"""Name in the options of a store's benchmark."""
ONE, MANY, ORDINAL, REGRESSION = "one", "many", "ordinal", "regression"
"""One class, or many labels; numbers of which a few are levels, or any numbers."""
NUMBERS = (ORDINAL, REGRESSION)
CLASSES = "classes"
"""Form of labels that are one class each, with one positive class."""
MOST = 1e100
"""Numbers are smaller than this, so that their squares are finite."""


def label_kind(facts: Mapping[str, Any]) -> str:
    """Return what the labels of a store are; `facts` are its identity's `benchmark`."""
    return kind_of(facts.get("options", {}).get(OPTION))


def kind_of(form: Mapping[str, Any] | None) -> str:
    """Return what labels of a form are, see `labels_form`."""
    name = (form or {}).get("form", CLASSES)
    return ONE if name == CLASSES else name if name in NUMBERS else MANY


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
