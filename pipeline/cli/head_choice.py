"""`--heads chosen|all|L1.H2,...`: the heads that `savs export` and `savs slim` take."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.pipeline.cli.options.shared import option
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.running.formatting import format_bytes

if TYPE_CHECKING:
    from savs.stores import FeatureStore, Head

CHOSEN, ALL = "chosen", "all"
VOTE = "vote"
"""The readout whose selection is taken by default."""
_HEAD = re.compile(r"L(\d+)\.H(\d+)")

SelectionOption = Annotated[
    Path | None,
    option(metavar="DIR", help="Selection for --heads chosen (default: STORE/results/vote)."),
]
HeadsChoice = Annotated[
    str,
    option(
        "--heads",
        metavar="chosen|all|L1.H2,...",
        help="Heads: those of a selection, all, or a list.",
    ),
]


def find_heads(store: "FeatureStore", choice: str, selection: Path | None) -> "Sequence[Head]":
    """Return the heads of a choice; a usage error for anything else."""
    from savs.pipeline.selection.selection_file import load_config

    if choice == ALL:
        return store.heads
    if choice == CHOSEN:
        chosen = load_config(selection or saved_selection(store)).heads
        store.require_heads(chosen)
        return [head for head in store.heads if head in chosen]
    return parse_names("--heads", choice, "chosen, all or ")


def parse_names(option: str, text: str, others: str = "") -> "list[Head]":
    """Return the heads of a list such as `L1.H2,L3.H4`; a usage error for anything else."""
    found = [_HEAD.fullmatch(name) for name in text.split(",")]
    if not all(found):
        raise typer.BadParameter(f"{option} is {text!r}, expected {others}L1.H2,L3.H4 ...")
    return list(dict.fromkeys((int(match[1]), int(match[2])) for match in found if match))


def saved_selection(store: "FeatureStore") -> Path:
    """Return the folder of the selection that `savs select` leaves in a store."""
    from savs.stores.results import results_folder

    return results_folder(store.path, VOTE)


def say_size(path: Path, size: int, heads: int, *, as_json: bool) -> None:
    """Print what was written, and how large it is."""
    if as_json:
        print_json({"path": str(path), "bytes": size, "heads": heads})
    else:
        print_line(str(path))
    say(f"{heads} heads, {format_bytes(size)}")
