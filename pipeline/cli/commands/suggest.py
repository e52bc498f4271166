"""`savs suggest`: which images of a store to label next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import savs
from savs.foundation.errors import command
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    SelectionOption,
    SubtaskOption,
    option,
    setting,
)
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.cli.selections import find_selection
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from savs.pipeline.evaluation.suggest import Suggestions
    from savs.stores import FeatureStore

PAGE = ".html"
FORMS = (".csv", ".jsonl", PAGE)
EXAMPLES = (
    "savs suggest pets --n 20 --out next.html",
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
        Path | None,
        option(
            metavar="FILE",
            help="Output: a .csv or .jsonl table, or an .html page with the pictures (default:"
            " print CSV).",
        ),
    ] = None,
    media_root: Annotated[
        Path | None,
        option(metavar="DIR", help="Folder of the images, for the page (default: thumbnails)."),
    ] = None,
    force: Annotated[bool, option("--force", help="Replace --out.")] = False,
    selection: SelectionOption = None,
    subtask: SubtaskOption = None,
    readout: Annotated[
        str | None, setting(help="Readout of a selection that is made if the store has none.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Takes images without labels: the split unlabelled of a store, or else its test split.

    Fill in the column `label`, or label on the page, and run `savs label STORE FILE`.
    """
    from savs.pipeline.running.output_files import cells_of_lists, check_free, output_files

    form = "" if out is None else out.suffix.lower()
    if out is not None and form not in FORMS:
        raise typer.BadParameter(f"`out` is {str(out)!r}, expected a name in {' or '.join(FORMS)}")
    if media_root is not None and form != PAGE:
        raise typer.BadParameter("`media_root` is for the pictures of a page; pass --out FILE.html")
    store, suggestions = _suggestions(source, count, selection, readout, subtask)
    for note in suggestions.notes:
        say(f"note: {note}")
    table = suggestions.table
    if out is not None and form == PAGE:
        from savs.pipeline.reports.suggestions.suggestions import write_suggestions

        if store is None:
            raise typer.BadParameter(f"a page needs a store; {source} is a file")
        check_free(out, "out", force=force)
        write_suggestions(store, suggestions, out=out, media_root=media_root)
    elif out is not None:
        with output_files({"out": out}, force=force) as paths:
            text = table.write_ndjson() if form == ".jsonl" else cells_of_lists(table).write_csv()
            paths["out"].write_text(text, encoding="utf-8")
    if json:
        print_json({"suggestions": table.to_dicts(), "notes": list(suggestions.notes)})
    elif out is None:
        print_line(cells_of_lists(table).write_csv().rstrip("\n"), keep="\n")
    if out is not None:
        labels = "labels.csv" if form == PAGE else out
        place = "on the page" if form == PAGE else "in the column `label`"
        say(f"wrote {out} ({counted(table.height, 'example')})")
        if store is not None and table.height:
            say(f"next: label {place}, then " + command("savs", "label", store.path, labels))


def _suggestions(
    source: str, count: int, selection: str | None, readout: str | None, subtask: str | None
) -> "tuple[FeatureStore | None, Suggestions]":
    """Return the store, if the source is one, and what to label."""
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.evaluation.suggest import SUFFIXES, suggest_from_predictions
    from savs.pipeline.readouts import choose_readout
    from savs.pipeline.targets import target_of

    if Path(source).suffix.lower() in SUFFIXES and not Path(source).is_dir():
        for name, value in (("selection", selection), ("subtask", subtask)):
            if value is not None:
                raise typer.BadParameter(f"`{name}` is for a store; {source} is a file")
        return None, suggest_from_predictions(source, count)
    opened = savs.open_store(source)
    opened.require_complete()
    results, is_named = Results(opened.path), selection is not None
    saved = results.find(selection) if is_named else results.default if readout is None else None
    chosen = None
    if saved is not None or _has_classes(opened):
        target = target_of(opened.manifest.identity.benchmark)
        rule = choose_readout(readout or target.default_readout)
        chosen = find_selection(opened, rule, saved, is_named=is_named)
    return opened, savs.suggest(opened, chosen, count, subtask=subtask)


def _has_classes(store: "FeatureStore") -> bool:
    """Return whether a classifier can be made; without training examples, `classify` saved one."""
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.selection.training_data import StoredTraining
    from savs.stores.format.layout import UNLABELLED

    if not store.ids("train"):
        return UNLABELLED not in store.splits
    try:
        return bool(StoredTraining(store).tasks())
    except SelectionError:
        return False  # of one class or label, all examples say the same
