"""A selection with its calibration and cross-validated accuracy, where the examples allow it."""

from typing import TYPE_CHECKING

from savs import pipeline
from savs.pipeline.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savs.pipeline import Selection
    from savs.pipeline.statistics.intervals import Metric
    from savs.stores import FeatureStore


def calibrated(
    store: "FeatureStore", selection: "Selection"
) -> "tuple[Selection, Mapping[str | None, Metric] | None]":
    """Return a selection with its calibration, and the cross-validated accuracy of each subtask.

    Where the examples are too few, a note says so: the selection is returned as it is, and None.
    """
    from savs.pipeline.errors import SelectionError

    try:
        found = pipeline.calibrate(store, selection)
    except SelectionError as error:
        say(f"note: no cross-validated accuracy: {error}")
        say("note: so the probabilities are not calibrated either")
        return selection, None
    names = {metric.name: metric for metric in found.estimate.metrics}
    subtasks = [task.subtask for task in selection.tasks]
    if len(subtasks) == 1:
        return found.selection, {subtasks[0]: names["accuracy"]}
    return found.selection, {subtask: names[f"accuracy, {subtask}"] for subtask in subtasks}
