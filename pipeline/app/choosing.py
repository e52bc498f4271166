"""Heads that are chosen again, from the labels that the store has by now."""

from dataclasses import dataclass

from savs.pipeline.app.workspace import Workspace
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.cross_validation import assess_left_out, change_since
from savs.pipeline.evaluation.evaluation_file import replace_evaluation
from savs.pipeline.evaluation.suspects import save_suspects, suspects
from savs.pipeline.running.formatting import of_shares
from savs.pipeline.selection.compatibility import is_older
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.selection import choose_heads, choose_heads_like
from savs.pipeline.selection.selection_file import copy_selection, write_selection
from savs.pipeline.selection.training_data import train_digest
from savs.pipeline.statistics.paired_tests import Difference


@dataclass(frozen=True, slots=True)
class Expected:
    """The accuracy to expect of a classifier, with its interval."""

    labels: int
    """Training examples that it was made from."""
    trained_on: str
    """The share of them that each measured classifier was made from."""
    value: float
    low: float
    high: float
    scale: str = "share"
    """That of the metric, see `Units`."""
    change: Difference | None = None
    """Since the classifier before it, on the examples that both were measured on."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came of choosing heads."""

    expected: Expected | None = None
    problem: str = ""
    evaluation: Evaluation | None = None
    """What was measured, to compare the next one with."""


def is_due(workspace: Workspace) -> bool:
    """Return whether there is no classifier, or examples or labels came since it was made."""
    if not workspace.result.is_selected:
        return True
    return is_older(workspace.selection(), workspace.store().manifest)


def choose_again(workspace: Workspace, last: Evaluation | None = None) -> Chosen:
    """Choose heads, fit and calibrate as `savs select --suspects` does, and save the classifier.

    The readout, the scoring and the number of heads are those of the classifier that is there. A
    classifier that was made from the labels as they are is only measured. The cross-validation of
    an earlier one is replaced. `last` is the evaluation that the accuracy is compared with.

    SelectionError or StoreError if the examples are too few, or cannot be read, or the classifier
    cannot be written.
    """
    store = workspace.store()
    selection = before = workspace.selection() if workspace.result.is_selected else None
    is_new = before is None or before.train != train_digest(store)
    if selection is None or is_new:
        selection = choose_heads(store) if before is None else choose_heads_like(store, before)
    evaluation, doubtful, expected, problem = None, None, None, ""
    try:
        calibrated = calibrate(store, selection)
        selection = calibrated.selection if is_new else selection
        evaluation = assess_left_out(store, selection, calibrated.left_out)
        doubtful = suspects(store, selection, evaluation)
    except SelectionError as error:
        problem = f"No {workspace.metric()} is known yet: {error}"
    if evaluation is not None and evaluation.train_shares is not None:
        metric, shares = evaluation.metrics[0], of_shares(*evaluation.train_shares)
        if metric.low is not None and metric.high is not None:
            ends = metric.low, metric.high
            change = None if last is None else change_since(store, last, evaluation)
            expected = Expected(
                selection.examples, shares, metric.value, *ends, metric.scale, change
            )
    with workspace.result.writing() as new:
        if is_new:
            write_selection(selection, new)
        else:
            copy_selection(workspace.folder, new)
        save_suspects(doubtful, new)
    if is_new:
        with workspace.result.of_folds.writing() as new:
            replace_evaluation(evaluation, new)
    return Chosen(expected, problem, evaluation)
