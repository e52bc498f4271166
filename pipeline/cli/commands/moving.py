"""`savs export`, `savs slim` and `savs merge`: features for other programs and other machines."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, StoreArgument, option
from savs.pipeline.cli.output import print_json, say
from savs.pipeline.explore.export import FORMS, export_store
from savs.pipeline.running.formatting import format_bytes
from savs.pipeline.selection.selection_file import copy_selection, load_config
from savs.stores import FeatureStore, Head, open_store
from savs.stores.maintain.copy import merge_stores, slim_store
from savs.stores.results import results_folder

CHOSEN, ALL = "chosen", "all"
_HEAD = re.compile(r"L(\d+)\.H(\d+)")

SelectionOption = Annotated[
    Path | None,
    option(metavar="DIR", help="A selection, for --heads chosen (default: STORE/results/vote)."),
]
HeadsChoice = Annotated[
    str, option("--heads", metavar="chosen|all|L1.H2,...", help="Which heads to take.")
]
OutOption = Annotated[Path, option("--out", metavar="DIR", help="Folder of the new store.")]


def export_command(
    store: StoreArgument,
    out: Annotated[Path, option("--out", metavar="FILE", help="The file to write.")],
    to: Annotated[str, option(help=f"{', '.join(FORMS)}.")] = "parquet",
    heads: HeadsChoice = CHOSEN,
    splits: Annotated[str, option(help="train, test, or both with a comma.")] = "train,test",
    selection: SelectionOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write features of some heads for other programs, with ids and labels."""
    opened = open_store(store)
    wanted = _heads(opened, heads, selection)
    path = export_store(opened, out, wanted, splits.split(","), to)
    _say_size(path, path.stat().st_size, len(wanted), as_json=json)


def slim_command(
    store: StoreArgument,
    out: OutOption,
    heads: HeadsChoice = CHOSEN,
    selection: SelectionOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write a store that holds some heads only: from the GPU box to a laptop in megabytes.

    It evaluates to the same numbers with the same selection, which is put into it.
    """
    opened = open_store(store)
    wanted = _heads(opened, heads, selection)
    slim = slim_store(opened, wanted, out)
    chosen = selection or _saved(opened)
    if heads == CHOSEN:
        copy_selection(chosen, results_folder(slim.path, "vote"))
    _say_size(slim.path, slim.facts["bytes"], len(wanted), as_json=json)


def merge_command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Two or more stores.")],
    out: OutOption,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make one store of several of the same model and settings.

    Stores of one plan (machines that shared the work) are put together; stores of other examples
    are put one after the other, and training examples that all have are taken once.
    """
    if len(stores) < 2:
        raise typer.BadParameter("give two stores or more")
    merged = merge_stores([open_store(path, partial=True) for path in stores], out)
    _say_size(merged.path, merged.facts["bytes"], len(merged.heads), as_json=json)


def _heads(store: FeatureStore, choice: str, selection: Path | None) -> Sequence[Head]:
    if choice == ALL:
        return store.heads
    if choice == CHOSEN:
        chosen = load_config(selection or _saved(store)).heads
        store.require_heads(chosen)
        return [head for head in store.heads if head in chosen]
    names = choice.split(",")
    found = [_HEAD.fullmatch(name) for name in names]
    if not all(found):
        raise typer.BadParameter(f"--heads is {choice!r}, expected chosen, all or L1.H2,L3.H4 ...")
    return list(dict.fromkeys((int(match[1]), int(match[2])) for match in found if match))


def _saved(store: FeatureStore) -> Path:
    return results_folder(store.path, "vote")


def _say_size(path: Path, size: int, heads: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "bytes": size, "heads": heads})
    else:
        print(path)
    say(f"{heads} heads, {format_bytes(size)}")
