"""Training examples whose label a classifier of the others contradicts: look at these first."""

from pathlib import Path

import polars as pl

from savs.foundation.files import regular_size
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.evaluation import evaluate_method
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
from savs.stores.read.store import AnyStore

STRONG = 0.2
"""Strength from which an example is a suspect; docs/guide/labels.md says what that finds."""
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

    `evaluation` is what `evaluate` on folds says of store and selection, if it is known already.
    Columns `subtask`, `id`, `media` (names), `label`, `prediction`; `margin`, the score of the
    prediction minus that of the label; and `strength`, the share of the rightly predicted examples
    of the subtask whose margin is not larger. Strongest first; equal ones by margin, then in the
    order of the training file. Of many labels and of numbers see `Target.contradicted`.
    SelectionError as `evaluate` on folds.
    """
    selection.target.require("a list of suspects", "the selection")
    evaluation = evaluate_method(store, selection, on="folds") if evaluation is None else evaluation
    contradicted = selection.target.contradicted(selection, evaluation.predictions)
    tables = [table.select(list(FOUND)) for table in contradicted]
    if not tables:
        return pl.DataFrame(schema=FOUND)
    return (
        pl.concat(tables)
        .filter(pl.col("strength") >= STRONG)
        .sort("strength", "margin", descending=True, maintain_order=True)
    )


def save_suspects(table: pl.DataFrame | None, folder: Path) -> None:
    """Write what `suspects` found, next to the selection, into the folder of a `writing` block.

    None removes the suspects of an earlier selection. ResultError if the folder holds no selection.
    """
    if table is None:
        withdraw(folder / SUSPECTS)
        return
    run = pl.lit(selection_run(folder), pl.String)
    write_csv(folder / SUSPECTS, with_media_cells(table).with_columns(run=run))


def load_suspects(folder: Path) -> pl.DataFrame | None:
    """Return the suspects next to a selection, columns `SUSPECT_SCHEMA`; None if there is no file.

    ResultError if it is not as `savs select --suspects` wrote it, or belongs to another selection.
    """
    path = folder / SUSPECTS
    if not path.exists():
        return None
    with reading(path, f"{SELECT} --suspects"):
        regular_size(path, LARGEST_JSON)
        table = pl.read_csv(path.read_bytes(), infer_schema=False)
        if table.columns != list(SUSPECT_SCHEMA):
            raise ValueError(f"its columns are {table.columns}, expected {list(SUSPECT_SCHEMA)}")
        expected = selection_run(folder)
        if other := next((run for run in table["run"] if run != expected), None):
            raise ValueError(f"its run is {other}, expected {expected} as in {CONFIG}")
        return table.cast(pl.Schema(SUSPECT_SCHEMA))
