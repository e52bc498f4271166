"""The training examples of a store, subtask by subtask."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.stores import FeatureStore, Head
from savs.stores.format.layout import CLASSES, digest

NO_EXAMPLES = "no training examples"
"""Instead of a digest, of a store without any."""


def head_widths(store: FeatureStore, heads: Sequence[Head]) -> list[int]:
    """Return the width of each head; `FeatureStore.features` pads narrow heads with zeros."""
    store.require_heads(heads)
    widths = {(grid.layer, head): grid.head_dim for grid in store.grid for head in grid.heads}
    return [widths[head] for head in heads]


_WITHOUT = " without "


def train_digest(store: FeatureStore) -> str:
    """Return the digest of the training examples that have features."""
    store.require_split("train")
    planned = "+".join(s.digest for s in store.manifest.plan.splits["train"].segments)
    skipped = store.skipped("train")["id"].to_list()
    return f"{planned}{_WITHOUT}{digest(skipped)}" if skipped else planned or NO_EXAMPLES


def planned_digests(train: str) -> list[str]:
    """Return the digest of each segment of training examples that a `train_digest` is of."""
    return train.partition(_WITHOUT)[0].split("+")


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """The training examples of one subtask."""

    subtask: str | None
    classes: tuple[str, ...]
    rows: Array
    """`(n,)` rows of the train split."""
    labels: Array
    """`(n,)` class numbers."""
    question: str | None
    """The prompt of all of them; None where they have several."""
    media: int | None
    """Media of each of their prompts; None where that differs."""

    def part(self, kept: Array) -> "TrainingTask":
        """Return the task with some of its examples: `(n,)` flags, or indices."""
        return replace(self, rows=self.rows[kept], labels=self.labels[kept])


def training_tasks(store: FeatureStore) -> list[TrainingTask]:
    """Return the training examples by subtask, classes in order of first appearance.

    Raises
    ------
    SelectionError
        There are none, a class has no usable example, or a subtask has one class only.
    """
    if _has_names_alone(store):
        raise SelectionError(
            f"{store.path} has no training examples, only the names of its classes; add some with"
            " savs extract --append --train FILE, or use `savs select --readout clip` or hec-t"
        )
    if "train" in store.manifest.plan.splits and not store.manifest.plan.splits["train"].ids:
        raise SelectionError(
            f"{store.path} has no training examples: `savs classify` made it, by the heads of a"
            " classifier; select from the store of that one"
        )
    usable = store.examples("train").with_row_index("row")
    planned = store.in_order("train", pl.concat([usable, store.skipped("train")], how="diagonal"))
    tasks = []
    for (subtask,), part in planned.group_by("subtask", maintain_order=True):
        name = None if subtask is None else str(subtask)
        classes = tuple(part["label"].unique(maintain_order=True))
        kept = part.filter(pl.col("row").is_not_null())
        _check_classes(name, classes, set(kept["label"]))
        numbers = {label: number for number, label in enumerate(classes)}
        labels = np.array([numbers[label] for label in kept["label"]])
        tasks.append(
            TrainingTask(
                *(name, classes, kept["row"].to_numpy(), labels),
                question=_only(kept["prompt"]),
                media=_only(kept["media"].list.len()),
            )
        )
    return tasks


def _has_names_alone(store: FeatureStore) -> bool:
    splits = store.manifest.plan.splits
    return "train" in splits and not splits["train"].ids and CLASSES in splits


def named_tasks(store: FeatureStore) -> list[TrainingTask]:
    """Return the training examples by subtask; without any, the classes that have texts.

    Errors as in `training_tasks`.
    """
    if not _has_names_alone(store):
        return training_tasks(store)
    tasks = []
    test = store.examples("test")
    for (subtask,), part in store.examples(CLASSES).group_by("subtask", maintain_order=True):
        name = None if subtask is None else str(subtask)
        own = test.filter(pl.col("subtask").eq_missing(pl.lit(name)))
        classes = tuple(part["label"].unique(maintain_order=True))
        _check_classes(name, classes, set(classes))
        nothing = np.zeros(0, np.int64)
        only = _only(own["prompt"]), _only(own["media"].list.len())
        tasks.append(TrainingTask(name, classes, nothing, nothing, *only))
    return tasks


def _only(values: pl.Series) -> Any:
    """Return the value that all are; None where they differ."""
    return values[0] if values.n_unique() == 1 else None


def _check_classes(subtask: str | None, classes: tuple[str, ...], usable: set[str]) -> None:
    where = of_subtask(subtask)
    for label in classes:
        if label not in usable:
            raise SelectionError(
                f"class {label!r}{where} has no training example left: all of them were skipped"
                " at extraction; `savs show` prints the reasons"
            )
    if len(classes) < 2:
        raise SelectionError(
            f"the training examples{where} have one class only, {next(iter(classes))!r};"
            " a classifier needs at least two: add examples of another class"
        )
