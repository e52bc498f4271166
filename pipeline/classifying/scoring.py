"""Features of new images -> predictions, shard by shard; an engine writes here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.classifying.kept_heads import KeptHeads
from savs.pipeline.evaluation.predictions import VOTES, predicted, with_probability, with_typicality
from savs.pipeline.extraction.model.loaded_model import Read
from savs.pipeline.extraction.sinks import Recalled
from savs.pipeline.selection.selection import Selection, TaskSelection
from savs.stores import LayerGrid, ShardContent, ShardSpec
from savs.stores.format.layout import to_float32

CLASSIFIED_SCHEMA = {
    "id": pl.String,
    "media": pl.List(pl.String),
    "subtask": pl.String,
    "prompt": pl.String,
    "prediction": pl.String,
    "probability": pl.Float32,
    "margin": pl.Float32,
    "votes": VOTES,
    "prediction_set": pl.List(pl.String),
    "unsure": pl.Boolean,
    "typicality": pl.Float32,
    "atypical": pl.Boolean,
    "reason": pl.String,
}
"""Columns of the predictions of new images; `subtask` is left out where the classifier has none.

`prediction_set` and `unsure` need a risk; `probability`, `typicality` and `atypical` are those of
the calibration. Without one, `probability` is the share of the scores, see `shares`. A skipped
example has a `reason` and no prediction."""


def schema_of(selection: Selection) -> dict[str, pl.DataType]:
    """Return the columns of a classifier's predictions."""
    has_subtasks = any(task.subtask is not None for task in selection.tasks)
    return {
        name: kind
        for name, kind in pl.Schema(CLASSIFIED_SCHEMA).items()
        if has_subtasks or name != "subtask"
    }


@dataclass(frozen=True, slots=True)
class ScoredShards:
    """Takes the place of a store's shards: features come in, predictions go out."""

    selection: Selection
    grid: Sequence[LayerGrid]
    dtype: str
    kept: KeptHeads
    take: Callable[[int, pl.DataFrame], None]
    """Is given the number and the predictions of each shard, in the order of its input."""
    risk: float | None = None
    """Of prediction sets; None for none."""

    def write(self, spec: ShardSpec, content: ShardContent) -> object:
        """Predict the rows of a shard."""
        self.kept.keep(spec, content.layers)
        found = _table(content.examples).with_row_index("row")
        parts = [_table(content.skipped)]
        for task in self.selection.tasks:
            own = found.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask)))
            if own.height:
                features = self._features(content.layers, task, own["row"].to_numpy())
                parts.append(self._classified(own, task, features))
        rows = pl.concat(parts, how="diagonal_relaxed").sort("index")
        schema = schema_of(self.selection)
        self.take(
            spec.number,
            rows.select(
                (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
                for name, kind in schema.items()
            ),
        )
        return None

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> Recalled:
        """Return the chosen heads of rows of an earlier shard."""
        return Recalled(Read(self.kept.read(spec, rows)), [None] * len(rows))

    def _classified(
        self, examples: pl.DataFrame, task: TaskSelection, features: Array
    ) -> pl.DataFrame:
        """Return examples of a task with all that is said of them."""
        found = task.fitted.scores(features)
        rows = predicted(examples.with_columns(label=pl.lit(None, pl.String)), task.classes, found)
        rows = with_probability(rows, task, found, self.risk)
        return with_typicality(rows, task, found, features)

    def _features(self, layers: Mapping[int, Array], task: TaskSelection, rows: Array) -> Array:
        """Return `(task heads, rows, d)` float32, narrow heads padded with zeros."""
        places = {grid.layer: grid.heads for grid in self.grid}
        width = max(layers[layer].shape[2] for layer, _ in task.heads)
        features = np.zeros((len(task.heads), len(rows), width), np.float32)
        for number, (layer, head) in enumerate(task.heads):
            values = layers[layer][places[layer].index(head)][rows]
            features[number, :, : values.shape[1]] = to_float32(values, self.dtype)
        return features


def _table(columns: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """Return the columns that predictions have of their examples."""
    schema = {"index": pl.Int64, "id": pl.String, "subtask": pl.String, "prompt": pl.String}
    schema |= {"media": pl.List(pl.String), "reason": pl.String}
    return pl.DataFrame(
        {name: columns[name] for name in schema if name in columns},
        schema={name: kind for name, kind in schema.items() if name in columns},
    )
