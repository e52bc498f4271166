"""Is the model's own answer to an example right? Heads often tell before the answer is given.

Source: HALP (arXiv 2603.05465), which probes the last token before the first one is generated. Here
the labels `right` and `wrong` are those of the answers that a store keeps, next to the labels of
its examples; all else is a task of two classes.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from savs.datasets.asked import asked_questions
from savs.datasets.example import of_subtask
from savs.datasets.metrics.metrics import Classes, Units, class_margin, mean_metric, parts_by
from savs.datasets.metrics.ranking import ROUNDING, ranking_metrics
from savs.datasets.rows.label_kinds import OPTION, OneOfClasses
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.names import GENERATED
from savs.pipeline.readouts import Readout
from savs.pipeline.running.formatting import percent
from savs.pipeline.targets.calibration import Calibration, CalibrationConfig
from savs.pipeline.targets.catalogue import OWN_ANSWER, labels_of
from savs.pipeline.targets.one import PREDICTION_SCHEMA, OneClass
from savs.pipeline.targets.stored_answers import (
    ANSWERS,
    GENERATE,
    LABELS,
    generated_texts,
    label_answers,
    normalised,
)
from savs.pipeline.targets.tasks import (
    Decision,
    LeftOut,
    Measured,
    Measuring,
    ScoredRows,
    Selected,
    Shown,
    Tables,
    TaskConfig,
    TaskSelection,
    TrainingRows,
    TrainingTask,
)
from savs.stores import FeatureStore, ResultError
from savs.stores.format.layout import SPLITS
from savs.stores.format.manifest import Manifest, PlacedRow

TRAIN = SPLITS[0]
OUTPUTS = {LABELS: ANSWERS, GENERATE: GENERATED}
"""Kind of an answer, as `answers` of `extract` -> the output that a store keeps of it."""
WRONG, RIGHT = CLASSES = ("wrong", "right")
COVERAGES = (0.8, 0.5)
"""Shares of the answers that are kept, the surest ones."""
ANSWER_COLUMNS = {"answer": pl.String, "right": pl.Float32}
"""The model's own answer, and how likely it is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule(Decision):
    """What the model is asked, and how sure the classifier is of its answers."""

    kind: Literal["answer"] = "answer"  # pyrefly: ignore[bad-override]
    options: tuple[str, ...]
    """The labels that answers are chosen among; empty where they are generated texts."""
    calibration: CalibrationConfig | None = None

    @property
    def is_fitted(self) -> bool:  # type: ignore[override]
        """Whether it has a calibration."""
        return self.calibration is not None

    @property
    def nonconformity(self) -> Array:
        """That of the calibration."""
        return self._calibration.nonconformity

    @property
    def centroids(self) -> Array | None:
        """Those of the calibration."""
        return self._calibration.centroids

    @property
    def _calibration(self) -> Calibration:
        assert isinstance(self.calibration, Calibration)
        return self.calibration

    def array_axes(self, rule: Readout) -> dict[str, tuple[str, ...]]:
        """Return those of the calibration."""
        return {} if self.calibration is None else self.calibration.array_axes(rule)

    def check_array(self, name: str, array: Array) -> None:
        """Check one of the calibration."""
        if self.calibration is not None:
            self.calibration.check_array(name, array)

    def without_arrays(self) -> "AnswerRule":
        """Return the rule with the numbers of the calibration alone."""
        known = self.calibration
        return replace(self, calibration=known and known.without_arrays())

    def with_arrays(self, arrays: Mapping[str, Array]) -> "AnswerRule":
        """Return the rule with a whole calibration."""
        known = self.calibration
        return replace(self, calibration=known and known.with_arrays(arrays))


