"""Options that several commands share: each has one name and one meaning."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from savs.pipeline.names import with_defaults

if TYPE_CHECKING:
    from savs.pipeline.running.options import Option


MORE = "More options"
"""The last panel of a command's help, which `--help-all` shows."""

option = partial(typer.Option, show_envvar=False)
"""An option; its environment variable, SAVS_<COMMAND>_<OPTION>, is not shown in the help."""

FIELD = re.compile(r"`([a-z_]+)`")
"""A parameter in a message or a help text."""


def to_typer(name: str, source: "Option", text: str, *, is_argument: bool = False) -> Any:
    """Return an `Option` as typer has it, with its help."""
    if is_argument:
        return typer.Argument(metavar=source.metavar or name.upper(), help=text, show_default=False)
    flag = flag_of(source.name or name)
    return option(
        f"{flag}/--no-{flag[2:]}" if source.is_on else flag,
        *source.aliases,
        help=text,
        metavar=source.metavar or (None if source.min is None else "N"),
        min=source.min if source.parse is None else None,
        rich_help_panel=MORE if source.level == "more" else None,
    )


def parsed(name: str, value: Any, source: "Option") -> dict[str, Any]:
    """Return the fields that a text sets, or the texts of a repeated option; else a usage error."""
    assert source.parse is not None
    try:
        meaning = source.parse(value)
    except ValueError as error:
        said = f" {error}" if isinstance(value, list) else f" is {value!r:.50}, {error}"
        raise typer.BadParameter(f"`{name}`{said}") from error
    return meaning if source.fills else {name: meaning}


def flags_of(options: "Mapping[str, Option]") -> dict[str, str]:
    """Return parameter -> the flag that sets it."""
    flags = {}
    for name, source in options.items():
        if source.level != "python":
            flags |= dict.fromkeys((name, *source.fills), flag_of(source.name or name))
    return flags


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """Return a help text with the values of defaults, and parameters in backticks as flags."""
    return FIELD.sub(lambda match: flags.get(match[1], match[0]), with_defaults(text))


def flag_of(name: str) -> str:
    """Return the flag of a parameter."""
    return f"--{name.replace('_', '-')}"


def read_text(path: Path) -> str:
    """Return the text of a file of options; a usage error if it cannot be read."""
    from savs.foundation.errors import reason_of
    from savs.foundation.files import read_regular_text

    try:
        return read_regular_text(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {reason_of(error)}") from error
