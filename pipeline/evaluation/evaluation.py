"""Stage 2, `evaluate`: stored features and a selection -> predictions and metrics."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from savs.datasets import Benchmark
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation, assess, partial_notes
from savs.pipeline.evaluation.calibrate import calibrate
from savs.pipeline.evaluation.cost import selection_cost
from savs.pipeline.evaluation.predictions import (
    as_wrong,
    in_file_order,
    packed,
    predicted,
    risk_notes,
    with_probability,
    with_typicality,
)
from savs.pipeline.inputs.plugins import stored_benchmark
from savs.pipeline.selection.compatibility import require_same_model, require_same_prompt
from savs.pipeline.selection.heads.training_set import head_widths
from savs.pipeline.selection.older import is_of_store, older_note
from savs.pipeline.selection.selection import Selection, TaskSelection, default_heads, select
from savs.stores import FeatureStore, Head, StoreIncompleteError
from savs.stores.format.layout import THUMBNAIL_COLUMN
from savs.stores.read.store import require_store

BLOCK = 2**23
"""Features and scores that several small shards may have together: 32 MB of each."""


def evaluate(
    store: FeatureStore,
    selection: Selection | None = None,
    *,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
    allow_other_prompt: bool = False,
    risk: float | None = None,
) -> Evaluation:
    """Classify the test examples and measure how well, from stored features alone.

    Memory holds the chosen heads of one shard at a time, or of several small ones, and predictions
    as Parquet, see `Evaluation.table`. A skipped test example counts as wrong, and so does one
    whose label training never had; both are reported.

    Parameters
    ----------
    store
        Features of a complete extraction, or of a running one, opened with `partial`.
    selection
        Made by `select`; by default `select(store)`, and a note says so.
    benchmark
        The store's: needed where it is in a Python file of your own (its path) or an object.
    drop_leaks
        Leave out test examples that training has seen, with their whole groups.
    allow_other_prompt
        Note where test examples have another prompt than a selection's training examples in
        another store. In the same store that is always noted only.
    risk
        Also make prediction sets that lack the truth at most this often, see `prediction_sets`;
        without a selection, one is calibrated.

    Raises
    ------
    StoreIncompleteError
        A planned shard is missing.
    SelectionError
        The selection is of another model or another prompt, or lacks a subtask of the test split,
        or a calibration for the risk.
    ParameterError
        The risk is not between 0 and 1.
    BenchmarkNotFoundError
        The store's benchmark is one of your own, and was not given, or another one was.
    LeakError
        All test examples would be left out.
    """
    require_store(store)
    store.require_split("test")
    store.require_complete()
    measuring = stored_benchmark(store, benchmark)
    notes = []
    if selection is None:
        selection = select(store, heads=default_heads(store.heads))
        if risk is not None:
            selection = calibrate(store, selection).selection
        notes.append(
            f"no selection was given: the default one was made ({len(selection.tasks[0].heads)}"
            f" heads, readout {selection.readout})"
        )
    return score(
        *(store, selection, measuring, notes),
        drop_leaks=drop_leaks,
        allow_other_prompt=allow_other_prompt,
        risk=risk,
    )


def score(
    store: FeatureStore,
    selection: Selection,
    benchmark: Benchmark,
    notes: Sequence[str] = (),
    *,
    drop_leaks: bool = False,
    allow_other_prompt: bool = False,
    risk: float | None = None,
) -> Evaluation:
    """Evaluate a selection on a store that was checked, with the store's benchmark."""
    require_same_model(store, selection)
    older = older_note(selection, store.manifest)
    is_allowed = is_of_store(selection, store) or allow_other_prompt
    if not is_allowed:
        require_same_prompt(selection, store.examples("test"), is_allowed=False)
    unable = risk_notes(selection, risk)
    whole, left_out = predict(store, selection, risk)
    answered = whole.filter(pl.col("prediction").is_not_null())
    other_prompts = require_same_prompt(selection, answered, is_allowed=is_allowed)
    classes = {task.subtask: task.classes for task in selection.tasks}
    notes = [*partial_notes(store), *notes, *older, *other_prompts, *unable] + [
        f"partial: subtask {subtask!r} is left out, its training examples are not extracted yet"
        for subtask in left_out
    ]
    return assess(
        *(store, whole, classes, selection, notes, benchmark),
        cost=selection_cost(store, selection),
        drop_leaks=drop_leaks,
        risk=risk,
    )


def predict(
    store: FeatureStore, selection: Selection, risk: float | None
) -> tuple[pl.LazyFrame, list[str | None]]:
    """Return all test examples with their predictions, and subtasks that cannot be predicted yet.

    Memory holds the chosen heads of one shard, or of several that are small; its rows and features
    come from one opening, and its predictions are packed before the next is read.
    """
    tasks = {task.subtask: task for task in selection.tasks}
    heads, parts, left_out = selection.heads, [], {}
    classes = max(len(task.classes) for task in selection.tasks)
    most = BLOCK // max(classes, len(heads) * max(head_widths(store, heads)))
    for block in store.blocks("test", heads, rows=most):
        rows = block.examples.drop(THUMBNAIL_COLUMN, strict=False).with_row_index("row")
        made = [as_wrong(block.skipped, tasks)]
        for (name,), part in rows.group_by("subtask", maintain_order=True):
            subtask = None if name is None else str(name)
            task = tasks.get(subtask)
            if task is None and store.partial:
                left_out[subtask] = None
                continue
            if task is None:
                raise SelectionError(
                    f"the selection has no subtask {subtask!r}, which the test split has; it has"
                    f" {sorted(map(str, tasks))}: run `savs select` again"
                )
            features = task_features(store, block.features, heads, task, part["row"].to_numpy())
            found = task.fitted.scores(features)
            sure = with_probability(predicted(part, task.classes, found), task, found, risk)
            made.append(with_typicality(sure, task, found, features))
        # indices begin anew where examples were appended: `in_file_order` mends what comes of it
        by = "row" if block.skipped.is_empty() and len(made) > 1 else "index"
        parts.append(packed(pl.concat(made, how="diagonal_relaxed").sort(by)))
    whole = in_file_order(store, pl.concat(parts, how="diagonal_relaxed"))
    if left_out and not whole.select(pl.col("prediction").count()).collect().item():
        raise StoreIncompleteError(
            f"{store.path}: the training examples of the extracted test examples are still missing;"
            " wait for `savs extract`, or run it again to resume"
        )
    return whole, list(left_out)


def task_features(
    store: FeatureStore, features: Array, heads: list[Head], task: TaskSelection, rows: Array
) -> Array:
    """Return `(task heads, rows, d)`, as wide as the task's own widest head."""
    chosen = np.array([heads.index(head) for head in task.heads])
    return features[chosen[:, None], rows, : max(head_widths(store, task.heads))]
