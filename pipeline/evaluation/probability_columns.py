"""Columns that say how far a prediction can be trusted: how sure it is, and how typical."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.calibration import least_examples, require_risk
from savs.pipeline.selection.readouts import ClassScores
from savs.pipeline.selection.selection import Selection, TaskSelection


def with_probability(
    examples: pl.DataFrame, task: TaskSelection, found: ClassScores, risk: float | None
) -> pl.DataFrame:
    """Return predicted examples with `probability` and, for a risk, `prediction_set` and `unsure`.

    Without a calibration the probability is the prediction's share of the scores, see `shares`.
    """
    if task.calibration is None:
        return examples.with_columns(probability=shares(found))
    table = task.calibration.probabilities(found)
    chosen = table[np.arange(len(table)), found.choice]
    examples = examples.with_columns(probability=pl.Series(chosen, dtype=pl.Float32))
    if risk is None:
        return examples
    inside = task.calibration.sets(table, risk)
    return examples.with_columns(
        prediction_set=_named(task.classes, inside), unsure=pl.Series(inside.sum(axis=1) != 1)
    )


def with_typicality(
    examples: pl.DataFrame, task: TaskSelection, found: ClassScores, features: Array
) -> pl.DataFrame:
    """Return predicted examples with `typicality` and `atypical`; unchanged without a calibration.

    `atypical` is an example that is less like any class than 99 % of left-out training examples.

    Parameters
    ----------
    examples
        The examples of a task.
    task
        That task.
    found
        Their scores.
    features
        `(heads, n, d)` that the scores are of.
    """
    known = task.calibration
    if known is None:
        return examples
    typical = pl.Series(known.typicality(features, task.fitted, found), dtype=pl.Float32)
    return examples.with_columns(typicality=typical, atypical=typical < known.typical)


def _named(classes: Sequence[str], inside: Array) -> pl.Series:
    """Return `(n, classes)` flags as lists of classes."""
    rows, columns = np.nonzero(inside)
    names = pl.Series(list(classes), dtype=pl.String)[columns]
    flat = pl.DataFrame({"row": rows, "name": names}, schema={"row": pl.Int64, "name": pl.String})
    lists = flat.group_by("row", maintain_order=True).agg("name")
    whole = pl.DataFrame({"row": np.arange(len(inside))}, schema={"row": pl.Int64})
    joined = whole.join(lists, on="row", how="left", maintain_order="left")
    return joined["name"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def shares(found: ClassScores) -> pl.Series:
    """Return each choice's share of the scores of all classes.

    Null where a score is negative or all are 0, as a user's readout may have it.

    Examples
    --------
    >>> votes = np.float32([[15, 5], [0, 20], [-1, 2]])
    >>> shares(ClassScores(votes, np.array([0, 1, 1]), votes)).to_list()
    [0.75, 1.0, None]
    """
    total = found.scores.sum(axis=1)
    chosen = found.scores[np.arange(len(total)), found.choice]
    is_share = (found.scores >= 0).all(axis=1) & (total > 0)
    values = np.where(is_share, chosen / np.where(total > 0, total, 1), np.nan)
    return pl.Series(values.astype(np.float32)).fill_nan(None)


def risk_notes(selection: Selection, risk: float | None) -> list[str]:
    """Return a note for each task that can answer nothing at a risk.

    Raises
    ------
    ParameterError
        The risk is not between 0 and 1.
    SelectionError
        A task has no calibration.
    """
    if risk is None:
        return []
    require_risk(risk)
    notes, least = [], least_examples(risk)
    for task in selection.tasks:
        where = of_subtask(task.subtask)
        if task.calibration is None:
            raise SelectionError(
                f"the selection{where} has no calibration, which --risk needs: it was made with"
                " --no-cv, of too few examples, or by a readout with negative scores; run"
                " `savs select` again"
            )
        if task.examples < least:
            notes.append(
                f"with {task.examples} training examples{where} every prediction is unsure at risk"
                f" {risk:g}: at least {least} are needed"
            )
    return notes
