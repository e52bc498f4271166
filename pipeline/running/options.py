"""Options of a run, each written once: as a field of a dataclass, annotated with an `Option`.

The command line makes its options and their help of these fields, and a configuration file and
environment variables set them by the same names. A Python function takes them as keyword arguments,
which `sort_keywords` gives to the dataclasses that they are fields of.

A message names a field as `field` in backticks; the command line shows it as `--field`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from savs.foundation.bounds import whole_number
from savs.foundation.errors import ParameterError

Level = Literal["main", "more", "python"]
"""Where an option is offered: in the help of a command, in that of `--help-all`, or in Python."""


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is shown and set on the command line.

    A field with several of them is made of several options, each of which has a `name`.
    """

    help: str = ""
    """By default what the docstring of the function says of the parameter, its first paragraph."""
    level: Level = "main"
    metavar: str | None = None
    min: int | None = None
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
    parse: Callable[[str], Any] | None = None
    """Makes the value of the text of a shell; ValueError says what was expected."""


def parse_counts(text: str) -> list[int | Literal["all"]]:
    """Return the numbers of a list such as `1,5,all`; ValueError for anything else."""
    found: list[int | Literal["all"]] = []
    for part in text.split(","):
        number = part if part == "all" else whole_number(part)
        if not number:
            raise ValueError("expected positive integers or all, such as 1,4,20,all")
        found.append(cast("int | Literal['all']", number))
    return found


def parse_layers(text: str) -> list[int] | Literal["each"]:
    """Return numbers of layers, or `each`; ValueError for anything else."""
    if text == "each":
        return "each"
    found = [whole_number(part) for part in text.split(",")]
    known = [layer for layer in found if layer is not None]
    if len(known) < len(found):
        raise ValueError("expected layers counted from 0, such as 7,13,20, or each")
    return known


def parse_names(text: str) -> list[str]:
    """Return the names in a list with commas; spaces around a comma do not count."""
    return [name.strip() for name in text.split(",")]


def parse_folds(text: str) -> int | Literal["loo"]:
    """Return a number of folds, or `loo`; ValueError for anything else."""
    if text == "loo":
        return "loo"
    number = whole_number(text)
    if number is None or number < 2:
        raise ValueError("expected an integer from 2 on, or loo")
    return number


def options_of(kind: Any) -> dict[str, dict[str, Option]]:
    """Return each field of a dataclass -> its options by name, in the order of the help."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field: {part.name or field: part for part in hint.__metadata__ if isinstance(part, Option)}
        for field, hint in hints.items()
        if hasattr(hint, "__metadata__")
    }


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
    """Return whether a value has a type, or of one of a union; items are not looked at."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    plain = [Integral if part is int else get_origin(part) or part for part in parts]
    return isinstance(value, tuple(plain))
