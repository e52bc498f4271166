"""`savs suggest`: which images to label next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    SelectionOption,
    SubtaskOption,
    option,
    setting,
)
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.cli.selections import find_selection, named_selection
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from savs.pipeline.evaluation.suggest import Suggestions

FORMS = (".csv", ".jsonl")
EXAMPLES = (
    "savs suggest new.csv.store --n 20 --out next.csv",
    "savs suggest new.csv --n 20 --out next.csv --force",
)


def suggest_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STORE|PREDICTIONS",
            help="Feature store, or a .csv, .jsonl or .parquet file of predictions.",
        ),
    ],
    count: Annotated[
        int, option("--n", metavar="N", min=1, help="Images to suggest, of each subtask.")
    ] = 20,
    out: Annotated[
        Path | None, option(metavar="FILE", help="Output: .csv or .jsonl (default: print CSV).")
    ] = None,
    force: Annotated[bool, option("--force", help="Replace --out.")] = False,
    selection: SelectionOption = None,
    subtask: SubtaskOption = None,
    readout: Annotated[
        str, setting(help="Readout of a selection that is made if the store has none.")
    ] = "vote",
    json: JsonOption = False,
) -> None:
    """Takes images without labels: a store of `savs classify` (OUT.store), or a test split.

    Fill in the column `label`. A table is added by `savs extract general --append`, photos by
    copying them into class folders and `savs extract image-folder --append`.
    """
    from savs.pipeline.running.output_files import cells_of_lists, output_files

    if out is not None and out.suffix.lower() not in FORMS:
        raise typer.BadParameter(f"`out` is {str(out)!r}, expected a name in {' or '.join(FORMS)}")
    found = _suggestions(source, count, selection, readout, subtask)
    for note in found.notes:
        say(f"note: {note}")
    is_csv = out is None or out.suffix.lower() == FORMS[0]
    text = cells_of_lists(found.table).write_csv() if is_csv else found.table.write_ndjson()
    if out is not None:
        with output_files({"out": out}, force=force) as paths:
            paths["out"].write_text(text, encoding="utf-8")
        say(f"wrote {out} ({counted(found.table.height, 'image')})")
    if json:
        print_json({"suggestions": found.table.to_dicts(), "notes": list(found.notes)})
    elif out is None:
        print_line(text.rstrip("\n"), keep="\n")


def _suggestions(
    source: str, count: int, selection: str | None, readout: str, subtask: str | None
) -> "Suggestions":
    from savs.pipeline.evaluation.suggest import SUFFIXES, suggest_from_predictions
    from savs.pipeline.selection.readouts import choose_readout

    if Path(source).suffix.lower() in SUFFIXES and not Path(source).is_dir():
        for name, value in (("selection", selection), ("subtask", subtask)):
            if value is not None:
                raise typer.BadParameter(f"`{name}` is for a store; {source} is a file")
        return suggest_from_predictions(source, count)
    opened = savs.open_store(source)
    opened.require_split("test")
    opened.require_complete()
    saved = None if selection is None else named_selection(opened, selection)
    chosen = find_selection(opened, saved, choose_readout(readout))
    return savs.suggest(opened, chosen, count, subtask=subtask)
