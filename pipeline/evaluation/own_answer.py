"""The model's own answers to the test examples: the likeliest label, or the generated text."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.asked import written_answers
from savs.datasets.metrics.metrics import Classes
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import as_wrong, partial_notes, with_skipped
from savs.pipeline.evaluation.cost import answers_cost
from savs.pipeline.names import GENERATED, ICL, OWN_ANSWERS, ZERO_SHOT, ZERO_SHOT_MEAN
from savs.pipeline.readouts import ClassScores
from savs.pipeline.readouts.answers import answer_scores
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets import Target
from savs.pipeline.targets.one import ONE_CLASS, choice_probability, named, predicted
from savs.pipeline.targets.stored_answers import ANSWERS, generated_texts, label_answers, normalised
from savs.stores import FeatureStore


class OwnAnswers:
    """The model's own answers to the test examples: a `Predictor` that needs no heads.

    `zero-shot` is the label of greatest log-likelihood, that of all its tokens and the end of turn;
    `zero-shot-mean` divides it by the number of these tokens; `icl` is `zero-shot` after
    demonstrations; `generated` is the label that the generated text equals, but for white space and
    case. Labels are those of the example's subtask alone. Of equal ones the first class wins.

    Nothing is fitted; of the training examples `icl` alone uses some, as its demonstrations.
    """

    selection = None
    target: Target = ONE_CLASS

    def __init__(self, store: FeatureStore, readout: str) -> None:
        """Read the answers by the name of their readout.

        ParameterError if it is none of these; ResultError if the store keeps no such answers, or no
        log-likelihood of each label; SelectionError if two labels differ in white space or case
        alone.
        """
        if readout not in OWN_ANSWERS:
            names = ", ".join(OWN_ANSWERS)
            raise ParameterError(f"`readout` is {readout!r}, expected one of {names}")
        self._store, self.rule = store, readout
        self.classes = {task.subtask: task.classes for task in StoredTraining(store).tasks()}
        self.parts, self._notes = (
            _text_answers(store, self.classes)
            if readout == GENERATED
            else _label_answers(store, readout, self.classes)
        )
        """Test examples of each subtask, with the answers as predictions."""

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield all test examples as one block."""
        skipped = as_wrong(self._store.skipped("test"), self.classes)
        yield with_skipped(self._store, self.parts, skipped)

    def notes(self, table: pl.LazyFrame) -> list[str]:
        """Return the missing answers, and what is known about others."""
        return [*partial_notes(self._store), *self._notes]

    def cost(self) -> dict[str, Any]:
        """Return what the model ran for its answers."""
        return answers_cost(self._store, self.rule, self.classes)


def _label_answers(
    store: FeatureStore, readout: str, classes: Classes
) -> tuple[list[pl.DataFrame], list[str]]:
    """Return the likeliest label of each test example, by `zero-shot`, `zero-shot-mean` or `icl`.

    The scores are the probabilities of the labels among themselves.
    """
    parts, by_mean = [], []
    output = ICL if readout == ICL else ANSWERS
    texts = written_answers(store.benchmark, classes)
    for subtask, answers in label_answers(store, "test", output, texts):
        sums, means = answer_scores(answers.sums), answer_scores(answers.sums / answers.tokens)
        scores = means if readout == ZERO_SHOT_MEAN else sums
        rows = predicted(answers.examples, classes[subtask], scores)
        parts.append(rows.with_columns(probability=choice_probability(scores)))
        if readout == ZERO_SHOT:
            by_mean.append(named(answers.examples, classes[subtask], means.choice))
    right = [part["correct"].drop_nulls().to_numpy() for part in by_mean]
    if not sum(map(len, right)):  # no labels, or another readout
        return parts, []
    note = (
        f"by the mean per token instead of the sum, {100 * np.concatenate(right).mean():.1f} % of"
        f" the scored examples are right (`readout` {ZERO_SHOT_MEAN})"
    )
    return parts, [note]


def _text_answers(store: FeatureStore, classes: Classes) -> tuple[list[pl.DataFrame], list[str]]:
    """Return the label that equals the text that the model generated, but for white space and case.

    Any other text is the prediction as it is, and wrong; a note counts them.
    """
    examples = store.examples("test").with_columns(text=generated_texts(store, "test"))
    parts, others = [], 0
    for subtask, labels in classes.items():
        part = examples.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
        matched = _matched(part, labels)
        others += len(matched.filter("is_other"))
        parts.append(matched)
    counted = "; they count as wrong" if examples["label"].count() else ""
    note = f"{others:,} generated texts are none of the labels{counted}"
    return parts, [note] if others else []


def _matched(part: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """Return examples with the label that their text equals, or the text itself."""
    places: dict[str, int] = {}
    for place, label in enumerate(labels):
        if (other := places.setdefault(normalised(label), place)) != place:
            raise SelectionError(
                f"labels {labels[other]!r} and {label!r} differ in white space or case alone, so a"
                " generated text cannot tell them apart; rename one"
            )
    label_numbers = np.array(
        [places.get(normalised(text), -1) for text in part["text"]], dtype=np.int64
    )
    scores = np.zeros((len(label_numbers), len(labels)), np.float32)
    scores[label_numbers >= 0, label_numbers[label_numbers >= 0]] = 1
    whole = predicted(part, labels, ClassScores(scores, label_numbers.clip(min=0), scores))
    other = pl.Series("is_other", label_numbers < 0)
    return whole.with_columns(
        prediction=pl.when(other).then("text").otherwise("prediction"),
        # without a label it is null, as it is of other texts
        correct=pl.when(other & pl.col("label").is_not_null()).then(False).otherwise("correct"),
        is_other=other,
        probability=pl.lit(None, pl.Float32),  # a text has none
    )
