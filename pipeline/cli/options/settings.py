"""Variables and files that set options: a misspelt name in them is refused, not ignored."""

import os
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

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
    prefix = _prefix(command)
    known = [variable_of(command, p) for p in parameters if p.param_type_name == "option"]
    prefixes = tuple(map(_prefix, COMMANDS))
    for name in sorted(os.environ):
        if name.startswith(prefix) and name not in known:
            parts = [other.removeprefix(prefix) for other in known]
            close = get_close_matches(name.removeprefix(prefix), parts, 1)
            advice = f"did you mean {prefix}{close[0]}?" if close else f"see savs {command} --help"
            raise typer.BadParameter(f"the variable {name} sets no option; {advice}")
        if name.startswith(PREFIX) and not name.startswith(prefixes) and _is_nearly(name, prefix):
            close = get_close_matches(name, known, 1, 0.85)
            nearest = close[0] if close else f"one of {prefix}<OPTION>"
            say(f"the variable {name} is not used; did you mean {nearest}?")


def _is_nearly(name: str, prefix: str) -> bool:
    """Return whether a variable begins like those of a command, which is misspelt there."""
    begin = "_".join(name.split("_")[: prefix.count("_")]) + "_"
    return bool(get_close_matches(begin, [prefix], 1, 0.85))


def _prefix(command: str) -> str:
    return f"{PREFIX}{command.replace('-', '_').upper()}_"


def _apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """Set a command's defaults from its table in a TOML file; flags and environment win."""
    if path is None:
        return None
    from savs.foundation.files import read_regular_text

    try:
        text = read_regular_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"{path} cannot be read: {reason}") from error
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise typer.BadParameter(f"{path} is not TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise typer.BadParameter(f"{path}: {name} is {table!r:.50}, expected a table [COMMAND]")
        if name not in COMMANDS:
            raise typer.BadParameter(
                f"{path}: [{name}] is not a command; expected one of {', '.join(sorted(COMMANDS))}"
            )
    table = tables.get(str(context.info_name), {})
    values = {str(key).replace("-", "_"): value for key, value in table.items()}
    known = {option_name(parameter): parameter for parameter in context.command.params}
    del known["config"]  # one file, that of the command line
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise typer.BadParameter(
            f"{path}: [{context.info_name}] has no option {unknown[0]!r}; expected one of"
            f" {', '.join(sorted(known))}"
        )
    defaults = {
        known[name].name: _plain(value, known[name].multiple) for name, value in values.items()
    }
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _plain(value: Any, multiple: bool) -> Any:
    """Return a value as the command line gives it; a repeatable option has a list."""
    plain = value if isinstance(value, bool | list) else str(value)
    return [plain] if multiple and not isinstance(plain, list) else plain


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        show_envvar=False,
        metavar="FILE",
        callback=_apply_config,
        is_eager=True,
        expose_value=False,
        help="TOML file with a table of options per command; flags override it.",
    ),
]
"""An option of every command, which sets the defaults of the others."""
