"""`savs suggest`: which images of a store to label next."""

from pathlib import Path
from typing import TYPE_CHECKING

from savs.foundation.errors import command
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from savs.pipeline.evaluation.suggest import Suggestions


def show(done: "Suggestions", options: Options) -> Shown:
    """Print the table, or say where it is, and how to go on."""
    from savs.pipeline.running.output_files import cells_of_lists

    table, out = done.table, options["out"]
    messages = [f"note: {note}" for note in done.notes]
    data = []
    if out is None:
        data.append(cells_of_lists(table).write_csv().rstrip("\n"))
    else:
        messages.append(f"wrote {out} ({counted(table.height, 'example')})")
        if done.split is not None and table.height:
            is_page = Path(out).suffix.lower() == ".html"
            place = "on the page" if is_page else "in the column `label`"
            labels = "labels.csv" if is_page else out
            label = command("savs", "label", options["store"], labels)
            messages.append(f"next: label {place}, then {label}")
    facts = {"suggestions": table.to_dicts(), "notes": list(done.notes)}
    return Shown(facts=facts, data=data, messages=messages)


COMMAND = Command(
    function="savs.pipeline.reports.suggestions.suggestions:suggest",
    about="Takes images without labels: the split unlabelled of a store, or else its test split."
    "\n\nFill in the column `label`, or label on the page, and run `savs label STORE FILE`.",
    examples=(
        "savs suggest pets --n 20 --out next.html",
        "savs suggest new.csv.store --n 20 --out next.csv",
        "savs suggest new.csv --out next.csv",
    ),
    show=show,
)
