"""Options that several commands share."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs.pipeline.names import DEFAULT_HEADS, READOUT_NAMES, SCORING_NAMES, TEXT_READOUT_NAMES

if TYPE_CHECKING:
    from savs.stores import FeatureStore

option = partial(typer.Option, show_envvar=False)
"""An option; its environment variable, SAVS_<COMMAND>_<OPTION>, is not shown in the help."""


StoreArgument = Annotated[
    str,
    typer.Argument(metavar="STORE", help="Feature store: a folder or a URL (https://)."),
]

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

NoProgressOption = Annotated[bool, option("--no-progress", help="Print messages only.")]

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
    from savs.pipeline.running.result_files import results_folder
    from savs.stores.files.addresses import is_remote

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
