"""What each chosen head saw of an example: its vote, class cosines, nearest training examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.foundation.errors import command
from savs.pipeline.errors import ReportError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.heads.centroids import class_centroids, first_of_best, leads, normalise
from savs.pipeline.heads.neurons import closeness, likeness
from savs.pipeline.readouts import BUILT_IN, HeadsFit, Readout
from savs.pipeline.readouts.neurons import FittedNeurons
from savs.pipeline.selection.left_out import FoldFit, fit_folds, make_folds
from savs.pipeline.selection.selection import Selection, chosen_features
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask
from savs.pipeline.targets import Target
from savs.pipeline.targets.calibration import calibration_of
from savs.pipeline.targets.tasks import TaskSelection
from savs.stores import FeatureStore, Head
from savs.stores.format.layout import is_neuron

NEAREST = 3
"""Training examples that are named for each head."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What the heads of one subtask were fitted on."""

    selection: TaskSelection
    task: TrainingTask | None
    """What they are; None of a classifier alone."""
    texts: tuple[str, ...]
    """The label of each example."""
    ids: tuple[str, ...]
    features: Array
    """`(heads, n, d)` float32, heads best first."""
    centroids: Array
    """`(heads, classes, d)`; without the examples their directions alone. Of numbers, which have
    none, `(heads, 1, d)` slopes."""
    target: Target
    rule: Readout
    """The readout: of a left-out example that of its fold, as `savs train` chooses it anew."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One example in the heads of its subtask."""

    id: str
    trained: Trained
    features: Array
    """`(heads, d)`."""
    table: Array
    """`(heads, classes)` cosines with the class centroids."""
    votes: Array
    """`(heads,)` class numbers."""
    leads: Array
    """`(heads,)`: the vote's cosine less the best other one."""
    nearest: Array
    """`(heads, k)` numbers of the nearest training examples, nearest first."""
    similar: Array
    """`(heads, k)`: their cosines."""
    moves: Array | None
    """How far each head moves a number, see `Target.moves`."""


def gather_evidence(
    store: FeatureStore, selection: Selection, examples: Mapping[str, str | None], split: str
) -> dict[str, Evidence]:
    """Return the evidence of some examples: ids with their subtasks, of one split of the store.

    Its training examples made the selection. ReportError if it has no features of an example.
    """
    wanted = set(examples.values())
    tasks = tuple(task for task in selection.tasks if task.subtask in wanted)
    trained = trained_on(store, replace(selection, tasks=tasks))
    return _gather(store, {name: trained[subtask] for name, subtask in examples.items()}, split)


def gather_left_out(
    store: FeatureStore, selection: Selection, result: Result, examples: Mapping[str, str | None]
) -> dict[str, Evidence]:
    """Return the evidence of left-out training examples, whose predictions a result has.

    The folds are made again from the training examples, and their heads chosen again. The readout
    of a fold is the one that gives the predictions of the result: ReportError if none does, or the
    store has no features of an example.
    """
    data = StoredTraining(store)
    rows = store.examples("train").with_row_index("row")
    row_of = dict(rows.select("id", "row").iter_rows())
    known = result.predictions().join(rows.select("id", "row"), on="id")
    names = (name for name in selection.target.tried_readouts if name != selection.readout)
    fold_of = {
        name: fold
        for fold in make_folds(data, selection, result.metrics["folds"])
        for name, subtask in examples.items()
        if fold.task.subtask == subtask and row_of[name] in fold.task.rows[fold.out]
    }
    left = list({id(fold): fold for fold in fold_of.values()}.values())
    fits: dict[int, Trained] = {}
    for rule in (selection.rule, *(BUILT_IN[name] for name in names)):
        like = replace(selection, readout=rule.name, rule=rule)
        for fit in fit_folds(data, like, left) if left else ():
            if _gives(selection, fit, known):
                fits[id(fit.fold)] = _train(store, like, fit.selection, fit.fold.others)
        left = [fold for fold in left if id(fold) not in fits]
    if left or len(fold_of) < len(examples):
        again = command("savs", "evaluate", store.path, "--folds", result.metrics["folds"])
        raise ReportError(
            f"{result.folder} has predictions that the folds of the training examples do not give"
            f" now; run {again} again"
        )
    return _gather(store, {name: fits[id(fold_of[name])] for name in examples}, "train")


def _gives(selection: Selection, fit: FoldFit, known: pl.DataFrame) -> bool:
    """Return whether the selection of a fold gives the known predictions of its examples."""
    rows = pl.Series("row", fit.fold.task.rows[fit.fold.out]).cast(known.schema["row"])
    of_rows = rows.to_frame().join(known, on="row", how="left", maintain_order="left")
    task = replace(fit.selection, decision=fit.fold.task.decision or fit.selection.decision)
    return selection.target.gives(task, fit.scores, of_rows)


