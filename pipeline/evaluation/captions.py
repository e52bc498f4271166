"""A dual encoder on prompts that are captions: how near each image is to its text.

Official scores of pairs and groups compare cosines and need no training example. An answer Yes or
No needs a threshold, which the training examples give.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Benchmark
from savs.datasets.rows.plugin_guard import read_captions
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import as_wrong, partial_notes, with_skipped
from savs.pipeline.evaluation.cost import splits_cost
from savs.pipeline.heads.centroids import first_of_best, normalise
from savs.pipeline.heads.scoring import SCORINGS
from savs.pipeline.readouts import ClassScores, Readout
from savs.pipeline.readouts.clip import CLIP
from savs.pipeline.readouts.heads_fit import softmax
from savs.pipeline.selection.selection import Fitter
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask, count_texts
from savs.pipeline.targets import Target
from savs.pipeline.targets.one import ONE_CLASS, choice_probability, predicted
from savs.stores import FeatureStore
from savs.stores.format.layout import CAPTIONS, CLASSES, LOGIT_SCALE


def compares_captions(store: FeatureStore, readout: Readout | str | None) -> bool:
    """Return whether a readout compares a store's images with captions: `clip`, if it has some."""
    return readout in (CLIP, CLIP.name) and CAPTIONS in store.manifest.plan.splits


class MatchedCaptions:
    """The captions of a store as a `Predictor` of its test examples.

    With a caption for each class the nearest one wins, and of equal cosines the first class. With a
    caption for one class alone, such as Yes, the answer is this class where the cosine is above the
    threshold that is right most often on the subtask's training examples; of several such it is the
    middle of the widest gap. Subtasks without captions are classified by `clip`.
    """

    selection = None
    target: Target = ONE_CLASS
    rule = CLIP.name

    def __init__(self, store: FeatureStore, benchmark: Benchmark) -> None:
        """Match them; SelectionError if the store has no captions, or not all of its examples."""
        captions, tasks = Captions(store, benchmark), StoredTraining(store).tasks()
        self._store = store
        self._matched = [captions.match(task) for task in tasks]
        self.classes = {task.subtask: task.classes for task in tasks}

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield all test examples as one block."""
        skipped = as_wrong(self._store.skipped("test"), self.classes)
        yield with_skipped(self._store, [part.rows for part in self._matched], skipped)

    def notes(self, table: pl.LazyFrame) -> list[str]:
        """Return what is missing."""
        return partial_notes(self._store)

    def cost(self) -> dict[str, Any]:
        """Return what the model ran: images, captions, and what gave thresholds."""
        prompts = {
            "test": self._store.rows("test"),
            "train": sum(part.train for part in self._matched),
            CAPTIONS: self._store.rows(CAPTIONS),
            CLASSES: sum(part.texts for part in self._matched),
        }
        return splits_cost(self._store, prompts)


@dataclass(frozen=True, slots=True)
class Matched:
    """The test examples of a subtask, matched with their captions."""

    rows: pl.DataFrame
    """With predictions, see `predicted`."""
    train: int
    """Training examples that gave the threshold; 0 without one."""
    texts: int
    """Texts of the classes, of a subtask without captions."""


class Captions:
    """The captions of a store, and its images."""

    def __init__(self, store: FeatureStore, benchmark: Benchmark) -> None:
        """Read them; SelectionError if the store has none."""
        if not compares_captions(store, CLIP):
            raise SelectionError(
                f"{store.path} has no captions; extract a benchmark of captions with a dual encoder"
            )
        self._store, self._benchmark = store, benchmark
        self._units = normalise(store.features(CAPTIONS)[0])
        self._rows = {text: row for row, text in enumerate(store.examples(CAPTIONS)["prompt"])}
        self._images = {s: normalise(store.features(s)[0]) for s in ("train", "test")}
        self._tests: dict[str | None, Array] = {}

    def match(self, task: TrainingTask) -> Matched:
        """Return the test examples of a task's subtask; its training examples give a threshold."""
        examples = self._store.examples("test").with_row_index("row")
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask)))
        rows = part["row"].to_numpy()
        prompts = self._store.examples("train")["prompt"][task.rows].to_list()
        learned, texts = 0, 0
        if not read_captions(self._benchmark, prompts[0]):
            training = StoredTraining(self._store)
            scoring = SCORINGS["resubstitution"]
            fitter = Fitter(training, CLIP, scoring)
            (fitted,) = fitter.fit([fitter.given(task, self._store.heads)])
            scores = fitted.fitted.scores(self._images["test"][rows][None])
            texts = count_texts(self._store, CLIP.texts, task.subtask, task.classes) or 0
        else:
            train = self._cosines("train", task.rows, prompts, task.classes)
            if task.subtask not in self._tests:  # the same for all draws of a sweep
                self._tests[task.subtask] = self._cosines(
                    "test", rows, part["prompt"].to_list(), task.classes
                )
            learned = len(prompts) if np.isnan(train).any() else 0
            scale = float(self._store.manifest.identity.model.get(LOGIT_SCALE) or 1.0)
            scores = _scores(self._tests[task.subtask], train, task, scale)
        matched = predicted(part, task.classes, scores).with_columns(
            probability=choice_probability(scores)
        )
        return Matched(matched, learned, texts)

    def _cosines(
        self, split: str, rows: Array, prompts: Sequence[str], classes: Sequence[str]
    ) -> Array:
        """Return `(n, classes)` cosines, NaN for a class that has no caption."""
        images = self._images[split][rows]
        captions = [read_captions(self._benchmark, prompt) for prompt in prompts]
        cosines = np.full((len(images), len(classes)), np.nan, np.float32)
        for number, label in enumerate(classes):
            texts = [of_class.get(label) for of_class in captions]
            has_text = np.flatnonzero([text is not None for text in texts])
            absent = next((t for t in texts if t is not None and t not in self._rows), None)
            if absent is not None:
                raise SelectionError(
                    f"the store does not have the caption {absent!r}; `savs show` prints what was"
                    " skipped: extract again with `retry_skipped`"
                )
            which = [self._rows[text] for text in texts if text is not None]
            cosines[has_text, number] = (images[has_text] * self._units[which]).sum(axis=1)
        return cosines


def _scores(test: Array, train: Array, task: TrainingTask, scale: float) -> ClassScores:
    """Return the scores of `(n, classes)` cosines; whole columns may be NaN."""
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

    >>> best_threshold(np.array([0.1, 0.2, 0.6, 0.7]), np.array([False, False, True, True]))
    0.4
    """
    order = np.argsort(values, kind="stable")
    ranked, truth = values[order].astype(np.float64), np.asarray(is_yes)[order]
    gaps = np.diff(ranked)
    # between places i and i + 1: the noes up to i are right, and the yeses after it
    right = np.cumsum(~truth)[:-1] + truth.sum() - np.cumsum(truth)[:-1]
    right = np.where(gaps > 0, right, -1)  # no threshold lies between equal values
    yes = int(truth.sum())
    if max(right, default=-1) < max(yes, len(truth) - yes):
        all_yes = 2 * yes > len(truth)
        return float(np.nextafter(values.min(), -np.inf) if all_yes else values.max())
    best = np.flatnonzero(right == right.max())
    place = best[gaps[best].argmax()]
    return float((ranked[place] + ranked[place + 1]) / 2)
