"""The label that the model finds likeliest: the first kinds of its own answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.evaluation.predictions import Answers, named, predicted
from savs.pipeline.evaluation.probability_columns import shares
from savs.pipeline.names import ICL, ZERO_SHOT, ZERO_SHOT_MEAN
from savs.pipeline.selection.readouts import ClassScores
from savs.pipeline.selection.training_data import training_tasks
from savs.stores import FeatureStore, ResultError

ANSWERS = "answers"


def label_answers(store: FeatureStore, readout: str) -> Answers:
    """Return the likeliest label of each test example, by `zero-shot`, `zero-shot-mean` or `icl`.

    The scores are the probabilities of the labels among themselves.

    Raises
    ------
    ResultError
        The store keeps no answers, or no log-likelihood of each label.
    """
    classes = {task.subtask: task.classes for task in training_tasks(store)}
    parts, by_mean = [], []
    output = ICL if readout == ICL else ANSWERS
    for subtask, part, values, counts in _likelihoods(store, output, classes):
        sums, means = _scores(values), _scores(values / counts)
        found = means if readout == ZERO_SHOT_MEAN else sums
        rows = predicted(part, classes[subtask], found)
        parts.append(rows.with_columns(probability=shares(found)))
        if readout == ZERO_SHOT:
            by_mean.append(named(part, classes[subtask], means.choice))
    return Answers(parts, classes, _mean_note(by_mean) if by_mean else ())


def _likelihoods(
    store: FeatureStore, output: str, classes: Mapping[str | None, Sequence[str]]
) -> list[tuple[str | None, pl.DataFrame, Array, Array]]:
    """Return each subtask with its test examples, `(n, classes)` sums, `(classes,)` tokens."""
    values = store.output("test", output)
    tokens = dict(store.manifest.identity.outputs[ANSWERS])
    if values.shape[1:] != (len(tokens),):
        raise _odd(
            store, output, f"is {values.shape} {values.dtype}, expected {len(tokens)} columns"
        )
    columns = {label: column for column, label in enumerate(tokens)}
    examples = store.examples("test").with_row_index("row")
    found = []
    for subtask, labels in classes.items():
        if absent := [label for label in labels if label not in columns]:
            raise _odd(store, output, f"has no log-likelihood of label {absent[0]!r}")
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
        own = values[part["row"].to_numpy()][:, [columns[label] for label in labels]]
        if not np.isfinite(own).all() or (own > 0).any():
            row = int(np.argmin((np.isfinite(own) & (own <= 0)).all(axis=1)))
            raise _odd(
                store,
                output,
                f"of example {part['id'][row]!r} is {list(map(float, own[row]))}, expected a finite"
                " log-likelihood, not above 0, of each label",
            )
        counts = np.array([_count(store, label, tokens[label]) for label in labels], np.float32)
        found.append((subtask, part, own, counts))
    return found


def _count(store: FeatureStore, label: str, tokens: Any) -> int:
    if not isinstance(tokens, Sequence) or isinstance(tokens, str) or not tokens:
        raise _odd(store, ANSWERS, f"says {tokens!r} of label {label!r}, expected its tokens")
    return len(tokens)


def _odd(store: FeatureStore, output: str, what: str) -> ResultError:
    return ResultError(f"{store.path}: output {output} {what}; extract again with --answers labels")


def _mean_note(parts: Sequence[pl.DataFrame]) -> tuple[str, ...]:
    right = np.concatenate([part["correct"].drop_nulls().to_numpy() for part in parts])
    if not len(right):  # no labels
        return ()
    return (
        f"by the mean per token instead of the sum, {100 * right.mean():.1f} % of the scored"
        f" examples are right (--readout {ZERO_SHOT_MEAN})",
    )


def _scores(values: Array) -> ClassScores:
    """Return `(n, classes)` log-likelihoods as probabilities of the classes among themselves."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return ClassScores(probabilities, values.argmax(axis=1), values)