class AnswerIsRight(OneClass):
    """An example has an answer of the model, which is right or wrong."""

    name = OWN_ANSWER
    noun = "an answer that is right or wrong"
    kind = OneOfClasses(noun, (OWN_ANSWER,))
    decides, decision = "answer", AnswerRule
    headline = "ROC-AUC"
    schema: ClassVar = {**PREDICTION_SCHEMA, **ANSWER_COLUMNS}
    refused: ClassVar = {
        **dict.fromkeys(("SavsClassifier", "SavsRegressor"), "use savs.classify"),
        "a risk": "omit `risk`: the column `right` says how likely the answer is right",
        "the model's own answer": "evaluate it on the store's own labels",
        "a list of suspects": "select on the store's own labels",
        "`pseudo_labels`": "omit it: the labels are the answers",
        "`sort_into`": "omit it, or write a table",
        "several classifiers": "classify with each alone",
        "a bundle": "classify with its folder: images need the answers of the model, too",
        "the app": "use savs classify, savs report and savs explain",
        "a suggestion": "suggest by a selection of the store's own labels",
    }

    def result_name(self, readout: str) -> str:
        """Return a name next to that of the same readout of labels."""
        return f"{self.name}-{readout}"

    def of_store(self, store: FeatureStore, selected: Sequence[TaskConfig] = ()) -> FeatureStore:
        """Return a store whose labels say whether answers are right.

        Answers are the likeliest labels of the subtask, if the store keeps the log-likelihoods,
        else generated texts. Test examples without a label, or that were skipped, have none;
        training examples that were skipped are left out. `extra` gets the `answer`, and the label
        as `labelled`.

        ResultError if the store keeps no answers, or none of each label; SelectionError if its
        examples have other labels than one class each.
        """
        identity = store.manifest.identity
        facts = identity.benchmark
        kind = labels_of(facts).kind
        if kind is self.kind:
            return store
        if not kind.are_classes:
            raise SelectionError(
                f"{store.path} has {kind.a_row_has}, to which no single answer is right; select"
                " without `target`"
            )
        if any(one.texts for one in asked_questions(facts)):
            raise SelectionError(
                f"{store.path} was asked for letters or numbers; `target` {self.name} needs answers"
                " that are labels: ask again in another folder"
            )
        asked = self.answer_labels(selected) if selected else _asked(store)
        options = {subtask: list[str]() for subtask, _ in asked}
        for subtask, label in asked:
            options[subtask].append(label)
        kind_of_answer = self.answer_kind(selected) or _kept(store)
        planned, rows = _planned(store.manifest), dict[str, dict[str, PlacedRow]]()
        for split in store.splits:
            if split not in SPLITS or not store.ids(split):
                continue
            examples = store.examples(split).iter_rows(named=True)
            answers = _answers(store, split, kind_of_answer, options)
            judged = [_judged(*pair, split) for pair in zip(examples, answers, strict=True)]
            still = None if split == TRAIN else split
            skipped = store.skipped(split).iter_rows(named=True)
            judged += [replace(_judged(row, None, split), split=still) for row in skipped]
            for row in judged:
                planned_in, name = planned[split, row.id]
                rows.setdefault(planned_in, {})[name] = row
        is_chosen = kind_of_answer == LABELS
        form = {"form": self.name, "options": list(options.items()) if is_chosen else []}
        of_labels = {**facts.get("options", {}), OPTION: form}
        return store.with_rows(rows, {"name": "general", "options": of_labels})

    def answer_kind(self, selected: Sequence[TaskConfig]) -> str | None:
        """Return `labels` if answers were chosen among labels, else `generate`."""
        if not selected:
            return None
        return LABELS if all(_rule(task).options for task in selected) else GENERATE

    def answer_labels(self, selected: Sequence[TaskConfig]) -> list[tuple[str | None, str]]:
        """Return those of each task."""
        return [(task.subtask, label) for task in selected for label in _rule(task).options]

    def tasks(self, rows: TrainingRows) -> list[TrainingTask]:
        """Return the examples by subtask; SelectionError where all answers are right, or wrong."""
        options = {name: tuple(labels) for name, labels in rows.options}
        for (subtask,), part in rows.planned.group_by("subtask", maintain_order=True):
            if part["label"].n_unique() == 1:
                name = None if subtask is None else str(subtask)
                raise SelectionError(
                    f"the model's own answers to all {part.height:,} training examples"
                    f"{of_subtask(name)} are {part['label'][0]}, so there is nothing to tell apart;"
                    " add examples that are harder, or easier"
                )
        return [
            replace(task, decision=AnswerRule(options=options.get(task.subtask, ())))
            for task in super().tasks(replace(rows, names=CLASSES))
        ]

    def decision_of(self, task: TaskSelection, known: Calibration | None) -> AnswerRule:
        """Return the rule of a task with this calibration."""
        return replace(_rule(task), calibration=known)

    def columns(
        self, examples: pl.DataFrame, parts: Sequence[ScoredRows], risk: float | None
    ) -> Iterator[pl.DataFrame]:
        """Yield examples with the answer, and how likely it is right."""
        for table in super().columns(examples, parts, risk):
            is_right, probability = pl.col("prediction") == RIGHT, pl.col("probability")
            right = pl.when(is_right).then(probability).otherwise(1 - probability)
            yield _with_answers(table).with_columns(right=right)

    def left_out(
        self, selection: Selected, examples: pl.DataFrame, parts: Sequence[LeftOut]
    ) -> pl.DataFrame:
        """Return left-out examples with their answers."""
        return _with_answers(super().left_out(selection, examples, parts))

    def measure(
        self, table: pl.LazyFrame, selection: Selected | None, classes: Classes, how: Measuring
    ) -> Measured:
        """Return how well right answers are told from wrong ones, see `answer_metrics`."""
        return super().measure(table, selection, classes, replace(how, metrics=answer_metrics))

    def trusted(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """Return how likely answers are right, and whether they are."""
        return table.with_columns(probability=pl.col("right"), correct=pl.col("label") == RIGHT)

    def of_new(self, table: pl.LazyFrame, selection: Selected) -> pl.LazyFrame:
        """Return the answers as predictions, and as probabilities how likely they are right."""
        answers = table.with_columns(
            prediction=pl.when(pl.col("prediction").is_not_null()).then("answer"),
            probability=pl.col("right"),
        )
        return super().of_new(answers, selection)

    def shown(self, row: Mapping[str, Any], tables: Tables) -> Shown:
        """Return the answer, and how likely it is right."""
        shown = super().shown(row, tables)
        labels, predictions = (
            tuple(f"answer {text}" for text in texts) for texts in (shown.labels, shown.predictions)
        )
        facts = {"answer": row["answer"]}
        if row["right"] is not None:
            facts["right"] = f"{percent(row['right'])} %"
        return replace(shown, labels=labels, predictions=predictions, facts=facts)


ANSWER_IS_RIGHT = AnswerIsRight()


def answer_metrics(table: pl.LazyFrame, classes: Classes) -> list[Units]:
    """Return ROC-AUC, FPR at 95 % TPR, and the accuracy of the surest answers and of all.

    Right answers are positive. The FPR is the share of wrong answers that are let through where
    95 % of the right ones are. The accuracy at a coverage is that of the share of the answers with
    the greatest margins; chance is the accuracy of all. Of several subtasks, metrics are means over
    those with right and wrong answers, then each subtask has its ROC-AUC.
    """
    predictions = table.collect()
    if len(classes) == 1:
        return _metrics(predictions, classes)
    parts = {
        name: _metrics(part, classes, name)
        for name, part in parts_by(predictions, "subtask")
        if part["label"].n_unique() > 1
    }
    if not parts:
        return []
    names = [units.name.partition(",")[0] for units in _first(parts)]
    of_names = zip(*parts.values(), strict=True)
    means = [
        mean_metric(f"{name}, macro", list(units))
        for name, units in zip(names, of_names, strict=True)
    ]
    return [*means, *(units[0] for units in parts.values())]


def _first(parts: Mapping[str, list[Units]]) -> list[Units]:
    return next(iter(parts.values()))


def _metrics(predictions: pl.DataFrame, classes: Classes, of: str = "") -> list[Units]:
    """Return the metrics of one subtask; without right and wrong answers, the accuracy of all."""
    ranked = ranking_metrics(predictions, classes, RIGHT, of)[1:3]
    end = f", {of}" if of else ""
    is_right = (predictions["label"] == RIGHT).cast(pl.Float64)
    scores = pl.DataFrame({"score": is_right, "cluster": predictions["cluster"], "stratum": "all"})
    share = float(is_right.to_numpy().mean())
    margins = predictions.select(class_margin(RIGHT).fill_null(-math.inf)).to_series()
    surest = margins.arg_sort(descending=True).to_numpy()
    kept = [
        Units(
            f"accuracy of the surest {100 * coverage:g} %{end}",
            scores.with_columns(score=kept_units(is_right.to_numpy(), surest, coverage)),
            share,
        )
        for coverage in COVERAGES
    ]
    return [*ranked, *kept, Units(f"accuracy of all answers{end}", scores, share)]


def kept_units(right: Array, surest: Array, coverage: float) -> Array:
    """Return values whose mean is the accuracy of a share of the answers, see `ranking.py`.

    `right` are `(n,)` 0 or 1, `surest` the indices of all, the surest first. One answer more moves
    the cut, so that answers next to it come or go: these are right as often as those around it, two
    standard errors of its place to each side.

    >>> kept_units(np.array([1.0, 0, 1, 0]), np.array([0, 2, 1, 3]), 0.5).mean().item()
    1.0
    """
    n = len(right)
    count = math.ceil(coverage * n - ROUNDING)
    reach = max(1, math.ceil(2 * math.sqrt(count * (1 - count / n))))
    at_cut = float(right[surest[max(0, count - reach) : count + reach]].mean())
    kept = np.zeros(n)
    kept[surest[:count]] = n / count
    return at_cut + (right - at_cut) * kept


def _rule(task: TaskConfig) -> AnswerRule:
    assert isinstance(task.decision, AnswerRule)
    return task.decision


def _kept(store: FeatureStore) -> str:
    """Return which of the model's own answers a store keeps; ResultError if none."""
    outputs = store.manifest.identity.outputs
    for kind, output in OUTPUTS.items():
        if output in outputs:
            return kind
    raise ResultError(
        f"{store.path} keeps no answers of the model, which are to be right or wrong; extract with"
        " `answers` labels, or generate, into another folder"
    )


def _asked(store: FeatureStore) -> list[tuple[str | None, str]]:
    """Return the labels of the training examples with their subtasks, each once."""
    pairs = store.examples(TRAIN).select("subtask", "label").drop_nulls("label")
    return list(dict.fromkeys(pairs.iter_rows()))


def _answers(
    store: FeatureStore, split: str, kind: str, options: Mapping[str | None, Sequence[str]]
) -> list[str | None]:
    """Return the answer to each example of a split; None in a subtask without labels."""
    if kind == GENERATE:
        return generated_texts(store, split).to_list()
    answers: list[str | None] = [None] * store.rows(split)
    for subtask, found in label_answers(store, split, ANSWERS, options):
        best = found.sums.argmax(axis=1)
        for row, place in zip(found.examples["row"], best, strict=True):
            answers[row] = options[subtask][place]
    return answers


def _planned(manifest: Manifest) -> dict[tuple[str, str], tuple[str, str]]:
    """Return split and id of each row now -> those that were planned."""
    found = {}
    for planned_in, plan in manifest.plan.splits.items():
        changes = manifest.changes.get(planned_in, {})
        for name in plan.ids:
            now = changes.get(name, {"split": planned_in})
            if now["split"] is not None:
                found[now["split"], now.get("id", name)] = planned_in, name
    return found


def _judged(row: Mapping[str, Any], answer: str | None, split: str) -> PlacedRow:
    """Return an example whose label says whether the answer is right."""
    label = None
    if row["label"] is not None and answer is not None:
        label = CLASSES[normalised(answer) == normalised(row["label"])]
    extra = json.loads(row["extra"]) if row["extra"] else {}
    return PlacedRow(
        row["id"],
        split,
        label,
        media=tuple(row["media"]),
        group=row["group"],
        category=row["category"],
        extra={**extra, "answer": answer, "labelled": row["label"]},
    )


def _with_answers(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(answer=pl.col("extra").str.json_path_match("$.answer"))
