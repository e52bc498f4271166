"""Predictions: what makes them, and how they are packed.

A `Predictor` yields blocks of examples with their predictions, one row an example. Each block is
packed as it comes, so that memory never holds a whole table of votes.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from savs.pipeline.heads.centroids import row_blocks
from savs.pipeline.selection.selection import Selection
from savs.pipeline.targets import Target
from savs.pipeline.targets.target import packed
from savs.stores import FeatureStore

SLICE = 2**14
"""Predictions that are packed at a time when they are put into order."""


class Predictor(Protocol):
    """A method that classifies the test examples from what a store keeps of them.

    Heads that were selected, the model's own answers and captions are predictors; `evaluate` runs
    any of them.
    """

    @property
    def rule(self) -> str:
        """Name of what makes the predictions, e.g. that of the readout."""
        ...

    @property
    def selection(self) -> Selection | None:
        """The heads and their fits; None if none were selected."""
        ...

    @property
    def target(self) -> Target:
        """What labels are."""
        ...

    @property
    def classes(self) -> Mapping[str | None, Sequence[str]]:
        """The classes of each subtask."""
        ...

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield examples with predictions (`Target.columns`), and skipped ones (`as_wrong`)."""
        ...

    def notes(self, table: pl.LazyFrame) -> list[str]:
        """Return what limits the predictions, once all of them are packed in a table."""
        ...

    def cost(self) -> dict[str, Any]:
        """Return what the model ran for the predictions, see `evaluation.cost`."""
        ...


def packed_predictions(store: FeatureStore, predictor: Predictor) -> pl.LazyFrame:
    """Return all predictions in the order of the input file, packed block by block."""
    # A block's votes take far more memory as lists than packed. `map` packs each and lets it go
    # before the next is made; a comprehension would hold a block for longer.
    blocks = map(packed, predictor.predictions())
    table = pl.concat(blocks, how="diagonal_relaxed")
    # Shards hold rows in another order where examples that share an image lie together (`order` of
    # the plan), or where others were appended. Memory then holds the whole table while it is packed
    # anew, once, so that no query has to sort it.
    places = store.places("test", table.select("id").collect())
    if places.is_sorted():
        return table
    rows, order = table.collect(), places.arg_sort()
    return pl.concat(packed(rows[order[some]]) for some in row_blocks(rows.height, 1, SLICE))


def as_wrong(skipped: pl.DataFrame, subtasks: Container[str | None]) -> pl.DataFrame:
    """Return the skipped examples of some subtasks as rows of predictions."""
    rows = skipped.filter([subtask in subtasks for subtask in skipped["subtask"]])
    return rows.with_columns(correct=pl.lit(False), prediction=pl.lit(None, pl.String))


def with_skipped(
    store: FeatureStore, parts: Sequence[pl.DataFrame], skipped: pl.DataFrame
) -> pl.DataFrame:
    """Return the predictions of all tasks, and the skipped examples, in the store's order."""
    return store.in_order("test", pl.concat([*parts, skipped], how="diagonal_relaxed"))
