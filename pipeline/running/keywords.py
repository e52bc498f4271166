"""Flat keyword arguments of a public function, sorted into the options objects that take them."""

from collections.abc import Mapping
from difflib import get_close_matches
from numbers import Integral
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from savs.foundation.errors import ParameterError


def sort_keywords(function: str, given: Mapping[str, Any], *kinds: Any) -> list[Any]:
    """Return one object of each kind, made of the keyword arguments that are its fields.

    Parameters
    ----------
    function
        Name of the public function, for the message.
    given
        Keyword arguments.
    kinds
        Dataclasses, or TypedDicts, whose objects are dictionaries.

    Raises
    ------
    TypeError
        No kind has an argument of this name.
    ParameterError
        A value is of another type than the field.
    """
    fields = [get_type_hints(kind) for kind in kinds]
    known = {name: hint for hints in fields for name, hint in hints.items()}
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"{function}() has no argument {name!r}; {_advice(name, list(known))}")
        if not _fits(value, known[name]):
            hint = known[name]
            expected = hint.__name__ if isinstance(hint, type) else hint
            raise ParameterError(f"{function}(): {name} is {value!r}, expected {expected}")
    return [
        kind(**{name: given[name] for name in hints if name in given})
        for kind, hints in zip(kinds, fields, strict=True)
    ]


def _advice(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type, or of one of a union; items are not looked at."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    plain = [Integral if part is int else get_origin(part) or part for part in parts]
    return isinstance(value, tuple(plain))
