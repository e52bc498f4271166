"""Training examples whose label a classifier of the others contradicts: look at these first."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.label_kinds import MANY, NUMBERS
from savs.datasets.many_labels import UNKNOWN, label_table, with_label
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.foundation.files import regular_size
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.running.output_files import with_media_cells
from savs.pipeline.running.result_files import (
    CONFIG,
    LARGEST_JSON,
    SELECT,
    reading,
    withdraw,
    write_csv,
)
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_config import selection_run
from savs.pipeline.targets.label_rules import NEVER, rules_of, threshold_distances
from savs.stores.read.store import AnyStore

STRONG = 0.2
"""Strength from which an example is a suspect; docs/labels.md says what that finds."""
SUSPECTS = "suspects.csv"
"""The file of suspects, next to the selection."""
SUSPECT_SCHEMA = {
    "subtask": pl.String,
    "id": pl.String,
    "media": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "margin": pl.Float64,
    "strength": pl.Float64,
    "run": pl.String,
}
"""Its columns; the names of several media are a JSON list, `run` is that of the selection."""
FOUND = {
    name: pl.List(pl.String) if name == "media" else kind
    for name, kind in SUSPECT_SCHEMA.items()
    if name != "run"
}
"""Columns of what `suspects` returns."""


def suspects(
    store: AnyStore, selection: Selection, evaluation: Evaluation | None = None
) -> pl.DataFrame:
    """Return the training examples whose left-out prediction strongly disagrees with their label.

    Parameters
    ----------
    store
        The store that the selection was made from.
    selection
        The classifier; it is fitted again on parts of the training examples.
    evaluation
        What `evaluate` on folds says of the two, if it is known already.

    Returns
    -------
    DataFrame
        Columns `subtask`, `id`, `media` (names), `label`, `prediction`; `margin`, the score of the
        prediction minus that of the label; and `strength`, the share of the rightly predicted
        examples of the subtask whose margin is not larger. Strongest first; equal ones by margin,
        then in the order of the training file. Of many labels, `subtask` is one that is there and
        should not be, or the other way round; `prediction` has all labels of the example, with this
        one changed, and `margin` is how far its logit is from that of the threshold.

    Raises
    ------
    SelectionError
        As `evaluate` on folds.
    """
    if selection.labels in NUMBERS:
        raise ParameterError("suspects are labels of another class, and these labels are numbers")
    evaluation = evaluate(store, selection, on="folds") if evaluation is None else evaluation
    if selection.labels == MANY:
        tables = [*_of_labels(selection, evaluation.predictions)]
    else:
        parts = evaluation.predictions.group_by("subtask", maintain_order=True)
        tables = [_of_subtask(part) for _, part in parts]
    return (
        pl.concat(tables)
        .filter(pl.col("strength") >= STRONG)
        .sort("strength", "margin", descending=True, maintain_order=True)
    )


def _of_subtask(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the wrongly predicted examples of a subtask, with margin and strength."""
    right = predictions.filter("correct")["margin"].to_numpy()
    wrong = predictions.filter(~pl.col("correct"))
    margins = np.array([_lead(row) for row in wrong.iter_rows(named=True)], np.float32)
    return wrong.with_columns(margin=margins, strength=strengths(margins, right)).select(
        list(FOUND)
    )


def _of_labels(selection: Selection, predictions: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield for each label the examples where it is wrongly predicted, as `_of_subtask` does."""
    names = [str(task.subtask) for task in selection.tasks]
    states = label_table(predictions["label"], names).states
    predicted = label_table(predictions["prediction"], names).states
    shares = np.array(predictions["probabilities"].to_list(), np.float64)
    rules = [task.label_rule for task in selection.tasks]
    distances = threshold_distances(shares, np.array([rule.threshold for rule in rules_of(rules)]))
    for number, rule in enumerate(rules):
        if rule is None or rule.threshold == NEVER:
            yield pl.DataFrame(schema=FOUND)  # nothing was left out, or nothing is predicted
            continue
        margins = distances[:, number]
        is_right = states[number] == predicted[number]
        wrong = np.flatnonzero(~is_right & (states[number] != UNKNOWN))
        rows = predictions[wrong]
        changed = [
            with_label(text, names[number], is_there=bool(there))
            for text, there in zip(rows["label"], predicted[number, wrong], strict=True)
        ]
        yield (
            rows.with_columns(
                subtask=pl.lit(names[number]),
                prediction=pl.Series(changed, dtype=pl.String),
                margin=margins[wrong],
                strength=strengths(margins[wrong], margins[is_right]),
            )
            .select(list(FOUND))
            .cast(pl.Schema(FOUND))
        )


def _lead(row: Mapping[str, Any]) -> float:
    """Return the score of the prediction minus that of the label, or of the last that is kept."""
    scores = {vote["class"]: vote["score"] for vote in row["votes"]}
    return scores[row["prediction"]] - scores.get(row["label"], row["votes"][-1]["score"])


def strengths(margins: Array, right: Array) -> Array:
    """Return for each margin the share of the `right` ones that are not larger; 0 without any.

    Examples
    --------
    >>> strengths(np.float32([3, 0]), np.float32([1, 2, 3, 4])).tolist()
    [0.75, 0.0]
    """
    return np.searchsorted(np.sort(right), margins, side="right") / max(len(right), 1)


def save_suspects(table: pl.DataFrame | None, folder: Path) -> None:
    """Write what `suspects` found, next to the selection, into the folder of a `writing` block.

    None removes the suspects of an earlier selection.

    Raises
    ------
    ResultError
        The folder holds no selection.
    StoreWriteError
        The folder cannot be written.
    """
    if table is None:
        withdraw(folder / SUSPECTS)
        return
    run = pl.lit(selection_run(folder), pl.String)
    write_csv(folder / SUSPECTS, with_media_cells(table).with_columns(run=run))


def load_suspects(folder: Path) -> pl.DataFrame | None:
    """Return the suspects next to a selection, columns `SUSPECT_SCHEMA`; None if there is no file.

    Raises
    ------
    ResultError
        It is not as `savs select --suspects` wrote it, or belongs to another selection.
    """
    path = folder / SUSPECTS
    if not path.exists():
        return None
    with reading(path, f"{SELECT} --suspects"):
        if regular_size(path) > LARGEST_JSON:
            raise ValueError(f"it has more than {LARGEST_JSON:,} bytes, the limit")
        table = pl.read_csv(path.read_bytes(), infer_schema=False)
        if table.columns != list(SUSPECT_SCHEMA):
            raise ValueError(f"its columns are {table.columns}, expected {list(SUSPECT_SCHEMA)}")
        expected = selection_run(folder)
        if other := next((run for run in table["run"] if run != expected), None):
            raise ValueError(f"its run is {other}, expected {expected} as in {CONFIG}")
        return table.cast(pl.Schema(SUSPECT_SCHEMA))
