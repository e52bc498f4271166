"""`evaluate --cv`: the accuracy to expect of a selection, from the training examples alone.

Nested K-fold: in each part's turn, heads are scored, chosen and fitted on the other parts alone,
with the selection's own number of heads, scoring and readout, and classify the part left out.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from savs.datasets.benchmarks.several_prompts import prompt_accuracies, stored_prompts
from savs.datasets.metrics.metrics import (
    Classes,
    Units,
    accuracy,
    balanced_accuracy,
    subtask_accuracies,
)
from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.predictions import in_schema, predicted
from savs.pipeline.heads.folds import FOLDS, fold_count, stratified_folds
from savs.pipeline.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.readouts import Readout
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.task_selection import (
    ScoredHeads,
    TaskSelection,
    best_heads,
    chosen_features,
    fit_task,
    given_heads,
    score_tasks,
)
from savs.pipeline.statistics.intervals import summarise
from savs.stores import FeatureStore

MEMORY = 2**28
"""Bytes of features that are read at a time."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a task's examples, and the others."""

    task: TrainingTask
    like: TaskSelection
    """The selection on the whole task."""
    out: Array
    """`(n,)` flags of the part that is classified."""

    @property
    def others(self) -> TrainingTask:
        return self.task.part(~self.out)


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
        A class has one example, or all its examples share an image or a group; or too few are left
        of it to score heads by `loo` or `kfold`.
    """
    rule = selection.rule
    examples = store.examples("train").with_row_index("row")
    clusters = clusters_of(examples).to_list()
    parts = [
        _Part(task, like, out)
        for task, like in zip(training_tasks(store), selection.tasks, strict=True)
        for out in _held_out(task, [clusters[row] for row in task.rows], folds, selection.scoring)
    ]
    chosen = _choose(store, rule, selection, parts)
    frames = []
    for part, heads, features in _read(store, parts, chosen):
        fitted = fit_task(store, rule, heads, features[:, ~part.out]).fitted
        rows = examples[part.task.rows[part.out]]
        found = fitted.scores(features[:, part.out])
        frames.append(predicted(rows, part.task.classes, found))
    whole = pl.concat(frames).sort("row").with_columns(
        cluster=pl.Series(clusters, dtype=pl.String), leak=pl.lit(None, pl.String)
    )  # fmt: skip
    classes = {task.subtask: task.classes for task in selection.tasks}
    units = _measure(store, whole, classes)
    return Evaluation(
        metrics=tuple(summarise(metric) for metric in units),
        units=tuple(units),
        predictions=in_schema(whole),
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


def _note(parts: Sequence[_Part]) -> str:
    """Return what was done, and what it estimates."""
    counts = sorted(set(Counter(part.task.subtask for part in parts).values()))
    kept = [int((~part.out).sum()) / len(part.out) for part in parts]
    shares = sorted({f"{100 * share:.0f} %" for share in (min(kept), max(kept))}, key=len)
    return (
        f"cross-validated on the training examples, in {' or '.join(map(str, counts))} folds: each"
        " is classified by heads that were chosen and fitted without its fold. So this estimates a"
        f" classifier of {' to '.join(shares)} of the examples; one of all is usually better"
    )


def _held_out(
    task: TrainingTask, clusters: Sequence[str], folds: int | Literal["loo"], scoring: str
) -> list[Array]:
    """Return the flags of each part of a task."""
    where = "" if task.subtask is None else f" of subtask {task.subtask!r}"
    tied = {
        label: len({clusters[int(i)] for i in np.flatnonzero(task.labels == number)})
        for number, label in enumerate(task.classes)
    }
    rarest = min(tied, key=lambda label: tied[label])
    if tied[rarest] < 2:
        raise SelectionError(
            f"cross-validation needs two independent examples of each class, but class {rarest!r}"
            f"{where} has one, or its examples share an image or a group; add more examples"
        )
    if folds == "loo":
        found = np.unique(clusters, return_inverse=True)[1]
    else:
        count = min(fold_count(task.labels, folds), tied[rarest])
        found = stratified_folds(task.labels, count, clusters)
    parts = [found == fold for fold in range(int(found.max()) + 1)]
    for out in parts:
        left = np.bincount(task.labels[~out], minlength=len(task.classes))
        if scoring != "resubstitution" and (left == 1).any():
            label = task.classes[int(np.flatnonzero(left == 1)[0])]
            raise SelectionError(
                f"cross-validation leaves one training example of class {label!r}{where} to choose"
                f" heads by, but {scoring} scoring needs two; add examples, or select with"
                " --scoring resubstitution"
            )
        absent = set(range(len(task.classes))) - set(task.labels[~out].tolist())
        if absent:
            raise SelectionError(
                f"cross-validation cannot split the examples of class"
                f" {task.classes[min(absent)]!r}{where}: those that share images or groups stay"
                " together; add more independent examples"
            )
    return parts


def _choose(
    store: FeatureStore, rule: Readout, selection: Selection, parts: Sequence[_Part]
) -> list[ScoredHeads]:
    """Return the heads for each part, chosen by the others."""
    others = [part.others for part in parts]
    if selection.heads_from is not None:
        return [
            given_heads(store, rule, selection.scoring, other, part.like.heads)
            for part, other in zip(parts, others, strict=True)
        ]
    scores = score_tasks(store, rule, selection.scoring, others)
    return [
        best_heads(store, other, own, len(part.like.heads))
        for part, other, own in zip(parts, others, scores, strict=True)
    ]


def _read(
    store: FeatureStore, parts: Sequence[_Part], chosen: Sequence[ScoredHeads]
) -> Iterator[tuple[_Part, ScoredHeads, Array]]:
    """Yield each part with its heads and their features of the whole task; reads serve several."""
    pairs = list(zip(parts, chosen, strict=True))
    width = max(grid.head_dim for grid in store.grid)
    while pairs:
        sizes = np.cumsum([4 * len(h.heads) * len(p.task.rows) * width for p, h in pairs])
        some = pairs[: max(1, int(np.searchsorted(sizes, MEMORY, side="right")))]
        del pairs[: len(some)]
        wanted = [(heads.heads, part.task.rows) for part, heads in some]
        for (part, heads), features in zip(some, chosen_features(store, wanted), strict=True):
            yield part, heads, features
