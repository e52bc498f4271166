"""The selection, the heads and the classifiers that a command uses, as its arguments name them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import savs
from savs.foundation.errors import ParameterError, command
from savs.foundation.network import HUB
from savs.pipeline.cli.output import detail, say
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.evaluation.results import Result
    from savs.pipeline.readouts import Readout
    from savs.pipeline.selection.selection import Selection
    from savs.pipeline.statistics.intervals import Metric
    from savs.stores import FeatureStore, Head

CHOSEN, ALL = "chosen", "all"


def find_selection(
    store: "FeatureStore", rule: "Readout", saved: "Result | None", *, is_named: bool
) -> "Selection":
    """Return the selection of a result, by default that of the readout, or a new one.

    SelectionError if one that was not named belongs to other training examples than the store's.
    """
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.evaluation.results import TRAINED, Results
    from savs.pipeline.readouts import BUILT_IN
    from savs.pipeline.selection.selection_config import is_of_store
    from savs.stores.files.addresses import is_remote

    readout = None if rule in BUILT_IN.values() else rule  # a built-in one is found by its name
    if saved is not None and (is_named or saved.name == TRAINED):
        return saved.selection(readout)
    saved = saved or Results(store.path).place(rule.name)
    if is_remote(store.path) or store.missing("train") or not saved.is_selected:
        selection = savs.select(store, readout=rule)
        say(f"no selection yet: selected {counted(len(selection.tasks[0].heads), 'head')}")
        return calibrated(store, selection)[0]
    selection = saved.selection(readout)
    is_classified = not store.ids("train")  # `classify` saved its classifier there
    if not (is_classified or is_of_store(selection, store)):
        file = selection.readout_file
        raise SelectionError(
            f"{saved.folder} holds a selection of other training examples than the store's; run "
            + command(
                "savs", "select", store.path, "--readout", file.name if file else selection.readout
            )
        )
    detail(f"using {saved.folder}")
    return selection


def calibrated(
    store: "FeatureStore", selection: "Selection", *, is_needed: bool = False
) -> "tuple[Selection, Evaluation | None]":
    """Return a selection with its calibration, and the cross-validation that this comes from.

    Where the examples are too few, a note says so: the selection is returned as it is, and None;
    if it `is_needed`, SelectionError.
    """
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.evaluation.cross_validation import assess_left_out

    try:
        calibration = savs.calibrate(store, selection)
    except SelectionError as error:
        if is_needed:
            raise
        say(f"note: no cross-validated accuracy: {error}")
        say("note: so the probabilities are not calibrated either")
        return selection, None
    left_out = calibration.left_out
    return calibration.selection, assess_left_out(store, calibration.selection, left_out)


def estimates_of(selection: "Selection", crossed: "Evaluation") -> "Mapping[str | None, Metric]":
    """Return the cross-validated accuracy of each subtask, or average precision of each label.

    Of numbers it is the mean absolute error.
    """
    from savs.pipeline.statistics.intervals import Metric

    if crossed.per_label is not None:
        clusters = max((metric.clusters for metric in crossed.metrics), default=0)
        return {
            row["label"]: Metric(
                name="average precision",
                value=row["average_precision"],
                low=row["low"],
                high=row["high"],
                chance=row["chance"],
                majority=None,
                units=row["n"],
                clusters=clusters,
            )
            for row in crossed.per_label.drop_nulls("average_precision").iter_rows(named=True)
        }
    names = {metric.name: metric for metric in crossed.metrics}
    subtasks = [task.subtask for task in selection.tasks]
    if len(subtasks) == 1:
        return {subtasks[0]: crossed.metrics[0] if selection.tasks[0].number else names["accuracy"]}
    return {subtask: names[f"accuracy, {subtask}"] for subtask in subtasks}


def find_heads(store: "FeatureStore", choice: str, selection: str | None) -> "Sequence[Head]":
    """Return the heads of a choice; a usage error for anything else."""
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.selection.compatibility import require_fit
    from savs.pipeline.selection.selection import parse_heads
    from savs.pipeline.selection.selection_config import SelectionConfig, load_config

    if choice == ALL:
        return store.heads
    try:
        wanted = (
            load_config(Results(store.path).find(selection).folder)
            if choice == CHOSEN
            else parse_heads(choice)
        )
    except SelectionError:  # it has other words for what heads can be
        wanted = None
    if not isinstance(wanted, tuple | SelectionConfig):
        raise typer.BadParameter(
            f"`heads` is {choice!r}, expected chosen, all, a list such as L12.H7,L13.H0, or the"
            " folder of a selection"
        )
    if isinstance(wanted, SelectionConfig):
        require_fit(wanted, store.manifest, store.path)
    heads = wanted if isinstance(wanted, tuple) else wanted.heads
    store.require_heads(heads)
    return [head for head in store.heads if head in heads] if choice == CHOSEN else list(heads)


def name_classifiers(texts: Sequence[str]) -> dict[str, str | Path]:
    """Return name -> folder of classifiers given as `NAME=FOLDER`, or as folders.

    `hf://owner/name` stays as it is. A folder that exists may have `=` in its name. Without a name,
    the folder's own is used. ParameterError if two have one name.
    """
    classifiers: dict[str, str | Path] = {}
    for text in texts:
        name, mark, folder = text.partition("=")
        if not mark or Path(text).exists():
            name, folder = Path(text).absolute().name, text
        path = folder if folder.startswith(HUB) else Path(folder)
        if name in classifiers:
            raise ParameterError(
                f"two classifiers are called {name!r}: {classifiers[name]} and {path}; pass"
                " --also NAME=FOLDER"
            )
        classifiers[name] = path
    return classifiers
