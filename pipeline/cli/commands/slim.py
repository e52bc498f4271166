"""`savs slim`: a store of some heads, for another machine."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from savs import pipeline
from savs.pipeline.cli.options.shared import JsonOption, StoreArgument, option
from savs.pipeline.cli.selections import (
    CHOSEN,
    VOTE,
    HeadsChoice,
    SelectionOption,
    find_heads,
    saved_selection,
    say_size,
)


def slim_command(
    store: StoreArgument,
    out: Annotated[Path, option("--out", metavar="DIR", help="Folder of the new store.")],
    heads: HeadsChoice = CHOSEN,
    selection: SelectionOption = None,
    json: JsonOption = False,
) -> None:
    """Copy the selection, too, so that `savs evaluate` gives the same results."""
    from savs.pipeline.running.result_files import results_folder
    from savs.pipeline.selection.selection_file import copy_selection

    opened = pipeline.open_store(store)
    wanted = find_heads(opened, heads, selection)
    with TemporaryDirectory() as folder:
        if heads == CHOSEN:  # read before the store is written: it may not be whole
            copy_selection(selection or saved_selection(opened), Path(folder))

        def keep_selection() -> None:
            if heads == CHOSEN:
                copy_selection(folder, results_folder(out, VOTE))

        small = pipeline.slim(opened, wanted, out, before_seal=keep_selection)
    say_size(small.path, small.facts["bytes"], len(wanted), as_json=json)
