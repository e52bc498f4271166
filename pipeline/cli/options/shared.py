"""Options that several commands share: each has one name and one meaning."""

import re
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

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
        min=source.min,
        rich_help_panel=MORE if source.level == "more" else None,
    )


def with_flags(text: str, names: Container[str]) -> str:
    """Return a help text in which parameters in backticks are spelled as flags."""
    return FIELD.sub(lambda m: flag_of(m[1]) if m[1] in names else m[0], text)


def flag_of(name: str) -> str:
    """Return the flag of a parameter."""
    return f"--{name.replace('_', '-')}"


def read_text(path: Path, option: str = "") -> str:
    """Return the text of a file that an option names; a usage error if it cannot be read."""
    from savs.foundation.files import read_regular_text

    try:
        return read_regular_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        name = f"`{option}` {path}" if option else path
        raise typer.BadParameter(f"{name} cannot be read: {reason}") from error
