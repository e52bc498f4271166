"""The `savs` command: its group of commands, errors and exit codes."""

import inspect
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

import savs
from savs.foundation.errors import ParameterError, SavsError
from savs.foundation.progress import listen
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.commands import COMMANDS, GUESSES, STAGES
from savs.pipeline.cli.options.settings import (
    OF_ALL_COMMANDS,
    ConfigOption,
    JsonOption,
    NoProgressOption,
    VerboseOption,
    require_known_variables,
    take_in_commands,
    variable_of,
)
from savs.pipeline.cli.options.shared import MORE
from savs.pipeline.cli.output import (
    WorkLine,
    data_alone,
    drop_stdout,
    print_line,
    say,
    set_spellings,
    spelled,
)
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.formatting import visible

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""The error of every wrong argument; typer has no public name for it."""
METAVARS: dict[Any, str] = {int: "N", int | None: "N", float: "X", float | None: "X"}
"""Type of an option -> what its help calls a value that the option does not name."""
LINES = ("question",)
"""Repeatable options whose variable has a value a line: others have no spaces, which divide."""

LEFT_BEHIND = "finished work is kept; run the same command again"
"""What an interrupted command says if its stage did not say more."""


class PlainFlags:
    """Help without a type, or a variable, next to the flags that typer adds, such as `--help`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the arguments and options, `--help` last."""
        parameters: list[Any] = super().get_params(ctx)  # pyrefly: ignore[missing-attribute]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
                parameter.show_envvar = False
        return parameters


class Command(PlainFlags, TyperCommand):
    """A command of `COMMANDS`."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; stdout has its data alone."""
        with data_alone():
            return super().invoke(ctx)


