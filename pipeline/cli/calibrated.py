"""A selection with its calibration and cross-validated accuracy, where the examples allow it."""

from typing import TYPE_CHECKING

from savs import pipeline
from savs.pipeline.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savs.pipeline import Evaluation, Selection
    from savs.pipeline.evaluation.statistics.intervals import Metric
    from savs.stores import FeatureStore


def calibrated(
    store: "FeatureStore", selection: "Selection", *, is_needed: bool = False
) -> "tuple[Selection, Evaluation | None]":
    """Return a selection with its calibration, and the cross-validation that this comes from.

    Where the examples are too few, a note says so: the selection is returned as it is, and None;
    if it `is_needed`, SelectionError.
    """
    from savs.pipeline.errors import SelectionError

    try:
        found = pipeline.calibrate(store, selection)
    except SelectionError as error:
        if is_needed:
            raise
        say(f"note: no cross-validated accuracy: {error}")
        say("note: so the probabilities are not calibrated either")
        return selection, None
    return found.selection, found.estimate


def estimates_of(selection: "Selection", crossed: "Evaluation") -> "Mapping[str | None, Metric]":
    """Return the cross-validated accuracy of each subtask."""
    names = {metric.name: metric for metric in crossed.metrics}
    subtasks = [task.subtask for task in selection.tasks]
    if len(subtasks) == 1:
        return {subtasks[0]: names["accuracy"]}
    return {subtask: names[f"accuracy, {subtask}"] for subtask in subtasks}
