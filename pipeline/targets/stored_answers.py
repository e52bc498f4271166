"""The model's own answers, as a store keeps them: what it thinks of each class, or its text."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.names import GENERATED
from savs.stores import AnswersHead, FeatureStore, ResultError
from savs.stores.format.layout import GENERATED_CHARACTERS
from savs.stores.read.store import AnyStore, as_store

ANSWERS = "answers"
LABELS, GENERATE = "labels", "generate"
"""Kinds of answers, as `answers` of `extract`."""


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
    store: FeatureStore, split: str, output: str, texts: Mapping[str | None, Collection[str]]
) -> Iterator[tuple[str | None, LabelAnswers]]:
    """Yield each subtask with what the model thinks of its classes, by their `written_answers`.

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
    for subtask, labels in texts.items():
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


def with_answers(store: FeatureStore, texts: Mapping[str | None, Collection[str]]) -> FeatureStore:
    """Return a store in which `ANSWERS_HEAD` has the log-likelihoods of a subtask's classes.

    Their order is that of `texts`, and reading it raises ResultError, as in `label_answers`.
    """
    width = max(map(len, texts.values()))

    def values(store: FeatureStore, split: str) -> Array:
        answers = np.zeros((store.rows(split) if store.ids(split) else 0, width), np.float32)
        if len(answers):
            for _, found in label_answers(store, split, ANSWERS, texts):
                rows = found.examples["row"].to_numpy()
                answers[rows, : found.sums.shape[1]] = found.sums
        return answers

    return store.with_answers(AnswersHead(width, values))


def _count(store: FeatureStore, label: str, tokens: Any) -> int:
    if not isinstance(tokens, Sequence) or isinstance(tokens, str) or not tokens:
        raise _odd(store, ANSWERS, f"says {tokens!r} of label {label!r}, expected its tokens")
    return len(tokens)


def _odd(store: FeatureStore, output: str, what: str) -> ResultError:
    return ResultError(f"{store.path}: output {output} {what}; extract again with `answers` labels")


def generated_texts(store: AnyStore, split: str) -> pl.Series:
    """Return the text that the model generated for each example of a split.

    ResultError if the store keeps none, or what it keeps is no text.
    """
    store = as_store(store)
    values = store.output(split, GENERATED)
    try:
        if values.dtype != np.int32 or values.shape[1:] != (GENERATED_CHARACTERS,):
            raise ValueError(f"it is {values.shape} {values.dtype}")
        is_half = (values >= 0xD800) & (values <= 0xDFFF)  # of a character
        if not ((values >= 0) & (values < 0x110000) & ~is_half).all():
            raise ValueError("it has numbers that are no characters")
        texts = np.ascontiguousarray(values).view(f"<U{GENERATED_CHARACTERS}")[:, 0].tolist()
        return pl.Series("text", texts, dtype=pl.String)
    except (ValueError, TypeError) as error:
        raise ResultError(
            f"{store.path}: output {GENERATED} holds no texts ({error}); extract again with"
            " `answers` generate"
        ) from error


def normalised(text: str) -> str:
    """Return a text without differences in white space and case.

    >>> normalised(" Red  Fox")
    'red fox'
    """
    return " ".join(text.split()).casefold()
