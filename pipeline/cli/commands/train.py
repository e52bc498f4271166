"""`savs train`: from labelled images to a classifier in one command."""

from typing import TYPE_CHECKING, Annotated

import typer

import savs
from savs.foundation.errors import command
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import HeadsOption, MaxSkipOption, option
from savs.pipeline.cli.output import (
    REPORTING,
    print_evaluation,
    print_json,
    print_tables,
    say,
    tell_skipped_examples,
)
from savs.pipeline.extraction.run_options import GpuKeywords
from savs.pipeline.inputs.input_options import TrainKeywords
from savs.pipeline.names import READOUT_NAMES
from savs.pipeline.running.formatting import counted, percent

if TYPE_CHECKING:
    from savs.pipeline.classifying.training import Trained

SHOWN = 5
"""Doubtful labels that are printed."""
EXAMPLES = (
    'savs train photos --question "Which animal is this?" --model demo --out pets',
    "savs train photos.csv --question 'Is it asleep?' --shots 20 --model demo --out asleep",
    "savs train pets",
)


@expand_options
def train_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IMAGES|STORE",
            help="Folder of class folders, a table with image and label, or a store to train on"
            " again.",
        ),
    ],
    inputs: TrainKeywords,
    running: GpuKeywords,
    model: Annotated[
        str | None,
        option(metavar="ID", help="Model: a Hugging Face id, a local folder, or demo."),
    ] = None,
    out: Annotated[
        str | None,
        option(
            metavar="STORE",
            help="Folder of features and classifier (default: photos-savs for photos).",
        ),
    ] = None,
    readout: Annotated[
        str | None,
        option(
            "--readout",
            metavar="NAME",
            help=f"{', '.join(READOUT_NAMES)}, or a Python file (default: the best of vote,"
            " posterior and lda by cross-validation).",
        ),
    ] = None,
    heads: HeadsOption = None,
    allow_removed: Annotated[
        bool,
        option(help="Train although a class, or more than half of the images, is gone since."),
    ] = False,
    max_skip: MaxSkipOption = 0,
    json: JsonOption = False,
) -> None:
    """Extracts features, selects heads, chooses a readout and estimates the accuracy.

    Images in a folder `unlabelled` next to the class folders wait for a label. Run it again after
    images or labels came, moved or went: the folder says what is trained on. For further settings
    use `savs extract`, then `savs train STORE`.
    """
    done = savs.train(
        source,
        out=out,
        model=model,
        readout=readout,
        heads=heads,
        allow_removed=allow_removed,
        reporting=REPORTING,
        **inputs,
        **running,
    )
    for note in done.notes:
        say(f"note: {note}")
    if json:
        print_json(_summary(done))
    else:
        _print(done)
    _print_next(done)
    tell_skipped_examples(done.store, done.skipped, max_skip, option="")


def _summary(done: "Trained") -> dict[str, object]:
    return {
        "store": str(done.store.path),
        "classifier": str(done.folder),
        "readout": done.selection.readout,
        "readouts": done.accuracies,
        "examples": {split: len(done.store.ids(split)) for split in done.store.splits},
        "expected": done.expected.to_json() if done.left_out or done.tested else None,
        "suspects": done.suspects.to_dicts(),
        "skipped": [{"split": s, "id": i, "reason": r} for s, i, r in done.skipped],
        "notes": list(done.notes),
    }


def _print(done: "Trained") -> None:
    from savs.pipeline.evaluation.tables import suspects_table

    if done.accuracies:
        tried = ", ".join(f"{name} {percent(value)}" for name, value in done.accuracies.items())
        say(f"readout: {done.selection.readout}, the best when examples are left out ({tried})")
    if done.left_out or done.tested:
        print_evaluation(done.expected)
    if done.suspects.height:
        print_tables([suspects_table(done.suspects.head(SHOWN), done.selection.target)])


def _print_next(done: "Trained") -> None:
    from savs.pipeline.evaluation.suspects import SUSPECTS
    from savs.pipeline.names import IMPORTED
    from savs.stores.format.layout import UNLABELLED

    store, waiting = done.store.path, len(done.store.ids(UNLABELLED))
    say(f"wrote {done.folder}")
    if done.selection.model.get("class") == IMPORTED:  # no model computes its features here
        say("next: savs import NEW.npy --out NEW")
        say("      " + command("savs", "evaluate", "NEW", "--selection", done.folder))
    else:
        say("next: " + command("savs", "classify", store, "NEW"))
    if waiting:
        suggest = command("savs", "suggest", store, "--out", "next.html")
        say(f"      {suggest}  ({counted(waiting, 'example')} to label)")
    if done.suspects.height:
        label = command("savs", "label", store, done.folder / SUSPECTS)
        count = counted(done.suspects.height, "doubtful label")
        say(f"      {label}  (after you correct the {count} in it)")