def _gather(store: FeatureStore, trained: Mapping[str, Trained], split: str) -> dict[str, Evidence]:
    """Return the evidence of examples of a split, each in the heads of what it is given with."""
    heads = [*dict.fromkeys(head for task in trained.values() for head in task.selection.heads)]
    features = _features(store, split, heads, list(trained))
    evidence = {}
    for name, task in trained.items():
        if name not in features:
            raise ReportError(
                f"the store has no features of example {name!r}: it was skipped at extraction"
            )
        places = [heads.index(head) for head in task.selection.heads]
        width = task.centroids.shape[2]
        evidence[name] = weigh(name, task, features[name][places, :width])
    return evidence


def trained_on(store: FeatureStore, selection: Selection) -> dict[str | None, Trained]:
    """Return what the heads of each subtask of a selection were fitted on, in its store."""
    tasks = {task.subtask: task for task in StoredTraining(store).tasks()}
    return {
        task.subtask: _train(store, selection, task, tasks[task.subtask])
        for task in selection.tasks
    }


def trained_alone(target: Target, selection: TaskSelection, rule: Readout) -> Trained | None:
    """Return the same of a classifier without its store: centroids, and no training examples.

    None if the classifier has no centroids either.
    """
    known, fitted = calibration_of(selection.decision), selection.fitted
    centroids = None if known is None else known.centroids
    if rule.has_centroids and isinstance(fitted, HeadsFit):
        centroids = fitted.directions
    elif isinstance(fitted, FittedNeurons):
        centroids = fitted.centroids
    if centroids is None:
        return None
    heads, _, width = centroids.shape
    none = np.zeros((heads, 0, width), np.float32)
    return Trained(selection, None, (), (), none, centroids, target, rule)


def _train(
    store: FeatureStore, selection: Selection, chosen: TaskSelection, task: TrainingTask
) -> Trained:
    (features,) = chosen_features(StoredTraining(store), [(chosen.heads, task.rows)])
    ids, labels = (store.examples("train")[name][task.rows].to_list() for name in ("id", "label"))
    if len(task.classes) > 1:
        centroids = class_centroids(features, task.labels, len(task.classes))
    else:
        assert isinstance(chosen.fitted, HeadsFit)
        centroids = chosen.fitted.directions
    target, rule = selection.target, selection.rule
    texts = tuple(target.texts(task, labels))
    return Trained(chosen, task, texts, tuple(ids), features, centroids, target, rule)


def _features(
    store: FeatureStore, split: str, heads: Sequence[Head], ids: Sequence[str]
) -> dict[str, Array]:
    """Return `(heads, d)` features of examples; memory holds one shard's."""
    by_id: dict[str, Array] = {}
    store.require_heads(heads)
    for block in store.blocks(split, heads):
        rows = block.examples.with_row_index("row").filter(pl.col("id").is_in(list(ids)))
        for name, row in rows.select("id", "row").rows():
            by_id[name] = block.features[:, row]
    return by_id


def weigh(name: str, trained: Trained, features: Array) -> Evidence:
    """Return the evidence of an example with these `(heads, d)` features."""
    heads = trained.selection.heads
    table = likeness(heads, features[:, None], trained.centroids)[:, 0]
    votes = first_of_best(table)
    if is_neuron(heads[0]):
        alike = closeness(features[:, None], trained.features)[:, 0]
    else:
        alike = np.einsum("hd,hnd->hn", normalise(features), normalise(trained.features))
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :NEAREST]
    moves, task = None, trained.task
    if task is not None:
        fitted = trained.selection.fitted
        moves = trained.target.moves(task, fitted, trained.features, features)
    return Evidence(
        id=name,
        trained=trained,
        features=features,
        table=table,
        votes=votes,
        leads=leads(table, votes) if table.shape[1] > 1 else table[:, 0],
        nearest=nearest,
        similar=np.take_along_axis(alike, nearest, axis=1),
        moves=moves,
    )


def of_heads(evidence: Evidence, places: Sequence[int]) -> Evidence:
    """Return the evidence of an example in some of the heads, by their places."""
    some, trained = list(places), evidence.trained
    task = trained.selection
    fewer = replace(
        trained,
        selection=replace(
            task,
            heads=tuple(task.heads[place] for place in some),
            strengths=tuple(task.strengths[place] for place in some),
            scores=tuple(task.scores[place] for place in some),
            margins=tuple(task.margins[place] for place in some),
        ),
        features=trained.features[some],
        centroids=trained.centroids[some],
    )
    return weigh(evidence.id, fewer, evidence.features[some])
