"""Options of a run, each written once: as a field of a dataclass, annotated with an `Option`.

The command line makes its options and their help of these fields, and a configuration file and
environment variables set them by the same names. A Python function takes them as keyword arguments,
which `sort_keywords` gives to the dataclasses that they are fields of.

A message names a field as `field` in backticks; the command line shows it as `--field`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from savs.foundation.errors import ParameterError

Level = Literal["main", "more", "python"]
"""Where an option is offered: in the help of a command, in that of `--help-all`, or in Python."""


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is shown and set on the command line."""

    help: str = ""
    """By default what the docstring of the function says of the parameter, its first paragraph."""
    level: Level = "main"
    metavar: str | None = None
    min: int | None = None
    """Smallest value, which `check_values` checks."""
    choices: tuple[str, ...] = ()
    """The values, which `check_values` checks."""
    name: str | None = None
    """Name of the option, if it differs from the field's."""
    aliases: tuple[str, ...] = ()
    """Other names of the option, as other programs spell it."""
    is_positional: bool = True
    """Whether a positional parameter of the function is an argument of the command, too."""
    is_on: bool = False
    """Whether a flag is on by default, so that `--no-NAME` turns it off."""
    is_repeated: bool = False
    """Whether the option is given once for each of several values."""
    parse: Callable[[Any], Any] | None = None
    """Makes the value of the text of a shell; ValueError says what was expected."""
    fills: Mapping[str, str] = field(default_factory=dict)
    """Other fields that the text sets, each with its spelling: `parse` returns all by name."""
    write: Callable[[Mapping[str, Any]], str | list[str] | None] | None = None
    """The inverse of `parse`, for a command that was recorded."""


PYTHON = Option(level="python")


@cache
def options_of(kind: Any) -> dict[str, Option]:
    """Return each field of a dataclass -> its option; `PYTHON` for one without an option."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: next((p for p in getattr(hint, "__metadata__", ()) if isinstance(p, Option)), PYTHON)
        for name, hint in hints.items()
    }


def check_values(options: Any) -> None:
    """Raise ParameterError if a field is below its smallest value, or none of its choices.

    None is always taken: it stands for the default.
    """
    for name, option in options_of(type(options)).items():
        value = getattr(options, name)
        if value is None:
            continue
        if option.min is not None and value < option.min:
            raise ParameterError(f"`{name}` is {value}, expected at least {option.min}")
        if option.choices and value not in option.choices:
            expected = ", ".join(option.choices)
            raise ParameterError(f"`{name}` is {value!r}, expected one of {expected}")


def sort_keywords(function: str, keywords: Mapping[str, Any], *kinds: Any) -> list[Any]:
    """Return one object of each kind, made of the keyword arguments that are its fields.

    `function` is the public one's name, for messages; `kinds` are dataclasses, or TypedDicts, whose
    objects are dictionaries. TypeError if no kind has an argument of this name; ParameterError if a
    value has another type than the field.
    """
    fields = [get_type_hints(kind) for kind in kinds]
    known = {name: hint for hints in fields for name, hint in hints.items()}
    for name, value in keywords.items():
        if name not in known:
            close = get_close_matches(name, known, 1)
            advice = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
            raise TypeError(f"{function}() has no argument {name!r}; {advice}")
        if not _fits(value, known[name]):
            hint = known[name]
            expected = hint.__name__ if isinstance(hint, type) else hint
            raise ParameterError(f"{function}(): {name} is {value!r}, expected {expected}")
    return [
        kind(**{name: keywords[name] for name in hints if name in keywords})
        for kind, hints in zip(kinds, fields, strict=True)
    ]


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value has a type, or one of a union; items are not looked at.

    An integer is a `float`, too; True and False are no numbers.
    """
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, bool):
        return bool in parts
    numbers = {int: Integral, float: Real}
    plain = [numbers.get(part) or get_origin(part) or part for part in parts]
    return isinstance(value, tuple(plain))
