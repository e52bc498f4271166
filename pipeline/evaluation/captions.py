"""A dual encoder on prompts that are captions: how near each image is to its text.

Official scores of pairs and groups compare cosines and need no training example. An answer Yes or
No needs a threshold, which the training examples give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from savs.datasets import Benchmark
from savs.datasets.rows.plugin_guard import read_captions
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation, assess, partial_notes
from savs.pipeline.evaluation.cost import captions_cost
from savs.pipeline.evaluation.predictions import predicted
from savs.pipeline.evaluation.probability_columns import shares
from savs.pipeline.heads.centroids import first_of_best, normalise
from savs.pipeline.heads.class_texts import count_texts
from savs.pipeline.heads.training_set import TrainingTask, training_tasks
from savs.pipeline.plugins.benchmark import stored_benchmark
from savs.pipeline.readouts import ClassScores
from savs.pipeline.readouts.clip import CLIP
from savs.pipeline.readouts.probabilities import softmax
from savs.pipeline.selection.task_selection import fit_tasks, given_heads
from savs.stores import FeatureStore
from savs.stores.format.layout import CAPTIONS, LOGIT_SCALE


def has_captions(store: FeatureStore) -> bool:
    """Return whether a dual encoder's store holds captions of its examples."""
    return CAPTIONS in store.manifest.plan.splits


def match_captions(
    store: FeatureStore,
    *,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
) -> Evaluation:
    """Classify each test example by the cosines of its image and its captions.

    With a caption for each class the nearest one wins, and of equal cosines the first class. With a
    caption for one class alone, such as Yes, the answer is this class where the cosine is above the
    threshold that is right most often on the subtask's training examples; of several such it is the
    middle of the widest gap. Subtasks without captions are classified by `clip`.

    Parameters
    ----------
    store
        A complete store of a dual encoder on a benchmark with captions.
    benchmark
        The store's: needed where it is in a Python file of your own (its path) or an object.
    drop_leaks
        Leave out test examples that training has seen, with their whole groups.

    Raises
    ------
    SelectionError
        The store has no captions, or not those of its examples.
    StoreIncompleteError
        A planned shard is missing.
    """
    store.require_complete()
    measuring = stored_benchmark(store, benchmark)
    if not has_captions(store):
        raise SelectionError(
            f"{store.path} has no captions; extract a benchmark of captions with a dual encoder"
        )
    tasks = training_tasks(store)
    texts = _Captions.of(store, measuring)
    images = {split: normalise(store.features(split)[0]) for split in ("train", "test")}
    examples = store.examples("test").with_row_index("row")
    parts, notes, with_threshold, class_texts = [], partial_notes(store), 0, 0
    for task in tasks:
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask)))
        train = store.examples("train")["prompt"][task.rows].to_list()
        test = images["test"][part["row"].to_numpy()]
        if not texts.of_prompt(train[0]):
            heads = given_heads(store, CLIP, "resubstitution", task, store.heads)
            (fitted,) = fit_tasks(store, CLIP, [heads])
            found = fitted.fitted.scores(test[None])
            class_texts += count_texts(store, CLIP.texts, task.subtask, task.classes) or 0
        else:
            table = texts.cosines(images["train"][task.rows], train, task.classes)
            with_threshold += len(task.rows) if np.isnan(table).any() else 0
            found = _scores(
                *(texts.cosines(test, part["prompt"].to_list(), task.classes), table),
                *(task, float(store.manifest.identity.model.get(LOGIT_SCALE) or 1.0)),
            )
        rows = predicted(part, task.classes, found)
        parts.append(rows.with_columns(probability=shares(found)))
    classes = {task.subtask: task.classes for task in tasks}
    given = (store, parts, classes, None, notes, measuring)
    cost = captions_cost(store, with_threshold, class_texts)
    return assess(*given, cost=cost, drop_leaks=drop_leaks, rule=CLIP.name)


@dataclass(frozen=True, slots=True)
class _Captions:
    """The captions of a store."""

    benchmark: Benchmark
    units: Array
    """`(captions, d)` of length 1."""
    rows: Mapping[str, int]
    """Text -> its row."""

    @classmethod
    def of(cls, store: FeatureStore, benchmark: Benchmark) -> "_Captions":
        units = normalise(store.features(CAPTIONS)[0])
        texts = store.examples(CAPTIONS)["prompt"]
        return cls(benchmark, units, {text: row for row, text in enumerate(texts)})

    def of_prompt(self, prompt: str) -> Mapping[str, str]:
        return read_captions(self.benchmark, prompt)

    def cosines(self, images: Array, prompts: Sequence[str], classes: Sequence[str]) -> Array:
        """Return `(n, classes)` cosines, NaN for a class that has no caption."""
        found = np.full((len(images), len(classes)), np.nan, np.float32)
        for number, label in enumerate(classes):
            texts = [self.of_prompt(prompt).get(label) for prompt in prompts]
            own = np.flatnonzero([text is not None for text in texts])
            absent = next((t for t in texts if t is not None and t not in self.rows), None)
            if absent is not None:
                raise SelectionError(
                    f"the store does not have the caption {absent!r}; `savs show` prints what was"
                    " skipped: extract again with --retry-skipped"
                )
            which = [self.rows[text] for text in texts if text is not None]
            found[own, number] = (images[own] * self.units[which]).sum(axis=1)
        return found


def _scores(test: Array, train: Array, task: TrainingTask, scale: float) -> ClassScores:
    """Return the scores of `(n, classes)` cosines, of which whole columns may be NaN."""
    captioned = ~np.isnan(train).any(axis=0)
    if captioned.all():
        choice = first_of_best(test)
        return ClassScores(softmax(scale * test), choice, test)
    if captioned.sum() != 1 or len(task.classes) != 2 or np.isnan(test[:, captioned]).any():
        raise SelectionError(
            f"subtask {task.subtask!r} has captions of {int(captioned.sum())} of its"
            f" {len(task.classes)} classes; expected one of two, or all"
        )
    yes = int(captioned.argmax())
    limit = best_threshold(train[:, yes], task.labels == yes)
    soft = np.zeros_like(test)
    soft[:, yes] = test[:, yes]
    logits = np.zeros_like(test)
    logits[:, yes] = scale * (test[:, yes] - limit)
    choice = np.where(test[:, yes] > limit, yes, 1 - yes)
    return ClassScores(softmax(logits), choice, soft)


def best_threshold(values: Array, is_yes: Array) -> float:
    """Return the threshold above which `(n,)` values mean yes, right most often.

    Of several it is the middle of the widest gap between neighbouring values. Where none between
    values is right as often as one answer to all, that is the answer; no, if both are equal.

    Examples
    --------
    >>> best_threshold(np.array([0.1, 0.2, 0.6, 0.7]), np.array([False, False, True, True]))
    0.4
    """
    order = np.argsort(values, kind="stable")
    ranked, truth = values[order].astype(np.float64), np.asarray(is_yes)[order]
    gaps = np.diff(ranked)
    right = np.cumsum(~truth)[:-1] + truth.sum() - np.cumsum(truth)[:-1]
    right = np.where(gaps > 0, right, -1)  # no threshold lies between equal values
    yes = int(truth.sum())
    if max(right, default=-1) < max(yes, len(truth) - yes):
        all_yes = 2 * yes > len(truth)
        return float(np.nextafter(values.min(), -np.inf) if all_yes else values.max())
    best = np.flatnonzero(right == right.max())
    place = best[gaps[best].argmax()]
    return float((ranked[place] + ranked[place + 1]) / 2)
