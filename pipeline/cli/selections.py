"""The selection that a command uses, as its arguments name it, or a new one."""

from typing import TYPE_CHECKING

import savs
from savs.foundation.errors import command
from savs.pipeline.cli.output import detail, say
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.evaluation.results import Result
    from savs.pipeline.readouts import Readout
    from savs.pipeline.selection.selection import Selection
    from savs.stores import FeatureStore


def find_selection(
    store: "FeatureStore", rule: "Readout", saved: "Result | None", *, is_named: bool
) -> "Selection":
    """Return the selection of a result, by default that of the readout, or a new one.

    SelectionError if one that was not named belongs to other training examples than the store's.
    """
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.evaluation.results import TRAINED, Results
    from savs.pipeline.readouts import BUILT_IN
    from savs.pipeline.selection.compatibility import is_of_store
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
