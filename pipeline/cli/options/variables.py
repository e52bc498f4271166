"""Environment variables that set options: a misspelt one is refused, not ignored."""

import os
from collections.abc import Sequence
from difflib import get_close_matches

import typer

from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.output import say

PREFIX = "SAVS_"


def require_known_variables(command: str, options: Sequence[str]) -> None:
    """Raise a usage error where a variable of a command sets none of its options.

    A variable of no command is only named: another program may use it.
    """
    own, known = _prefix(command), [option.upper() for option in options]
    prefixes = tuple(map(_prefix, COMMANDS))
    for name in sorted(os.environ):
        if name.startswith(own) and name.removeprefix(own) not in known:
            close = get_close_matches(name.removeprefix(own), known, 1)
            advice = f"did you mean {own}{close[0]}?" if close else f"see savs {command} --help"
            raise typer.BadParameter(f"the variable {name} sets no option; {advice}")
        if name.startswith(PREFIX) and not name.startswith(prefixes):
            close = get_close_matches(name, [f"{own}{option}" for option in known], 1, 0.85)
            if close:
                say(f"the variable {name} is not used; did you mean {close[0]}?")


def _prefix(command: str) -> str:
    return f"{PREFIX}{command.replace('-', '_').upper()}_"
