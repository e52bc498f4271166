"""The examples that several stores share: features of several models, of the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import content_of, with_skipped
from savs.pipeline.evaluation.same_examples import (
    EXAMPLE_COLUMNS,
    as_examples,
    example_differences,
    joined_clusters,
)
from savs.pipeline.evaluation.sweep.passes import swept_examples
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask
from savs.stores import FeatureStore

Stores = Mapping[str, FeatureStore]
"""Short name -> store."""


def hold_same_test(stores: Sequence[FeatureStore]) -> tuple[bool, str]:
    """Return whether stores hold the same test examples, and how two differ that do not.

    The same have equal ids, labels, groups, subtasks, categories and media, in the same order.
    SelectionError if some of the stores do, and others do not.
    """
    tables = [_compared(store, "test") for store in stores]
    differences = [example_differences(table, tables[0]) for table in tables]
    if not any(differences):
        return True, ""
    odd = next(number for number, lines in enumerate(differences) if lines)
    where = f"{stores[odd].path} and {stores[0].path}: {differences[odd][0]}"
    for number, table in enumerate(tables):
        for other in range(number):
            if not example_differences(table, tables[other]):
                raise SelectionError(
                    f"{stores[number].path} and {stores[other].path} hold the same test examples,"
                    f" but not all stores do ({where}); sweep each data set by itself"
                )
    return False, where


def _compared(store: FeatureStore, split: str) -> pl.DataFrame:
    examples = store.examples(split)
    parts = [examples, store.skipped(split)]
    whole = store.in_order(split, pl.concat(parts, how="diagonal"))
    return whole.select(*EXAMPLE_COLUMNS, content=content_of(whole))


@dataclass(frozen=True, slots=True)
class SharedTest:
    """The test examples of stores that hold the same ones."""

    ids: tuple[str, ...]
    clusters: pl.Series
    """Cluster of each example: examples share one if they do in any store."""
    examples: pl.DataFrame
    """Those with a label, if some have one; columns `IDENTITY_SCHEMA`."""

    @classmethod
    def of(cls, stores: Stores) -> "SharedTest":
        """Read them; all stores have them in the same order."""
        whole = []
        for store in stores.values():
            examples, skipped = (
                part.with_columns(is_skipped=is_skipped)
                for part, is_skipped in zip(swept_examples(store), (False, True), strict=True)
            )
            whole.append(with_skipped(store, [examples], skipped))
        clusters = joined_clusters([table["cluster"] for table in whole])
        first = whole[0].with_columns(clusters, content=content_of(whole[0]))
        shown = as_examples(first, pl.col("is_skipped"))
        labelled = shown.filter(pl.col("label").is_not_null())
        return cls(tuple(whole[0]["id"]), clusters, labelled if labelled.height else shown)

    def in_order(self, predictions: pl.DataFrame) -> pl.DataFrame:
        """Return predictions in the order of the examples, with their clusters."""
        places = {name: place for place, name in enumerate(predictions["id"])}
        rows = predictions[[places[name] for name in self.ids]]
        return rows.with_columns(cluster=self.clusters)


def shared_tasks(stores: Stores) -> tuple[dict[str, list[TrainingTask]], int]:
    """Return the training examples that all stores have, in one order, of each store.

    So an index means the same example in every store. Classes and examples are in the order of the
    first store. The tasks are by name of the store, with the number of examples that some lack.
    SelectionError if an example has another label, subtask or other media in another store, or a
    class has no example that all stores have.
    """
    tables = {name: _trained(store) for name, store in stores.items()}
    first, *others = stores
    shared = set(tables[first]["id"])
    for name in others:
        _require_same(tables[first], tables[name], stores[first], stores[name])
        shared &= set(tables[name]["id"])
    ids = tables[first]["id"].to_list()
    rows_of = {n: dict(table.select("id", "row").iter_rows()) for n, table in tables.items()}
    tasks: dict[str, list[TrainingTask]] = {name: [] for name in stores}
    for task in StoredTraining(stores[first]).tasks():
        part = task.part(np.array([ids[row] in shared for row in task.rows], dtype=bool))
        _require_classes(part, stores)
        for name in stores:
            rows = np.array([rows_of[name][ids[row]] for row in part.rows])
            tasks[name].append(replace(part, rows=rows))
    return tasks, len(set().union(*(table["id"] for table in tables.values())) - shared)


def _trained(store: FeatureStore) -> pl.DataFrame:
    """Return the training examples that have features."""
    store.require_split("train")
    rows = store.examples("train").with_row_index("row")
    return rows.select("row", "id", "label", "subtask", content=content_of(rows))


def _require_same(
    ours: pl.DataFrame, theirs: pl.DataFrame, first: FeatureStore, other: FeatureStore
) -> None:
    both = ours.join(theirs, on="id", maintain_order="left")
    for column in ("label", "subtask", "content"):
        here, there = pl.col(column), pl.col(f"{column}_right")
        differs = (
            (here != there).fill_null(False) if column == "content" else here.ne_missing(there)
        )
        apart = both.filter(differs)
        if apart.height:
            name, what = apart["id"][0], "media" if column == "content" else column
            raise SelectionError(
                f"training example {name!r} has another {what} in {first.path} than in"
                f" {other.path}; stores of the same examples are needed"
            )


def _require_classes(task: TrainingTask, stores: Stores) -> None:
    counts = np.bincount(task.strata, minlength=len(task.classes))
    if not counts.all():
        label = task.classes[int(np.argmin(counts))]
        where = of_subtask(task.subtask)
        raise SelectionError(
            f"class {label!r}{where} has no training example that all stores have"
            f" ({', '.join(str(store.path) for store in stores.values())}); extract all from one"
            " file"
        )