class CommandGroup(PlainFlags, TyperGroup):
    """The commands of `COMMANDS`, known by name and summary until one is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {
            name: TyperCommand(name, help=text, rich_help_panel=stage)
            for stage, commands in STAGES.items()
            for name, text in commands.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and its arguments; its module is imported here."""
        if guess := GUESSES.get(args[0]):
            raise USAGE_ERROR(f"no command is called {args[0]!r}; use {guess}", ctx)
        name, known, rest = super().resolve_command(ctx, args)
        if not (name and known):
            return name, known, rest
        command = import_command(name)
        flags = {parameter.name: _spelling(parameter) for parameter in command.params}
        set_spellings(flags | command_of(name).spellings(flags))
        if not ctx.resilient_parsing:  # of shell completion, which says nothing
            require_known_variables(name, command.params)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a usage error names options as the shell has them."""
        try:
            return super().invoke(ctx)
        except USAGE_ERROR as error:
            error.message = visible(spelled(error.message), keep="\n")
            raise


def command_of(name: str) -> Any:
    """Import what a command is made of."""
    file = f"{name}_" if iskeyword(name) else name
    return import_module(f"savs.pipeline.cli.commands.{file}").COMMAND


def import_command(name: str) -> Any:
    """Import the module of a command; its help is the summary, the docstring and examples."""
    spec = command_of(name)
    text = f"{COMMANDS[name]}\n\n{spec.about}"
    examples = "\n".join(f"  {line}" for line in spec.examples)
    command = _to_command(spec.to_function(), text, epilog=f"\b\nExamples:\n{examples}")
    if any(getattr(option, "rich_help_panel", None) == MORE for option in command.params):
        command.help += f"\n\nMore options: savs {name} --help-all"
    command.params += _to_command(take_in_commands).params
    for parameter in command.params:
        if parameter.param_type_name == "option":
            _set_up(parameter, name)
        else:
            parameter.display_type_rich = lambda ctx: ""  # its name says it
    command.params.sort(key=lambda p: getattr(p, "rich_help_panel", None) == MORE)
    return command


def _spelling(parameter: Any) -> str:
    """Return how a message names a parameter."""
    if parameter.param_type_name != "option":
        return parameter.metavar.strip("[]")  # of an optional one
    return parameter.opts[0]


def _set_up(option: Any, command: str) -> None:
    """Let an option of a command have a variable, and be shown and parsed as its place says."""
    option.envvar = variable_of(command, option)
    if option.name in OF_ALL_COMMANDS or option.rich_help_panel == MORE:
        option.hidden = True
    if option.multiple and option.name in LINES:
        option.value_from_envvar = partial(_variable_lines, option)


def _take_ascii_alone(option: Any) -> None:
    """Let an option of numbers refuse digits of other scripts, which `int` and `float` take."""
    process = option.process_value

    def process_ascii(ctx: Any, value: Any) -> Any:
        if isinstance(value, str) and not value.isascii():
            raise typer.BadParameter(f"{value!r} is no number of the digits 0 to 9", ctx, option)
        return process(ctx, value)

    option.process_value = process_ascii


def _to_command(function: Callable[..., None], text: str | None = None, epilog: str = "") -> Any:
    numbers = set()
    for parameter in inspect.signature(function).parameters.values():
        hint, *more = (
            getattr(parameter.annotation, "__origin__", None),
            *getattr(parameter.annotation, "__metadata__", ()),
        )
        for part in more:
            if isinstance(part, OptionInfo) and part.metavar is None and hint is not bool:
                part.metavar = METAVARS.get(hint, "TEXT")
        numbers |= {parameter.name} if hint in METAVARS else set()
    alone = typer.Typer(add_completion=False)
    alone.command(cls=Command, help=text, epilog=epilog)(function)
    command: Any = typer.main.get_command(alone)
    for option in command.params:
        if option.name in numbers:
            _take_ascii_alone(option)
    return command


def _variable_lines(parameter: Any, context: Any) -> list[str] | None:
    """Return the values of a repeatable option from its variable, one a line."""
    text = parameter.resolve_envvar_value(context)
    return None if text is None else text.splitlines()


app = typer.Typer(
    name="savs",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"auto_envvar_prefix": "SAVS", "help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(savs.__version__)
        raise typer.Exit


@app.callback(
    help=(
        "Few-shot classification with the attention heads of a frozen multimodal model. "
        "Options can also be set by variables SAVS_<COMMAND>_<OPTION> or a --config file."
    )
)
def _before(
    context: typer.Context,
    config: ConfigOption = None,
    json: JsonOption = False,
    no_progress: NoProgressOption = False,
    verbose: VerboseOption = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
            show_envvar=False,
        ),
    ] = False,
) -> None:
    values = {
        "config": config and str(config),
        "json": json,
        "no_progress": no_progress,
        "verbose": verbose,
    }
    defaults = {name: value for name, value in values.items() if value}
    context.default_map = {name: dict(defaults) for name in COMMANDS}


def main() -> NoReturn:
    """Run the command; exit 0 done, 1 failed, 2 usage, 3 store incomplete or corrupt, 130 stopped.

    An error of the input, or of a path, is one line on stderr; an error of the program keeps its
    traceback.
    """
    warnings.filterwarnings("ignore", module="PIL")  # about odd metadata
    interruption.listen()
    listen(WorkLine())
    try:
        try:
            app(prog_name="savs")
        finally:
            sys.stdout.flush()  # what is said of it at the end of Python is no line of ours
    except SavsError as error:
        from savs.pipeline.errors import WaitingForLabelsError

        if isinstance(error, WaitingForLabelsError):
            say(str(error))
            sys.exit(0)
        say(f"error: {error}", keep="\n")
        sys.exit(_exit_code(error))
    except MemoryError:
        say(
            "error: no memory is left; give less at a time (smaller files, `--limit`, fewer heads),"
            " or a machine, or limit, with more"
        )
        sys.exit(exits.FAILURE)
    except OSError as error:
        from savs.foundation.files import FULL, UNUSABLE

        if error.errno in UNUSABLE and error.filename:
            say(f"error: {error.filename!s:.200}: {error.strerror}; check this path")
            sys.exit(exits.FAILURE)
        if error.errno not in FULL:
            raise
        drop_stdout()
        what = error.filename or "the output"
        say(f"error: {what} cannot be written: {error.strerror}; make room")
        sys.exit(exits.FAILURE)
    except SystemExit as end:
        if end.code == exits.INTERRUPTED and not interruption.is_explained():
            say(f"interrupted: {LEFT_BEHIND}")
        raise
    sys.exit(0)


def _exit_code(error: SavsError) -> int:
    from savs.datasets.errors import BenchmarkNotFoundError, OptionError
    from savs.stores.errors import StoreCorruptError, StoreFormatError, StoreIncompleteError

    of_store = (StoreIncompleteError, StoreCorruptError, StoreFormatError)
    if isinstance(error, of_store):
        return exits.STORE
    of_arguments = (ParameterError, OptionError, BenchmarkNotFoundError)
    return exits.USAGE if isinstance(error, of_arguments) else exits.FAILURE
