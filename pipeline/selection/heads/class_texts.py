"""What a store has of the names of classes: the features of texts, by class and head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.centroids import normalise
from savs.pipeline.selection.heads.training_set import TrainingTask
from savs.stores import FeatureStore, Head
from savs.stores.format.layout import (
    CAPTIONS,
    CLASSES,
    LOGIT_SCALE,
    TEXTS_OF_BENCHMARK,
    TEXTS_OF_FILE,
    TEXTS_OF_NAMES,
    TEXTS_OF_PROMPTS,
)

TEXTS = (TEXTS_OF_FILE, TEXTS_OF_BENCHMARK, TEXTS_OF_PROMPTS)
"""Which texts put classes into words: the first of these kinds that a store has."""
NAMES = (TEXTS_OF_NAMES,)
"""Names alone."""


@dataclass(frozen=True, slots=True)
class ClassTexts:
    """The texts of a subtask's classes in some heads."""

    directions: Array
    """`(heads, classes, d)` float32: of each class the normalised mean of its normalised texts."""
    scale: float | None
    """What a dual encoder multiplies cosines by; None for another model."""


def text_arguments(
    store: FeatureStore, kinds: Sequence[str], task: TrainingTask, heads: Sequence[Head]
) -> dict[str, Any]:
    """Return `texts`, the class texts of one of some kinds; nothing where no kind is wanted."""
    return {"texts": class_texts(store, kinds, task, heads)} if kinds else {}


def class_texts(
    store: FeatureStore, kinds: Sequence[str], task: TrainingTask, heads: Sequence[Head]
) -> ClassTexts:
    """Read the texts of a task's classes.

    Raises
    ------
    SelectionError
        The store has no texts, none of these kinds, or not of each class.
    """
    rows = _rows(store, kinds, task.subtask)
    units = normalise(store.features(CLASSES, heads)).astype(np.float64)
    means = []
    for label in task.classes:
        own = rows.filter(label=label)["row"].to_numpy()
        if not len(own):
            raise SelectionError(
                f"{store.path} has no text of class {label!r}{of_subtask(task.subtask)} of"
                f" the kind {rows['category'][0]}; extract again with --classes, and look at the"
                " skipped texts in `savs show`, or import it with the others"
            )
        means.append(units[:, own].mean(axis=1))
    directions = normalise(np.stack(means, axis=1).astype(np.float32))
    return ClassTexts(directions, store.manifest.identity.model.get(LOGIT_SCALE))


def count_texts(
    store: FeatureStore, kinds: Sequence[str], subtask: str | None, classes: Sequence[str]
) -> int | None:
    """Return how many texts `class_texts` reads of a subtask's classes; None without any."""
    try:
        rows = _rows(store, kinds, subtask)
    except SelectionError:
        return None
    return rows.filter(pl.col("label").is_in(list(classes))).height


def _rows(store: FeatureStore, kinds: Sequence[str], subtask: str | None) -> pl.DataFrame:
    """Return the texts of a subtask, of the first kind that the store has, with their `row`."""
    where, splits = of_subtask(subtask), store.manifest.plan.splits
    rows = store.examples(CLASSES) if CLASSES in splits else None
    if rows is not None:
        rows = rows.with_row_index("row")
        rows = rows.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
    if rows is None or rows.is_empty():
        remedy = (
            "its prompts are captions, which `savs evaluate --readout clip` compares with"
            if CAPTIONS in splits
            else "extract with --classes labels"
        )
        raise SelectionError(
            f"{store.path} has no texts of the classes{where}, which this readout needs; {remedy}"
        )
    found = rows["category"].unique().to_list()
    kind = next((kind for kind in kinds if kind in found), None)
    if kind is None:
        raise SelectionError(
            f"{store.path} has no texts of the classes{where} of the kind that this readout needs"
            f" ({' or '.join(kinds)}), only {', '.join(sorted(map(str, found)))}; use another"
            " readout, or extract with a dual encoder"
        )
    return rows.filter(category=kind)
