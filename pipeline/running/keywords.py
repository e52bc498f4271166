"""Flat keyword arguments of a public function, sorted into the options objects that take them."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_type_hints


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
        An argument that no kind has, or one that is missing.
    """
    names = [get_type_hints(kind) for kind in kinds]
    known = [name for fields in names for name in fields]
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1) or known
            raise TypeError(
                f"{function}() has no argument {name!r}; did you mean {', '.join(close)}?"
                if len(close) == 1
                else f"{function}() has no argument {name!r}; it takes {', '.join(close)}"
            )
    return [
        kind(**{name: given[name] for name in fields if name in given})
        for kind, fields in zip(kinds, names, strict=True)
    ]
