"""Options that several commands share."""

import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from savs.pipeline.heads.head_scores import SCORINGS
from savs.pipeline.readouts import READOUTS
from savs.stores import FeatureStore
from savs.stores.files.paths import is_remote
from savs.stores.results import results_folder

option = partial(typer.Option, show_envvar=False)
"""An option; its environment variable, SAVS_<COMMAND>_<OPTION>, is not spelt out in each help."""


def _apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take a command's options from its table in a TOML file; flags and environment beat it."""
    if path is None:
        return None
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} is not TOML: {error}") from error
    parent = context.parent.command if context.parent else None
    commands = set(getattr(parent, "commands", {}))
    for name, table in tables.items():
        if name not in commands or not isinstance(table, dict):
            raise typer.BadParameter(
                f"{path}: {name!r} is no command's table; there are {', '.join(sorted(commands))}"
            )
    table = tables.get(str(context.info_name), {})
    values = {str(key).replace("-", "_"): value for key, value in table.items()}
    known = {parameter.name for parameter in context.command.params}
    unknown = sorted(set(values) - known)
    if unknown:
        raise typer.BadParameter(
            f"{path}: [{context.info_name}] has no option {unknown[0]!r}; it has"
            f" {', '.join(sorted(str(name) for name in known))}"
        )
    context.default_map = {
        **(context.default_map or {}),
        **{k: _plain(v) for k, v in values.items()},
    }
    return path


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | list) else str(value)


StoreArgument = Annotated[
    str,
    typer.Argument(metavar="STORE", help="Folder of a feature store, or its address (https://)."),
]

ConfigOption = Annotated[
    Path | None,
    option(
        "--config",
        metavar="FILE",
        callback=_apply_config,
        is_eager=True,
        help="TOML file with a table of this command's name; flags and environment beat it.",
    ),
]

BenchmarkOption = Annotated[
    str | None,
    option(
        "--benchmark",
        metavar="FILE.py",
        help="The store's benchmark, where that is a Python file of your own.",
    ),
]

JsonOption = Annotated[bool, option("--json", help="Print JSON on stdout.")]

HeadsOption = Annotated[str, option("--heads", metavar="N|all", help="How many heads to keep.")]

ReadoutOption = Annotated[
    str,
    option("--readout", help=f"Rule from head features to classes: {', '.join(READOUTS)}."),
]

ScoringOption = Annotated[
    str, option("--scoring", help=f"How heads are scored: {', '.join(SCORINGS)}.")
]


def result_place(store: FeatureStore, out: Path | None, name: str) -> Path:
    """Return a result's folder: `--out`, else one in the store; a usage error if it is remote."""
    if out is not None:
        return out
    if is_remote(store.path):
        raise typer.BadParameter(f"{store.path} is read, not written; say with --out DIR where to")
    return results_folder(store.path, name)


def parse_heads(text: str) -> Any:
    """Return a number of heads or `all`; a usage error otherwise."""
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--heads is {text!r}, expected a number from 1 on, or all")
    return int(text)
