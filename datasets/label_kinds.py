"""What the labels of rows are: a class each, many labels, or numbers; and the text of a number.

A store keeps that in the options of its benchmark, under `OPTION`, as the `form` of labels. Without
it a row has one class.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

OPTION = "labels"
"""Name in the options of a store's benchmark."""
TARGET = "target"
"""Key of such a form: name of the target, if an installed package adds it."""
ONE, MANY, ORDINAL, REGRESSION = "one", "many", "ordinal", "regression"
"""One class, or many labels; numbers of which a few are levels, or any numbers."""
OWN_ANSWER = "own-answer"
"""Whether the model's own answer is right; no file has such labels."""
CLASSES = "classes"
"""Form of labels that are one class each, with one positive class."""
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


@dataclass(frozen=True, slots=True)
class LabelKind:
    """What labels of rows are, as far as their text tells."""

    name: str
    a_row_has: str
    """What a row has instead of a class, in a message."""
    are_classes: bool = False
    """Whether each is one class of several."""
    are_numbers: bool = False
    can_be_drawn: bool = True
    """Whether training examples can be drawn by their label."""

    def names(self, text: str) -> list[str]:
        """Return the classes, labels or numbers that a canonical text names."""
        return list(self._states(text))

    def present_names(self, text: str) -> list[str]:
        """Return those that are there: others are unknown."""
        return [name for name, is_there in self._states(text).items() if is_there]

    def _states(self, text: str) -> States:
        if self.are_classes or self.are_numbers:
            return {text: True}
        return states_of(text)


KINDS = {
    kind.name: kind
    for kind in (
        LabelKind(ONE, "one class", are_classes=True),
        LabelKind(MANY, "many labels, each of which is a task"),
        LabelKind(ORDINAL, "a number", are_numbers=True),
        LabelKind(REGRESSION, "a number", are_numbers=True, can_be_drawn=False),
        LabelKind(OWN_ANSWER, "an answer that is right or wrong", are_classes=True),
    )
}
CLASS = KINDS[ONE]


def label_kind(facts: Mapping[str, Any]) -> LabelKind:
    """Return what the labels of a store are; `facts` are its identity's `benchmark`."""
    return kind_of(facts.get("options", {}).get(OPTION))


def kind_of(form: Mapping[str, Any] | None) -> LabelKind:
    """Return what labels of a form are, see `labels_form`."""
    name = (form or {}).get("form", CLASSES)
    return CLASS if name == CLASSES else KINDS.get(name, KINDS[MANY])


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
