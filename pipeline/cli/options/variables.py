"""Environment variables that set options: a misspelt one is refused, not ignored."""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import typer

from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.output import say

PREFIX = "SAVS_"


def option_name(parameter: Any) -> str:
    """Return the name of an option, or argument, as users write it in variables and files."""
    return parameter.opts[0].removeprefix("--").replace("-", "_")


def variable_of(command: str, parameter: Any) -> str:
    """Return the name of the variable that sets an option of a command."""
    return _prefix(command) + option_name(parameter).upper()


def require_known_variables(command: str, parameters: Sequence[Any]) -> None:
    """Raise a usage error where a variable of a command sets none of its options.

    A variable whose command is misspelt is only named: another program may use it.
    """
    own = _prefix(command)
    known = [variable_of(command, p) for p in parameters if p.param_type_name == "option"]
    prefixes = tuple(map(_prefix, COMMANDS))
    for name in sorted(os.environ):
        if name.startswith(own) and name not in known:
            parts = [other.removeprefix(own) for other in known]
            close = get_close_matches(name.removeprefix(own), parts, 1)
            advice = f"did you mean {own}{close[0]}?" if close else f"see savs {command} --help"
            raise typer.BadParameter(f"the variable {name} sets no option; {advice}")
        if name.startswith(PREFIX) and not name.startswith(prefixes) and _is_nearly(name, own):
            close = get_close_matches(name, known, 1, 0.85)
            meant = close[0] if close else f"one of {own}<OPTION>"
            say(f"the variable {name} is not used; did you mean {meant}?")


def _is_nearly(name: str, own: str) -> bool:
    """Return whether a variable begins like those of a command, which is misspelt there."""
    begin = "_".join(name.split("_")[: own.count("_")]) + "_"
    return bool(get_close_matches(begin, [own], 1, 0.85))


def _prefix(command: str) -> str:
    return f"{PREFIX}{command.replace('-', '_').upper()}_"
