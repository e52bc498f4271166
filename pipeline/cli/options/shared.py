"""Options that several commands share."""

import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.variables import option_name
from savs.pipeline.names import DEFAULT_HEADS, READOUT_NAMES, SCORING_NAMES, TEXT_READOUT_NAMES

if TYPE_CHECKING:
    from savs.stores import FeatureStore

option = partial(typer.Option, show_envvar=False)
"""An option; its environment variable, SAVS_<COMMAND>_<OPTION>, is not shown in the help."""


@dataclass(frozen=True, slots=True)
class Flag:
    """How a field of an options object is given on the command line."""

    help: str
    metavar: str | None = None
    aliases: tuple[str, ...] = ()
    """Other names of the option, as other programs spell it."""
    min: int | None = None


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
    given = {
        known[name].name: _plain(value, known[name].multiple) for name, value in values.items()
    }
    context.default_map = {**(context.default_map or {}), **given}
    return path


def _plain(value: Any, multiple: bool) -> Any:
    """Return a value as the command line gives it; a repeatable option has a list."""
    plain = value if isinstance(value, bool | list) else str(value)
    return [plain] if multiple and not isinstance(plain, list) else plain


StoreArgument = Annotated[
    str,
    typer.Argument(metavar="STORE", help="Feature store: a folder or a URL (https://)."),
]

ConfigOption = Annotated[
    Path | None,
    option(
        "--config",
        metavar="FILE",
        callback=_apply_config,
        is_eager=True,
        expose_value=False,
        help="TOML file with a table of options per command; flags override it.",
    ),
]
"""An option of every command, which sets the defaults of the others."""

BenchmarkOption = Annotated[
    str | None,
    option(
        "--benchmark",
        metavar="FILE.py",
        help="Python file of the benchmark, if the store was made with one.",
    ),
]

QuickOption = Annotated[
    bool, option("--quick", help="Check names, sizes and headers only, not the features.")
]

JsonOption = Annotated[bool, option("--json", help="Print JSON on stdout.")]

OtherPromptOption = Annotated[
    bool,
    option("--allow-other-prompt", help="Note prompts unlike those of training; do not refuse."),
]

RiskOption = Annotated[
    float | None,
    option(
        metavar="P",
        help="Also make prediction sets that lack the truth at most this often, such as 0.05.",
    ),
]

HeadsOption = Annotated[
    str | None,
    option(
        "--heads",
        metavar="N|all",
        help=f"Number of heads to select (default: {DEFAULT_HEADS}, or all if there are fewer).",
    ),
]

ReadoutOption = Annotated[
    str,
    option(
        "--readout",
        help=f"{', '.join(READOUT_NAMES)}; by the classes' names {', '.join(TEXT_READOUT_NAMES)};"
        " or a Python file.",
    ),
]

ScoringOption = Annotated[
    str, option("--scoring", help=f"How to score heads: {', '.join(SCORING_NAMES)}.")
]


def result_place(store: "FeatureStore", out: Path | None, name: str) -> Path:
    """Return the folder of a result: `--out`, or one in the store if that can be written."""
    from savs.stores.files.paths import is_remote
    from savs.stores.results import results_folder

    if out is not None:
        return out
    if is_remote(store.path):
        raise typer.BadParameter(f"{store.path} is read-only; pass --out DIR for the results")
    folder = results_folder(store.path, name)
    if link := next((path for path in (folder.parent, folder) if path.is_symlink()), None):
        raise typer.BadParameter(
            f"{link} is a link to {link.readlink()}, where files would be replaced; move it away,"
            " or pass --out DIR"
        )
    return folder


def parse_heads(text: str) -> Any:
    """Return a number of heads or `all`; a usage error otherwise."""
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--heads is {text!r}, expected a positive integer or all")
    return int(text)
