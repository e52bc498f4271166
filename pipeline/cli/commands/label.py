"""`savs label`: labels for examples whose features the store has already."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from savs.foundation.errors import command
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import StoreArgument, option
from savs.pipeline.cli.output import print_cells, print_json, say
from savs.pipeline.running.formatting import counted

EXAMPLES = (
    "savs label pets labelled.csv",
    "savs label new.csv.store new-labels.csv --split test",
)


def label_command(
    store: StoreArgument,
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Table with the columns id (or image) and label: .csv, .jsonl or .parquet.",
        ),
    ],
    split: Annotated[
        str | None,
        option(metavar="train|test", help="Where the examples go (default: train)."),
    ] = None,
    new_classes: Annotated[
        bool, option("--new-classes", help="Allow labels that no example has yet.")
    ] = False,
    take_back: Annotated[
        bool,
        option("--take-back", help="Remove the labels that these examples were given before."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Takes the table of `savs suggest`, filled in. Rows with an empty label are left as they are.

    No model runs: an example of the test split, or without a label, becomes a training example.
    """
    from savs.pipeline.evaluation.results import TRAINED, Results
    from savs.pipeline.inputs.labelling import Labeller
    from savs.stores.files.addresses import is_remote

    if take_back and (split is not None or new_classes):
        name = "split" if split is not None else "new_classes"
        raise typer.BadParameter(f"`{name}` has no meaning with --take-back; omit it")
    labeller = Labeller(store)
    wanted = dict.fromkeys(labeller.ids_of(labels)) if take_back else labels
    done = labeller.give(wanted, split=split, new_classes=new_classes)
    changes = done.changes
    if json:
        print_json({"changes": changes.to_dicts(), "unchanged": done.unchanged})
    elif changes.height:
        counts = Counter(changes.select("old_split", "split", "label").iter_rows())
        rows = [[old, now, text or "-", f"{n:,}"] for (old, now, text), n in counts.items()]
        print_cells(["was in", "is in", "label", "examples"], rows)
    known = f"; {done.unchanged:,} were known" if done.unchanged else ""
    if not changes.height and not known:
        known = f"; {labels} has no label: fill in its column `label`"
    say(f"{counted(changes.height, 'example')} changed{known}")
    if not changes.height:
        return
    changes_training = "train" in {*changes["split"], *changes["old_split"]}
    stage = "evaluate"
    if changes_training:  # the command that makes the store's classifier again
        results = Results(done.store.path)
        is_selected = is_remote(done.store.path) or results.selected
        stage = "select" if is_selected and TRAINED not in results else "train"
    say("next: " + command("savs", stage, store))
