"""`evaluate --cv`: the accuracy to expect of a selection, from the training examples alone."""

from collections.abc import Sequence
from typing import Literal

import polars as pl

from savs.datasets.benchmarks.options import prompt_accuracies, stored_prompts
from savs.datasets.metrics.metrics import (
    Classes,
    Units,
    accuracy,
    balanced_accuracy,
    subtask_accuracies,
)
from savs.datasets.splits.clusters import clusters_of
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.left_out import LeftOut, leave_out
from savs.pipeline.evaluation.predictions import in_schema
from savs.pipeline.evaluation.statistics.intervals import summarise
from savs.pipeline.selection.heads.folds import FOLDS
from savs.pipeline.selection.selection import Selection
from savs.stores import FeatureStore


def cross_validate(
    store: FeatureStore, selection: Selection, folds: int | Literal["loo"] = FOLDS
) -> Evaluation:
    """Estimate a selection's accuracy by selecting again on parts of its training examples.

    Examples that share an image or a group stay in one part. Heads that were taken from elsewhere
    (`heads_from`) are only fitted again. What is estimated is a classifier of the examples outside
    of a part, four fifths of them by default: one of all examples is usually better.

    Parameters
    ----------
    store
        Features; the train split is read, one layer at a time.
    selection
        The selection to estimate, made by `select` from this store's training examples.
    folds
        Parts, at least 2; fewer where a class has fewer examples. `loo`: as many as there are
        independent examples, so that each is classified by a selection of all others.

    Returns
    -------
    Evaluation
        Of the training examples, each classified by heads that never saw it.

    Raises
    ------
    SelectionError
        There are fewer than two folds. The selection is of another model, of other training
        examples than the store has now, or of some of its subtasks. Or a class has one example, or
        all its examples share an image or a group; or too few are left of it to score heads by
        `loo` or `kfold`.
    """
    return assess_left_out(store, selection, leave_out(store, selection, folds))


def assess_left_out(
    store: FeatureStore, selection: Selection, parts: Sequence[LeftOut]
) -> Evaluation:
    """Measure the left-out predictions of a selection's training examples."""
    clusters = clusters_of(store.examples("train")).to_list()
    whole = pl.concat([part.predictions for part in parts]).sort("row").with_columns(
        cluster=pl.Series(clusters, dtype=pl.String), leak=pl.lit(None, pl.String)
    )  # fmt: skip
    classes = {task.subtask: task.classes for task in selection.tasks}
    units = _measure(store, whole, classes)
    return Evaluation(
        metrics=tuple(summarise(metric) for metric in units),
        units=tuple(units),
        table=in_schema(whole.lazy()),
        selection=selection,
        model=dict(store.manifest.identity.model),
        planned=len(store.manifest.plan.splits["train"].ids),
        skipped=0,
        notes=(_note(parts),),
    )


def _measure(store: FeatureStore, predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Return accuracies, the headline first; of several prompts, those of each alone."""
    if stored_prompts(store.manifest.identity.benchmark):
        return prompt_accuracies(predictions, classes)
    units = [accuracy(predictions, classes), balanced_accuracy(predictions, classes)]
    if len(classes) == 1:
        return units
    *single, macro = subtask_accuracies(predictions, classes)
    return [macro, *units, *single]


def _note(parts: Sequence[LeftOut]) -> str:
    """Return what was done, and what it estimates."""
    counts = sorted({part.folds for part in parts})
    least, most = min(part.kept[0] for part in parts), max(part.kept[1] for part in parts)
    shares = sorted({f"{100 * share:.0f} %" for share in (least, most)}, key=len)
    return (
        f"cross-validated on the training examples, in {' or '.join(map(str, counts))} folds: each"
        " is classified by heads that were chosen and fitted without its fold. So this estimates a"
        f" classifier of {' to '.join(shares)} of the examples; one of all is usually better"
    )
