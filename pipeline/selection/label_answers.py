"""The model's own answers as labels: what it thinks of each class of an example.

Training examples can take them instead of their own labels, as in CALM without labels
(arXiv 2602.07077). There eight answers are drawn for each example and counted; a store keeps the
log-likelihood of each class, so the share of draws that an answer would have is known without any.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.example import first_few, of_subtask
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.training_data import (
    PSEUDO_LABELS,
    StoredTraining,
    TrainingTask,
    train_digest,
)
from savs.stores import FeatureStore, ResultError

ANSWERS = "answers"
NAMED = 5
"""Classes that a message names."""


@dataclass(frozen=True, slots=True)
class LabelAnswers:
    """What the model thinks of the labels of one subtask."""

    examples: pl.DataFrame
    """Those of the subtask, with their `row` in the split."""
    sums: Array
    """`(n, classes)` float32 log-likelihoods of whole labels."""
    tokens: Array
    """`(classes,)` float32 numbers of tokens."""


def label_answers(
    store: FeatureStore, split: str, output: str, classes: Mapping[str | None, Sequence[str]]
) -> Iterator[tuple[str | None, LabelAnswers]]:
    """Yield each subtask with what the model thinks of its classes.

    `output` is `answers`, or `icl` with demonstrations before. ResultError if the store keeps no
    such output, or not a finite log-likelihood of each class.
    """
    values = store.output(split, output)
    tokens = dict(store.manifest.identity.outputs[ANSWERS])
    if values.shape[1:] != (len(tokens),):
        raise _odd(
            store, output, f"is {values.shape} {values.dtype}, expected {len(tokens)} columns"
        )
    columns = {label: column for column, label in enumerate(tokens)}
    examples = store.examples(split).with_row_index("row")
    for subtask, labels in classes.items():
        if absent := [label for label in labels if label not in columns]:
            raise _odd(store, output, f"has no log-likelihood of label {absent[0]!r}")
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
        sums = values[part["row"].to_numpy()][:, [columns[label] for label in labels]]
        if not np.isfinite(sums).all() or (sums > 0).any():
            row = int(np.argmin((np.isfinite(sums) & (sums <= 0)).all(axis=1)))
            raise _odd(
                store,
                output,
                f"of example {part['id'][row]!r} is {list(map(float, sums[row]))}, expected a"
                " finite log-likelihood, not above 0, of each label",
            )
        counts = np.array([_count(store, label, tokens[label]) for label in labels], np.float32)
        yield subtask, LabelAnswers(part, sums, counts)


def among_labels(log_likelihoods: Array) -> Array:
    """Return `(n, classes)` log-likelihoods as float32 probabilities of the classes alone."""
    powers = np.exp(log_likelihoods - log_likelihoods.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _count(store: FeatureStore, label: str, tokens: Any) -> int:
    if not isinstance(tokens, Sequence) or isinstance(tokens, str) or not tokens:
        raise _odd(store, ANSWERS, f"says {tokens!r} of label {label!r}, expected its tokens")
    return len(tokens)


def _odd(store: FeatureStore, output: str, what: str) -> ResultError:
    return ResultError(f"{store.path}: output {output} {what}; extract again with `answers` labels")


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
        tasks = []
        for subtask, answers in label_answers(self.store, "train", ANSWERS, classes):
            probabilities = among_labels(answers.sums)
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
