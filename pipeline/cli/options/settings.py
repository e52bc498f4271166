"""Options of every command, and variables and files that set options of one.

`--config`, `--json`, `--no-progress` and `--verbose` are shown once, by `savs --help`, and accepted
before and after the name of a command. A misspelt name in a file or a variable is refused.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.shared import MORE, read_text
from savs.pipeline.cli.output import hide_progress, show_details

PREFIX = "SAVS_"
OF_ALL_COMMANDS = ("config", "json", "no_progress", "verbose", "help_all")
"""Parameters that `savs --help` shows, and the help of a command does not."""


def option_name(parameter: Any) -> str:
    """Return the name of an option, or argument, as users write it in variables and files."""
    return parameter.opts[0].removeprefix("--").replace("-", "_")


def variable_of(command: str, parameter: Any) -> str:
    """Return the name of the variable that sets an option of a command."""
    return _prefix(command) + option_name(parameter).upper()


def require_known_variables(command: str, parameters: Sequence[Any]) -> None:
    """Raise a usage error if a variable sets no option of its command.

    Variables of other commands are left to these; one that names no command at all is refused.
    """
    from difflib import get_close_matches

    prefix = _prefix(command)
    known = [variable_of(command, p) for p in parameters if p.param_type_name == "option"]
    prefixes = tuple(map(_prefix, COMMANDS))
    for name in sorted(os.environ):
        if not name.startswith(PREFIX):
            continue
        if name.startswith(prefix) and name not in known:
            parts = [other.removeprefix(prefix) for other in known]
            close = get_close_matches(name.removeprefix(prefix), parts, 1)
            advice = f"did you mean {prefix}{close[0]}?" if close else f"see savs {command} --help"
            raise typer.BadParameter(f"the variable {name} sets no option; {advice}")
        if not name.startswith(prefixes):
            close = get_close_matches(name, known, 1, 0.8)
            advice = f"did you mean {close[0]}?" if close else "expected SAVS_<COMMAND>_<OPTION>"
            raise typer.BadParameter(f"the variable {name} sets no option; {advice}")


def _prefix(command: str) -> str:
    return f"{PREFIX}{command.replace('-', '_').upper()}_"


def _apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """Set a command's defaults from its table in a TOML file; flags and environment win."""
    if path is None:
        return None
    import tomllib

    text = read_text(path)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the first also for an integer of many digits
        reason = f"{error}".partition("; use sys.")[0]
        raise typer.BadParameter(f"{path} is not TOML: {reason}") from error
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
    try:
        text = str(value)
    except ValueError as error:  # an integer of thousands of digits, written as 0x...
        raise typer.BadParameter("an integer in the file of --config is too large") from error
    plain = value if isinstance(value, bool | list) else text
    return [plain] if multiple and not isinstance(plain, list) else plain


PANEL = "Options of all commands"
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        show_envvar=False,
        metavar="FILE",
        rich_help_panel=PANEL,
        help="TOML file with a table per command, such as \\[extract]; flags override it.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", show_envvar=False, rich_help_panel=PANEL, help="Print JSON on stdout."),
]
NoProgressOption = Annotated[
    bool,
    typer.Option(
        "--no-progress", show_envvar=False, rich_help_panel=PANEL, help="Show no progress."
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose", show_envvar=False, rich_help_panel=PANEL, help="Print the details of a run."
    ),
]


def show_all(context: typer.Context, wanted: bool) -> None:
    """Print the help of a command with all its options, and end; the callback of `--help-all`."""
    if not wanted:
        return
    for parameter in context.command.params:
        if getattr(parameter, "rich_help_panel", None) == MORE:
            parameter.hidden = False  # pyrefly: ignore[missing-attribute]
    typer.echo(context.get_help())
    context.exit()


def take_in_commands(
    config: Annotated[
        Path | None,
        typer.Option("--config", callback=_apply_config, is_eager=True, expose_value=False),
    ] = None,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", callback=hide_progress, expose_value=False)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", callback=show_details, expose_value=False)
    ] = False,
    help_all: Annotated[
        bool, typer.Option("--help-all", callback=show_all, is_eager=True, expose_value=False)
    ] = False,
) -> None:
    """Have the options of all commands that a command need not know of."""
