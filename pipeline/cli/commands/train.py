"""`savs train`: from labelled images to a classifier in one command."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from savs.foundation.errors import ParameterError, command
from savs.pipeline.cli.command import GPUS, Command, Options
from savs.pipeline.cli.commands.evaluate import words_of
from savs.pipeline.cli.output import REPORTING, Shown, skipped_examples
from savs.pipeline.cluster.node import NONE
from savs.pipeline.extraction.model.model_options import EngineKeywords
from savs.pipeline.extraction.run_options import GpuKeywords
from savs.pipeline.inputs.input_options import TrainKeywords
from savs.pipeline.running.formatting import counted, percent

if TYPE_CHECKING:
    from savs.pipeline.classifying.training import Trained

SHOWN = 5
"""Doubtful labels that are printed."""


def prepare(options: Options) -> Options:
    """Let a process on each GPU extract its share first, if asked for; such a process ends here."""
    arguments, source, gpus = dict(options), options["source"], options["gpus"]
    if gpus == NONE:
        return arguments
    from savs.pipeline.classifying.training import (
        asked_of,
        default_store,
        extract_share,
        is_store,
    )
    from savs.pipeline.cli.node_run import PART, train_on_node

    if is_store(source):
        raise ParameterError(f"`gpus` is for images, and {source} is a store; omit it")
    arguments["out"] = options["out"] or default_store(source)
    if gpus == PART:
        names = {*options} - {"readout", "heads", "max_skip", "json", "gpus"}
        extract_share(**{name: arguments[name] for name in names}, reporting=REPORTING)
        raise typer.Exit
    asked_of(options["readout"], options["heads"], {})
    train_on_node(gpus, Path(str(arguments["out"])))
    return arguments


def show(done: "Trained", options: Options) -> Shown:
    """Word the readout, the accuracy to expect, doubtful labels, and what comes next."""
    from savs.pipeline.evaluation.tables import suspects_table

    data, counts = [], []
    if done.left_out or done.tested:
        data, counts = words_of(done.expected)
    if done.suspects.height:
        data.append(suspects_table(done.suspects.head(SHOWN), done.selection.target))
    skipped, code = skipped_examples(done.store, done.skipped, options["max_skip"], option="")
    return Shown(
        facts=_facts(done),
        data=data,
        messages=[
            *(f"note: {note}" for note in done.notes),
            *([_choice(done)] if done.accuracies and not options["json"] else []),
            *([] if options["json"] else counts),
            *_next(done),
            *skipped,
        ],
        exit_code=code,
    )


def _choice(done: "Trained") -> str:
    """Return what was tried on left-out examples, and what is used."""
    known, used = done.accuracies, done.selection.readout
    if "answers" not in known:
        tried = ", ".join(f"{name} {percent(value)}" for name, value in known.items())
        return f"readout: {used}, the best when examples are left out ({tried})"
    names = {"answers": "own answers", "answers-fitted": "fitted to labels", "answers-lda": "both"}
    tried = ", ".join(
        f"{names.get(name, 'heads')}: {percent(value)} %" for name, value in known.items()
    )
    return f"the model's {tried} (of left-out examples); using {names.get(used, 'heads')}"


def _facts(done: "Trained") -> dict[str, object]:
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


def _next(done: "Trained") -> list[str]:
    from savs.pipeline.evaluation.suspects import SUSPECTS
    from savs.pipeline.names import IMPORTED
    from savs.stores.format.layout import UNLABELLED

    store, waiting = done.store.path, len(done.store.ids(UNLABELLED))
    lines = [f"wrote {done.folder}"]
    if done.selection.model.get("class") == IMPORTED:  # no model computes its features here
        name = str(done.selection.model["name"])
        new = command("savs", "import", "NEW.npy", "--model", name, "--out", "NEW")
        lines += [f"next: {new}", "      " + command("savs", "classify", store, "NEW")]
    else:
        lines.append("next: " + command("savs", "classify", store, "NEW"))
    if waiting:
        suggest = command("savs", "suggest", store, "--out", "next.html")
        lines.append(f"      {suggest}  ({counted(waiting, 'example')} to label)")
    if done.suspects.height:
        label = command("savs", "label", store, done.folder / SUSPECTS)
        count = counted(done.suspects.height, "doubtful label")
        lines.append(f"      {label}  (after you correct the {count} in it)")
    return lines


COMMAND = Command(
    function="savs.pipeline.classifying.training:train",
    about="Extracts features, selects heads, chooses a readout and estimates the accuracy.\n\n"
    "Images in a folder `unlabelled` next to the class folders wait for a label. Run it again after"
    " images or labels came, moved or went: the folder says what is trained on. For further"
    " settings use `savs extract`, then `savs train STORE`.",
    examples=(
        'savs train photos --question "Which animal is this?" --model demo --out pets',
        "savs train photos.csv --question 'Is it asleep?' --shots 20 --model demo --out asleep",
        "savs train pets",
    ),
    kinds=(TrainKeywords, GpuKeywords, EngineKeywords),
    own={"gpus": GPUS},
    allows=("removed", "skips"),
    prepare=prepare,
    show=show,
)
