"""The model's own answer, from the logits that extraction kept: no training example is used."""

from pathlib import Path

import numpy as np
import polars as pl

from savs.datasets import Benchmark
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation, assess, partial_notes
from savs.pipeline.evaluation.first_tokens import alike
from savs.pipeline.evaluation.predictions import predicted
from savs.pipeline.evaluation.probability_columns import shares
from savs.pipeline.heads.training_set import training_tasks
from savs.pipeline.plugins.benchmark import stored_benchmark
from savs.pipeline.readouts import ClassScores
from savs.stores import FeatureStore, ResultError


def zero_shot(
    store: FeatureStore,
    *,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
) -> Evaluation:
    """Classify each test example by the label whose first token the model finds likeliest.

    Exact for labels that are told apart by their first token; a subtask whose labels are not is
    left out, and a note says why. Equal logits go to the first class. The scores are the
    probabilities of the labels' first tokens among themselves.

    Parameters
    ----------
    store
        A complete store that was extracted with `answers`.
    benchmark
        The store's: needed where it is in a Python file of your own (its path) or an object.
    drop_leaks
        Leave out test examples that training has seen, with their whole groups.

    Raises
    ------
    ResultError
        The store keeps no answers, or not a logit of each label.
    SelectionError
        In every subtask, two labels begin with the same token.
    StoreIncompleteError
        A planned shard is missing.
    """
    store.require_complete()
    measuring = stored_benchmark(store, benchmark)
    logits = store.output("test", "answers")
    tokens = dict(store.manifest.identity.outputs["answers"])
    if logits.shape[1:] != (len(tokens),) or np.isnan(logits).any():
        raise ResultError(
            f"{store.path}: output answers is {logits.shape} {logits.dtype}, expected a logit, not"
            f" NaN, of each of {len(tokens)} labels; extract again with --answers labels"
        )
    columns = {label: column for column, label in enumerate(tokens)}
    examples = store.examples("test").with_row_index("row")
    classes = {task.subtask: task.classes for task in training_tasks(store)}
    for label in (label for labels in classes.values() for label in labels):
        if label not in tokens:
            raise ResultError(
                f"{store.path}: output answers has no logit of label {label!r}; extract again with"
                " --answers labels"
            )
    reasons = {subtask: alike(subtask, labels, tokens) for subtask, labels in classes.items()}
    notes = partial_notes(store)
    notes += [f"left out: {reason}" for reason in reasons.values() if reason]
    answerable = {subtask: classes[subtask] for subtask, reason in reasons.items() if not reason}
    if not answerable:
        raise SelectionError(next(reason for reason in reasons.values() if reason))
    parts = []
    for subtask, labels in answerable.items():
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
        own = [columns[label] for label in labels]
        found = _scores(logits[part["row"].to_numpy()][:, own])
        parts.append(predicted(part, labels, found).with_columns(probability=shares(found)))
    return assess(store, parts, answerable, None, notes, measuring, drop_leaks=drop_leaks)


def _scores(logits: np.ndarray) -> ClassScores:
    """Return `(n, classes)` logits as probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return ClassScores(probabilities, logits.argmax(axis=1), logits)
