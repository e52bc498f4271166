"""`savs label`: labels for examples whose features the store has already."""

from collections import Counter
from typing import TYPE_CHECKING

from savs.foundation.errors import command
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.table import Table

if TYPE_CHECKING:
    from savs.pipeline.inputs.labelling import Labelled


def show(done: "Labelled", options: Options) -> Shown:
    """Word the changes, and the command that takes them into account."""
    changes, known, tables = done.changes, "", []
    if changes.height:
        counts = Counter(changes.select("old_split", "split", "label").iter_rows())
        rows = [[old, now, text or "-", f"{n:,}"] for (old, now, text), n in counts.items()]
        tables.append(Table.of_cells(["was in", "is in", "label", "examples"], rows))
    if done.unchanged:
        known = f"; {done.unchanged:,} were known"
    elif not changes.height:
        known = f"; {options['labels']} has no label: fill in its column `label`"
    messages = [f"{counted(changes.height, 'example')} changed{known}"]
    if changes.height:
        messages.append("next: " + command("savs", _stage(done), options["store"]))
    facts = {"changes": changes.to_dicts(), "unchanged": done.unchanged}
    return Shown(facts=facts, data=tables, messages=messages)


def _stage(done: "Labelled") -> str:
    """Return the command that makes the store's classifier again, or measures it."""
    from savs.pipeline.evaluation.results import TRAINED, Results
    from savs.stores.files.addresses import is_remote

    if "train" not in {*done.changes["split"], *done.changes["old_split"]}:
        return "evaluate"
    results = Results(done.store.path)
    is_selected = is_remote(done.store.path) or results.selected
    return "select" if is_selected and TRAINED not in results else "train"


COMMAND = Command(
    function="savs.pipeline.inputs.labelling:label",
    about="Takes the table of `savs suggest`, filled in. Rows with an empty label are left as they"
    " are.\n\nNo model runs: an example of the test split, or without a label, becomes a training"
    " example.",
    examples=(
        "savs label pets labelled.csv",
        "savs label new.csv.store new-labels.csv --split test",
    ),
    show=show,
)
