"""Stage 2, `evaluate`: a store and a method -> predictions and metrics.

A method becomes a `Predictor`: heads that were selected (here), the model's own answers
(`own_answer`) or captions (`captions`). `assess` measures what it predicts; `cross_validation`
measures folds.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from savs.datasets import Benchmark
from savs.datasets.label_kinds import MANY, NUMBERS, ONE, label_kind
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation, assess, partial_notes
from savs.pipeline.evaluation.captions import MatchedCaptions
from savs.pipeline.evaluation.cost import selection_cost
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.own_answer import OwnAnswers
from savs.pipeline.evaluation.predictions import (
    Predictor,
    TaskScores,
    as_wrong,
    predicted_by_tasks,
    risk_notes,
)
from savs.pipeline.heads.folds import FOLDS
from savs.pipeline.inputs.plugins import stored_benchmark
from savs.pipeline.names import OWN_ANSWERS
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.left_out import calibrate, leave_out
from savs.pipeline.selection.selection import Selection, TaskSelection, default_heads, select
from savs.pipeline.selection.selection_config import (
    KINDS,
    is_of_store,
    pseudo_labels_note,
    require_same_prompt,
)
from savs.pipeline.selection.training_data import head_widths
from savs.stores import FeatureStore, Head, StoreIncompleteError
from savs.stores.format.layout import CAPTIONS, THUMBNAIL_COLUMN
from savs.stores.read.gathering import Block
from savs.stores.read.store import AnyStore, as_store

BLOCK = 2**23
"""Features and scores that several small shards may have together: 32 MB of each."""


def evaluate(
    store: AnyStore,
    method: Selection | str | None = None,
    *,
    on: Literal["test", "folds"] = "test",
    folds: int | Literal["loo"] = FOLDS,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
    allow_other_prompt: bool = False,
    risk: float | None = None,
) -> Evaluation:
    """Classify examples by any method, and measure how well, from what the store keeps alone.

    Memory holds the chosen heads of one shard at a time, or of several small ones, and predictions
    as Parquet, see `Evaluation.table`. A skipped test example counts as wrong, and so does one
    whose label training never had; both are reported.

    Parameters
    ----------
    store
        Features of a complete extraction, or of a running one, opened with `partial`.
    method
        A selection, made by `select`; by default `select(store)`, and a note says so. Or, by name,
        what needs no selection: an answer of the model itself (`zero-shot`, `zero-shot-mean`,
        `icl`, `generated`; see `OwnAnswers`), or `captions` of a dual encoder's store, see
        `MatchedCaptions`.
    on
        The test examples; or `folds` of the training examples, each classified by a selection that
        is made again from the other folds. Examples that share an image or a group stay in one
        fold. Heads that were taken from elsewhere (`heads_from`) are only fitted again.
    folds
        How many, at least 2; fewer where a class has fewer examples. `loo`: as many as there are
        independent examples, so that each is classified by a selection of all others.
    benchmark
        The store's: needed where it is in a Python file of your own (its path) or an object. Folds
        are measured by accuracy alone.
    drop_leaks
        Leave out test examples that training has seen, with their whole groups.
    allow_other_prompt
        Note where test examples have another prompt than a selection's training examples in
        another store. In the same store that is always noted only.
    risk
        Also make prediction sets that lack the truth at most this often, see `Calibration.sets`;
        without a selection, one is calibrated.

    Raises
    ------
    StoreIncompleteError
        A planned shard is missing.
    SelectionError
        The selection belongs to another model or prompt, or lacks a subtask of the test split,
        or a calibration for the risk. Of folds also: there are fewer than two; the selection is of
        other training examples than the store has now, or of some of its subtasks; a class has one
        example, or all its examples share an image or a group, or too few are left of it to score
        heads by another scoring than `resubstitution`.
    ResultError
        The store keeps no such answers of the model.
    ParameterError
        The risk is not between 0 and 1, or the method is unknown or makes no such predictions.
    BenchmarkNotFoundError
        The store's benchmark is one of your own, and was not given, or another one was.
    LeakError
        All test examples would be left out.
    """
    store = as_store(store)
    _require_possible(method, on, risk)
    kind = label_kind(store.manifest.identity.benchmark)
    if kind != ONE and (isinstance(method, str) or risk is not None):
        what = f"`method` {method!r}" if isinstance(method, str) else "`risk`"
        raise ParameterError(
            f"{what} is for examples with one class, and these have {KINDS[kind]}; omit it"
        )
    if on == "folds" and not isinstance(method, str):
        selection = _default_selection(store) if method is None else method
        require_fit(selection, store.manifest, store.path)
        return assess_left_out(store, selection, leave_out(store, selection, folds))
    store.require_split("test")
    store.require_complete()
    if kind == MANY and not isinstance(method, str):
        # one label needs none of this at start-up
        from savs.pipeline.evaluation.many_labels import evaluate_labels

        return evaluate_labels(
            store,
            calibrate(store, _default_selection(store)).selection if method is None else method,
            drop_leaks=drop_leaks,
            allow_other_prompt=allow_other_prompt,
        )
    measuring = stored_benchmark(store, benchmark)
    predictor: Predictor
    if method == CAPTIONS:
        predictor = MatchedCaptions(store, measuring)
    elif isinstance(method, str):
        predictor = OwnAnswers(store, method)
    else:
        predictor = SelectedHeads(store, method, allow_other_prompt=allow_other_prompt, risk=risk)
    return assess(store, predictor, measuring, drop_leaks=drop_leaks, risk=risk)


def _require_possible(method: Selection | str | None, on: str, risk: float | None) -> None:
    names = (*OWN_ANSWERS, CAPTIONS)
    if isinstance(method, str) and method not in names:
        raise ParameterError(
            f"`method` is {method!r}, expected a selection or one of {', '.join(names)}"
        )
    if on not in ("test", "folds"):
        raise ParameterError(f"`on` is {on!r}, expected 'test' or 'folds'")
    if isinstance(method, str) and on == "folds":
        raise ParameterError(f"folds need heads to select: {method} classifies test examples")
    if risk is not None and (isinstance(method, str) or on == "folds"):
        what = "folds" if on == "folds" else method
        raise ParameterError(f"a risk needs a calibrated selection on test examples, not {what}")


def _default_selection(store: FeatureStore) -> Selection:
    return select(store, heads=default_heads(store.heads))


class SelectedHeads:
    """A selection as a `Predictor` of the test examples, shard by shard."""

    def __init__(
        self,
        store: FeatureStore,
        selection: Selection | None,
        *,
        allow_other_prompt: bool = False,
        risk: float | None = None,
        is_compared: bool = False,
    ) -> None:
        """Check that the selection can classify these examples; without one, make a default one.

        `is_compared` says that `classify` has compared model and prompts, which allows more.
        """
        self._notes: list[str] = []
        if selection is None:
            selection = _default_selection(store)
            if risk is not None or selection.labels in NUMBERS:
                selection = calibrate(store, selection).selection
            self._notes.append(
                "no selection was given: the default one was made"
                f" ({len(selection.tasks[0].heads)} heads, readout {selection.readout})"
            )
        if not is_compared:
            self._notes += require_fit(selection, store.manifest, store.path)
        self._notes += pseudo_labels_note(selection)
        self._is_allowed = is_compared or is_of_store(selection, store) or allow_other_prompt
        if not self._is_allowed:
            require_same_prompt(selection, store.examples("test"), is_allowed=False)
        self._risk_notes = risk_notes(selection, risk)
        self._store, self.selection, self._risk = store, selection, risk
        self.rule = selection.readout
        self.classes = {task.subtask: task.classes for task in selection.tasks}
        self._tasks = {task.subtask: task for task in selection.tasks}
        heads = selection.heads
        self._index = {head: number for number, head in enumerate(heads)}
        self._widths = dict(zip(heads, head_widths(store, heads), strict=True))
        self._without_task: dict[str | None, None] = {}

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield the test examples of one shard, or of several that are small.

        Their rows and features come from one opening of each file.
        """
        store, heads = self._store, [*self._index]
        most_classes, predicted_rows = max(map(len, self.classes.values())), 0
        width = len(heads) * max(self._widths[head] for head in heads)
        for block in store.blocks("test", heads, rows=BLOCK // max(most_classes, width)):
            parts = [as_wrong(block.skipped, self.classes), *self._classified(block)]
            predicted_rows += sum(part.height for part in parts[1:])
            # Skipped rows have no place in the block, so an index orders both. Indices begin anew
            # where examples were appended: `packed_predictions` puts the whole table into order.
            by = "row" if block.skipped.is_empty() and len(parts) > 1 else "index"
            yield pl.concat(parts, how="diagonal_relaxed").sort(by)
        if self._without_task and not predicted_rows:
            raise StoreIncompleteError(
                f"{store.path}: the training examples of the extracted test examples are still"
                " missing; wait for `savs extract`, or run it again to resume"
            )

    def _classified(self, block: Block) -> Iterator[pl.DataFrame]:
        """Yield the examples of a block with their predictions, subtask by subtask."""
        rows = block.examples.drop(THUMBNAIL_COLUMN, strict=False).with_row_index("row")
        parts: list[TaskScores] = []
        of_subtasks = rows.group_by("subtask", maintain_order=True).agg("row")
        for name, places in zip(of_subtasks["subtask"], of_subtasks["row"], strict=True):
            task = self._tasks.get(name)
            if task is None and self._store.partial:
                self._without_task[name] = None
                continue
            if task is None:
                raise SelectionError(
                    f"the selection has no subtask {name!r}, which the test split has; it has"
                    f" {sorted(map(str, self._tasks))}: run `savs select` again"
                )
            of_task = places.to_numpy()
            features = task_features(block.features, self._index, self._widths, task, of_task)
            if task.number is not None:
                from savs.pipeline.evaluation.numbers import with_numbers

                scores, reach = task.fitted.scores(features), task.number.reach
                yield with_numbers(rows[of_task], task.number, scores, reach)
                continue
            parts.append(TaskScores.of(task, of_task, features))
        yield from predicted_by_tasks(rows, parts, self._risk)

    def notes(self, table: pl.LazyFrame) -> list[str]:
        """Return what is missing, older or under another prompt than in training."""
        answered = table.filter(pl.col("prediction").is_not_null())
        allowed = self._is_allowed
        other_prompts = require_same_prompt(self.selection, answered, is_allowed=allowed)
        absent = [
            f"partial: subtask {subtask!r} is left out, its training examples are not extracted yet"
            for subtask in self._without_task
        ]
        notes = partial_notes(self._store) + self._notes + other_prompts
        return notes + self._risk_notes + absent

    def cost(self) -> dict[str, Any]:
        """Return what the model ran for the test examples, and for the training ones used."""
        return selection_cost(self._store, self.selection)


def task_features(
    features: Array,
    index: Mapping[Head, int],
    widths: Mapping[Head, int],
    task: TaskSelection,
    rows: Array,
) -> Array:
    """Return `(task heads, rows, d)`, as wide as the task's own widest head.

    `index` is the place of each head in the `(heads, rows, d)` features.
    """
    chosen = np.array([index[head] for head in task.heads])
    return features[chosen[:, None], rows, : max(widths[head] for head in task.heads)]
