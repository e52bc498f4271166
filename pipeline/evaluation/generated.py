"""What the model generates, matched with the labels: the third kind of its own answers."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.predictions import Answers, predicted
from savs.pipeline.names import GENERATED
from savs.pipeline.selection.readouts import ClassScores
from savs.pipeline.selection.training_data import training_tasks
from savs.stores import FeatureStore, ResultError
from savs.stores.format.layout import GENERATED_CHARACTERS
from savs.stores.read.given_store import require_store


def text_answers(store: FeatureStore) -> Answers:
    """Return the label that equals the text that the model generated, but for white space and case.

    Any other text is the prediction as it is, and wrong; a note counts them.

    Raises
    ------
    ResultError
        The store keeps no generated texts.
    SelectionError
        Two labels differ in white space or case alone.
    """
    classes = {task.subtask: task.classes for task in training_tasks(store)}
    examples = store.examples("test").with_columns(text=generated_texts(store, "test"))
    parts, others = [], 0
    for subtask, labels in classes.items():
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
        matched = _matched(part, labels)
        others += len(matched.filter("is_other"))
        parts.append(matched)
    note = f"{others:,} generated texts are none of the labels; they count as wrong"
    return Answers(parts, classes, (note,) if others else ())


def generated_texts(store: FeatureStore, split: str) -> pl.Series:
    """Return the text that the model generated for each example of a split.

    Raises
    ------
    ResultError
        The store keeps none, or what it keeps is no text.
    """
    require_store(store)
    values = store.output(split, GENERATED)
    try:
        if values.dtype != np.int32 or values.shape[1:] != (GENERATED_CHARACTERS,):
            raise ValueError(f"it is {values.shape} {values.dtype}")
        if not _is_text(values).all():
            raise ValueError("it has numbers that are no characters")
        texts = np.ascontiguousarray(values).view(f"<U{GENERATED_CHARACTERS}")[:, 0].tolist()
        return pl.Series("text", texts, dtype=pl.String)
    except (ValueError, TypeError) as error:
        raise ResultError(
            f"{store.path}: output {GENERATED} holds no texts ({error}); extract again with"
            " --answers generate"
        ) from error


def _is_text(values: Array) -> Array:
    """Return which numbers are code points of Unicode; halves of characters are none."""
    return (values >= 0) & (values < 0x110000) & ((values < 0xD800) | (values > 0xDFFF))


def normalised(text: str) -> str:
    """Return a text without differences in white space and case.

    Examples
    --------
    >>> normalised(" Red  Fox")
    'red fox'
    """
    return " ".join(text.split()).casefold()


def _matched(part: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """Return examples with the label that their text equals, or the text itself."""
    places: dict[str, int] = {}
    for place, label in enumerate(labels):
        if (other := places.setdefault(normalised(label), place)) != place:
            raise SelectionError(
                f"labels {labels[other]!r} and {label!r} differ in white space or case alone, so a"
                " generated text cannot tell them apart; rename one"
            )
    found = np.array([places.get(normalised(text), -1) for text in part["text"]], dtype=np.int64)
    scores = np.zeros((len(found), len(labels)), np.float32)
    scores[found >= 0, found[found >= 0]] = 1
    whole = predicted(part, labels, ClassScores(scores, found.clip(min=0), scores))
    other = pl.Series("is_other", found < 0)
    return whole.with_columns(
        prediction=pl.when(other).then("text").otherwise("prediction"),
        correct=pl.when(other).then(False).otherwise("correct"),
        is_other=other,
        probability=pl.lit(None, pl.Float32),  # a text has none
    )
