"""Training examples that take the model's own answers instead of their own labels.

That is CALM without labels (arXiv 2602.07077). There eight answers are drawn for each example and
counted; a store keeps the log-likelihood of each class, so the share of draws that an answer would
have is known without any.
"""

from dataclasses import dataclass, replace

import numpy as np

from savs.datasets.asked import asked_questions
from savs.datasets.example import first_few, of_subtask
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts.answers import among_classes
from savs.pipeline.selection.training_data import (
    PSEUDO_LABELS,
    StoredTraining,
    TrainingTask,
    train_digest,
)
from savs.pipeline.targets.stored_answers import ANSWERS, label_answers
from savs.stores import FeatureStore
from savs.stores.format.layout import UNLABELLED

NAMED = 5
"""Classes that a message names."""


def labelled_by_answers(store: FeatureStore) -> FeatureStore:
    """Return a store of `savs ask` without a label as if its examples had the model's answers.

    Others are returned as they are.
    """
    questions = asked_questions(store.benchmark)
    if store.ids("train") or not questions:
        return store
    classes, labels = {one.subtask: one.answers for one in questions}, dict[str, str]()
    texts = {one.subtask: one.written for one in questions}
    for subtask, answers in label_answers(store, UNLABELLED, ANSWERS, texts):
        likeliest = answers.sums.argmax(axis=1)
        names = (classes[subtask][number] for number in likeliest)
        labels |= dict(zip(answers.examples["id"], names, strict=True))
    return store.in_one_split("train", labels)


@dataclass(frozen=True, slots=True)
class AnsweredTraining(StoredTraining):
    """The train split of a store, labelled by the model: no label of an example is read.

    An example has its likeliest class, if that has a probability of at least `least` among the
    classes of its subtask; others are left out. Of equally likely classes it is the first.
    """

    least: float
    """From 0, for all examples, to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise ParameterError(
                f"`pseudo_labels` is {self.least}, expected a probability from 0 to 1"
            )
        self.target.require("`pseudo_labels`", self.name)

    @property
    def train(self) -> str:
        """The digest of the examples, and how they were labelled."""
        return f"{train_digest(self.store)}{PSEUDO_LABELS}{float(self.least)!r}"

    def tasks(self, *, named: bool = False) -> list[TrainingTask]:
        """Return the examples whose answer is sure, by subtask.

        ResultError as `label_answers`; SelectionError if a class is the sure answer of none.
        """
        stored = {task.subtask: task for task in StoredTraining(self.store).tasks()}
        classes = {name: task.classes for name, task in stored.items()}
        texts = {name: self.written(task) for name, task in stored.items()}
        tasks = []
        for subtask, answers in label_answers(self.store, "train", ANSWERS, texts):
            probabilities = among_classes(answers.sums)
            labels = answers.sums.argmax(axis=1)
            sure = probabilities[np.arange(len(labels)), labels] >= self.least
            if absent := sorted({*range(len(classes[subtask]))} - {*labels[sure].tolist()}):
                names = first_few([repr(classes[subtask][number]) for number in absent], NAMED)
                raise SelectionError(
                    f"the model answers no training example{of_subtask(subtask)} with {names} at a"
                    f" probability of {self.least:g} or more; lower `pseudo_labels`, add examples,"
                    " or omit it: then their own labels are used"
                )
            rows = answers.examples["row"].to_numpy()[sure]
            tasks.append(replace(stored[subtask], rows=rows, labels=labels[sure]))
        return tasks
