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
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import (
    Evaluation,
    Predictor,
    as_wrong,
    assess,
    partial_notes,
)
from savs.pipeline.evaluation.captions import MatchedCaptions
from savs.pipeline.evaluation.cost import selection_cost
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.own_answer import OwnAnswers
from savs.pipeline.heads.folds import FOLDS
from savs.pipeline.inputs.chosen_benchmark import stored_benchmark
from savs.pipeline.selection.compatibility import (
    is_of_store,
    pseudo_labels_note,
    require_fit,
    require_same_prompt,
)
from savs.pipeline.selection.left_out import leave_out
from savs.pipeline.selection.selection import Selection
from savs.pipeline.targets import target_of
from savs.pipeline.targets.tasks import Run, ScoredRows
from savs.stores import FeatureStore, Head, StoreIncompleteError
from savs.stores.format.layout import CAPTIONS, THUMBNAIL_COLUMN
from savs.stores.read.gathering import Block
from savs.stores.read.store import AnyStore, as_store

BLOCK = 2**23
"""Features and scores that several small shards may have together: 32 MB of each."""


def evaluate_method(
    store: AnyStore,
    method: Selection | str,
    *,
    on: Literal["test", "folds"] = "test",
    folds: int | Literal["loo"] = FOLDS,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
    allow_other_prompt: bool = False,
    risk: float | None = None,
) -> Evaluation:
    """Classify examples by a method, and measure how well; folds need a selection.

    Parameters and errors are those of `savs.evaluate`, which also finds and saves results.
    """
    store = as_store(store)
    if isinstance(method, Selection):
        store = method.seen(store)
    target = target_of(store.benchmark)
    if isinstance(method, str):
        target.require("the model's own answer", store.path)
    if risk is not None:
        target.require("a risk", store.path)
    if on == "folds":
        assert isinstance(method, Selection)
        require_fit(method, store.manifest, store.path)
        return assess_left_out(store, method, leave_out(store, method, folds))
    store.require_split("test")
    store.require_complete()
    measuring = stored_benchmark(store, benchmark)
    predictor: Predictor
    if method == CAPTIONS:
        predictor = MatchedCaptions(store, measuring)
    elif isinstance(method, str):
        predictor = OwnAnswers(store, method)
    else:
        predictor = SelectedHeads(store, method, allow_other_prompt=allow_other_prompt, risk=risk)
    return assess(store, predictor, measuring, drop_leaks=drop_leaks, risk=risk)


class SelectedHeads:
    """A selection as a `Predictor` of the test examples, shard by shard."""

    def __init__(
        self,
        store: FeatureStore,
        selection: Selection,
        *,
        allow_other_prompt: bool = False,
        risk: float | None = None,
        is_compared: bool = False,
    ) -> None:
        """Check that the selection can classify these examples.

        `is_compared` says that `classify` has compared model and prompts, which allows more.
        """
        self._notes: list[str] = []
        store = selection.seen(store)
        if not is_compared:
            self._notes += require_fit(selection, store.manifest, store.path)
        self._notes += pseudo_labels_note(selection)
        self._is_allowed = is_compared or is_of_store(selection, store) or allow_other_prompt
        if not self._is_allowed:
            require_same_prompt(selection, store.examples("test"), is_allowed=False)
        self.target, self.rule = selection.target, selection.readout
        self._risk_notes = self.target.risk_notes(selection, risk)
        self._store, self.selection, self._risk = store, selection, risk
        self.classes = {task.subtask: task.classes for task in selection.run_tasks}
        heads = selection.heads
        self._index = {head: number for number, head in enumerate(heads)}
        store.require_heads(heads)
        self._runs = {run.subtask: run for run in selection.runs()}
        self._without_task: dict[str | None, None] = {}

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield the test examples of one shard, or of several that are small.

        Their rows and features come from one opening of each file.
        """
        store, heads = self._store, [*self._index]
        runs, predicted_rows = self._runs.values(), 0
        most_classes = max(len(run.classes) for run in runs)
        width = len(heads) * max(run.width for run in runs)
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
        parts: list[ScoredRows] = []
        of_subtasks = rows.group_by("subtask", maintain_order=True).agg("row")
        for name, places in zip(of_subtasks["subtask"], of_subtasks["row"], strict=True):
            run = self._runs.get(name)
            if run is None and self._store.partial:
                self._without_task[name] = None
                continue
            if run is None:
                raise SelectionError(
                    f"the selection has no subtask {name!r}, which the test split has; it has"
                    f" {sorted(map(str, self._runs))}: run `savs select` again"
                )
            of_run = places.to_numpy()
            features = run_features(block.features, self._index, run, of_run)
            parts.append(ScoredRows(run, of_run, run.score(features)))
        yield from self.target.columns(rows, parts, self._risk)

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
        notes += self.target.notes(self.selection)
        return notes + self._risk_notes + absent

    def cost(self) -> dict[str, Any]:
        """Return what the model ran for the test examples, and for the training ones used."""
        return selection_cost(self._store, self.selection)


def run_features(features: Array, index: Mapping[Head, int], run: Run, rows: Array) -> Array:
    """Return `(heads of the run, rows, d)`, as wide as the widest of these heads.

    `index` is the place of each head in the `(heads, rows, d)` features.
    """
    chosen = np.array([index[head] for head in run.heads])
    return features[chosen[:, None], rows, : run.width]
