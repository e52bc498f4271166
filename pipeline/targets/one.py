"""An example has one class of its subtask."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import polars as pl

from savs.datasets.benchmarks.options import without_prompt
from savs.datasets.example import of_subtask
from savs.datasets.metrics.metrics import Classes
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import lead
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.pipeline.readouts import ClassScores
from savs.pipeline.running.formatting import counted, percent
from savs.pipeline.running.table import Column, Table
from savs.pipeline.statistics.confidence import measure_confidence
from savs.pipeline.statistics.per_class import (
    ClassRow,
    ConfusionRow,
    PartRow,
    count_confusions,
    measure_classes,
    measure_parts,
)
from savs.pipeline.targets.calibration import (
    TOTAL,
    Calibration,
    CalibrationConfig,
    calibrate_task,
    calibration_of,
    centroids_of,
    class_probabilities,
    least_examples,
    require_risk,
    vote_temperature,
)
from savs.pipeline.targets.catalogue import ONE
from savs.pipeline.targets.tables import SUBTASK, Rows, classes_table, confusions_table
from savs.pipeline.targets.target import (
    Target,
    check_classes,
    in_schema,
    prompt_of,
    scores_of_seen,
    strengths,
)
from savs.pipeline.targets.tasks import (
    EXAMPLE_SCHEMA,
    Decision,
    Features,
    Folds,
    LeftOut,
    Limit,
    Measured,
    Measuring,
    Run,
    Said,
    ScoredRows,
    Selected,
    Tables,
    Tasks,
    TaskScores,
    TaskSelection,
    TrainingRows,
    TrainingTask,
)

VOTES_SHOWN = 3
"""Classes with votes that are printed."""
VOTES_KEPT = 20
"""Classes named in a prediction's `votes`."""
VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
LEAD = 1e-9
"""By how much the chosen class is ahead of classes that tie with it."""
PREDICTION_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "correct": pl.Boolean,
    "probability": pl.Float32,
    "margin": pl.Float32,
    "votes": VOTES,
    "prediction_set": pl.List(pl.String),
    "unsure": pl.Boolean,
    "typicality": pl.Float32,
    "atypical": pl.Boolean,
    **EXAMPLE_SCHEMA,
}
"""Columns of the predictions. A skipped example has no prediction and is not correct. `votes` has
the best classes with the readout's score and its soft score, which has no ties in practice.
`prediction_set` and `unsure` are null unless a risk was given, `typicality` and `atypical` without
a calibration."""
CLASSIFIED_SCHEMA = {
    "id": pl.String,
    "media": pl.List(pl.String),
    "subtask": pl.String,
    "prompt": pl.String,
    "prediction": pl.String,
    "probability": pl.Float32,
    "margin": pl.Float32,
    "votes": VOTES,
    "prediction_set": pl.List(pl.String),
    "unsure": pl.Boolean,
    "typicality": pl.Float32,
    "atypical": pl.Boolean,
    "reason": pl.String,
}
"""Columns of the predictions of new images; `subtask` is left out where the classifier has none.

`prediction_set` and `unsure` need a risk; `probability`, `typicality` and `atypical` are those of
the calibration. Without one, `probability` is the share of the scores, see `shares`. A skipped
example has a `reason` and no prediction."""


class OneClass(Target):
    """An example has one class of its subtask."""

    name = ONE
    noun = "one label"
    decides, decision = "classes", CalibrationConfig
    schema = PREDICTION_SCHEMA
    tables: ClassVar = {"per_class": ClassRow, "confusions": ConfusionRow, "parts": PartRow}
    new_cells: ClassVar = {
        "votes": lambda votes: {vote["class"]: round(vote["score"], 4) for vote in votes},
        "prediction_set": list,
    }
    new_schema = CLASSIFIED_SCHEMA
    compared_readouts = (
        *("answers", "generated", "icl", "clip"),
        *("vote", "lda", "neurons", "logistic", "lp-plus-plus", "hec-vt", "answers-lda"),
    )
    tried_with_answers = ("answers", "answers-fitted", "lda", "answers-lda")
    has_typicality = True
    is_standalone = True
    refused: ClassVar = {"SavsRegressor": "use SavsClassifier"}

    def tasks(self, rows: TrainingRows) -> list[TrainingTask]:
        """Return the examples by subtask, classes in order of first appearance.

        SelectionError where a class has no usable example, or a subtask has one class only.
        """
        parts = rows.readable.partition_by("subtask", maintain_order=True, as_dict=True)
        tasks = []
        for (subtask,), part in rows.planned.group_by("subtask", maintain_order=True):
            name = None if subtask is None else str(subtask)
            classes = tuple(dict.fromkeys([*rows.names, *part["label"]]))
            readable = parts.get((subtask,), rows.readable.clear())
            check_classes(name, classes, set(readable["label"]))
            numbers = {label: number for number, label in enumerate(classes)}
            labels = np.array([numbers[label] for label in readable["label"]])
            question, media = prompt_of(readable)
            places = readable["row"].to_numpy()
            tasks.append(TrainingTask(name, classes, places, labels, question, media))
        return tasks

    def folds(
        self, tasks: Tasks, clusters: Sequence[str], order: Array, folds: Folds, scoring: str
    ) -> list[dict[int, Array]]:
        """Return folds that have all classes, see `stratified_folds`, task by task."""
        return [dict(enumerate(self._folds(task, clusters, folds, scoring))) for task in tasks]

    def _folds(
        self, task: TrainingTask, clusters: Sequence[str], folds: Folds, scoring: str
    ) -> list[Array]:
        """Return the flags of each part of a task, which are left out in turn.

        SelectionError if a class has too few examples that share no cluster, or too few would be
        left to score by.
        """
        # Examples of one cluster are nearly the same: one that is left out while its twin is fitted
        # to would be recognised, not classified. So there are as many folds as the rarest class has
        # clusters, not examples.
        where, own = of_subtask(task.subtask), [clusters[int(row)] for row in task.rows]
        limit = self.limit(task, clusters)
        if limit.independent < 2:
            raise SelectionError(
                "cross-validation needs two independent examples of each class, but class"
                f" {limit.label!r}{where} has one, or its examples share an image or a group; add"
                " more examples"
            )
        if folds == "loo":
            numbers = np.unique(own, return_inverse=True)[1]
        else:
            count = min(fold_count(task.labels, folds), limit.independent)
            numbers = stratified_folds(task.labels, count, own)
        parts = [numbers == fold for fold in range(int(numbers.max()) + 1)]
        for out in parts:
            left = np.bincount(task.labels[~out], minlength=len(task.classes))
            if scoring != "resubstitution" and (left == 1).any():
                label = task.classes[int(np.flatnonzero(left == 1)[0])]
                raise SelectionError(
                    f"cross-validation leaves one training example of class {label!r}{where} to"
                    f" choose heads by, but {scoring} scoring needs two; add examples, or"
                    " select with `scoring` resubstitution"
                )
            absent = set(range(len(task.classes))) - set(task.labels[~out].tolist())
            if absent:
                raise SelectionError(
                    f"cross-validation cannot split the examples of class"
                    f" {task.classes[min(absent)]!r}{where}: examples that share images or groups"
                    " stay together; add more independent examples"
                )
        return parts

    def limit(self, task: TrainingTask, clusters: Sequence[str]) -> Limit:
        """Return the class that has the fewest independent examples."""
        own = np.array([clusters[int(row)] for row in task.rows])
        of_class = [own[task.labels == number].tolist() for number in range(len(task.classes))]
        rarest = min(range(len(of_class)), key=lambda number: len(set(of_class[number])))
        names = of_class[rarest]
        return Limit(task.classes[rarest], len(set(names)), len(names))

    def decide(
        self, selection: Selected, parts: Sequence[LeftOut], features: Features, rows: int
    ) -> list[Decision | None]:
        """Return calibrations, see `calibrate_task`; none by a readout that does not calibrate."""
        rule, tasks = selection.rule, list(zip(selection.tasks, parts, strict=True))
        if not rule.calibrates:
            return [self.decision_of(task, None) for task, _ in tasks]
        decisions: list[Decision | None] = []
        for (task, part), values in zip(tasks, features(), strict=True):
            seen = part.seen.scores, scores_of_seen(task.fitted, values).scores
            known = calibrate_task(
                part.scores.scores,
                part.labels,
                part.typicality,
                centroids_of(rule, part.task, values),
                seen=seen,
            )
            decisions.append(self.decision_of(task, known))
        return decisions

    def decision_of(self, task: TaskSelection, known: Calibration | None) -> Decision | None:
        """Return the decision of a task with this calibration, if it has one."""
        return known

    def right(self, parts: Sequence[LeftOut]) -> float:
        """Return the share of all examples, of all tasks, that were classified rightly."""
        hits = [part.scores.choice == part.labels for part in parts]
        return float(np.concatenate(hits).mean())

    def columns(
        self, examples: pl.DataFrame, parts: Sequence[ScoredRows], risk: float | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the examples of a block with their predictions, all runs of a form in one table.

        Thousands of subtasks with few examples each take a table for each number of classes, not
        one each.
        """
        forms: dict[tuple[int, bool], list[ScoredRows]] = {}
        for part in parts:
            form = len(part.run.classes), _calibration_of(part.scores) is None
            forms.setdefault(form, []).append(part)
        for (classes, is_plain), alike in forms.items():
            scores = ClassScores.joined([part.scores.scores for part in alike])
            sizes = [len(part.rows) for part in alike]
            first = classes * np.repeat(np.arange(len(alike)), sizes)
            names = [name for part in alike for name in part.run.classes]
            rows = examples[np.concatenate([part.rows for part in alike])]
            rows = predicted(rows, names, scores, first)
            if is_plain:
                yield rows.with_columns(probability=choice_probability(scores))
                continue
            tables = [
                class_probabilities(part.scores.scores, _calibration_of(part.scores))
                for part in alike
            ]
            rows = rows.with_columns(probability=_chosen(scores, np.concatenate(tables)))
            yield _with_calibration(rows, alike, tables, risk)

    def sureness(self, run: Run, scores: Any) -> tuple[pl.Series, Array]:
        """Return the classes, and how far each is ahead of the next."""
        names = pl.Series([run.classes[n] for n in scores.scores.choice], dtype=pl.String)
        return names, sureness(scores.scores)

    def said(self, run: Run, scores: Any) -> list[Said]:
        """Return classes with the probabilities of all."""
        known, choices = _calibration_of(scores), scores.scores.choice
        atypical = [None] * len(choices)
        if known is not None:
            atypical = (_typicality(scores, known) < known.typical).tolist()
        shares = class_probabilities(scores.scores, known)
        return [
            Said(
                run.classes[choice],
                probabilities=of_row,
                atypical=is_odd,
                inside=None if known is None else partial(_in_set, run.classes, known, of_row),
            )
            for choice, of_row, is_odd in zip(choices, shares, atypical, strict=True)
        ]

    def values(self, scores: Any) -> Array:
        """Return class numbers."""
        return scores.scores.choice

    def probabilities(self, scores: Any, readout: str) -> Array:
        """Return probabilities that sum to 1, see `probabilities_of`."""
        return probabilities_of(scores.scores, readout, _calibration_of(scores))

    def left_out(
        self, selection: Selected, examples: pl.DataFrame, parts: Sequence[LeftOut]
    ) -> pl.DataFrame:
        """Return left-out examples with their predictions; they have no probabilities."""
        tables = [predicted(examples[p.rows], p.task.classes, p.scores) for p in parts]
        return pl.concat(tables).sort("row")

    def ranked(self, predictions: pl.DataFrame, tables: Tables) -> pl.DataFrame:
        """Return examples with the `temperature` that makes probabilities of their votes.

        Left-out examples have no calibration, and give that of their subtask themselves. Where
        the folds have several readouts, votes of some are shares for `margin` and `shown`, as the
        probabilities of others are.
        """
        known = super().ranked(predictions, tables)
        total = pl.col("votes").list.eval(pl.element().struct.field("score").sum()).list.first()
        is_count = known.select(total > TOTAL).to_series()
        if is_count.any() and not is_count.all():
            share = pl.when(is_count).then(pl.col("margin") / total).otherwise("margin")
            known = known.with_columns(margin=share, in_shares=pl.lit(True))
        temperatures: dict[str, float | None] = {}
        for one in tables.get("confidence", ()):
            temperatures |= one["temperatures"] or {}
        if not known["probability"].count():
            temperatures = {
                "all" if subtask is None else str(subtask): vote_temperature(
                    part["votes"].to_list(), part["label"].to_list()
                )
                for (subtask,), part in known.group_by("subtask", maintain_order=True)
            }
        name = pl.col("subtask").fill_null("all")
        temperature = name.replace_strict(temperatures, default=None, return_dtype=pl.Float64)
        return known.with_columns(temperature=temperature)

    def measure(
        self, table: pl.LazyFrame, selection: Selected | None, classes: Classes, how: Measuring
    ) -> Measured:
        """Return the metrics of the benchmark, and how far probabilities can be trusted."""
        table = in_schema(table, self.schema)
        labels = table.select(pl.col("label").count()).collect().item()
        calibrations = {
            task.subtask or "all": getattr(calibration_of(task.decision), "temperature", None)
            for task in (selection.tasks if selection else ())
        }
        return Measured(
            table=table,
            units=how.metrics(table, classes) if labels else [],
            notes=_unseen(table, classes),
            confidence=measure_confidence(self.trusted(table), calibrations, how.risk, how.prompts),
            tables={
                "per_class": measure_classes(table, inflation=how.inflation),
                "confusions": count_confusions(table),
                "parts": measure_parts(table, inflation=how.inflation),
            },
        )

    def trusted(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """Return predictions with the `probability` that is to be trusted, and what it is of."""
        return table

    def limits(self, selection: Selected, quoted: Callable[[str], str]) -> list[str]:
        """Return that other images get a class, too, and how sure probabilities are."""
        lines = ["It knows its classes and no other: an image of something else gets a class, too."]
        for task in selection.tasks:
            where = "" if task.subtask is None else f" of {quoted(task.subtask)}"
            known = calibration_of(task.decision)
            lines.append(
                f"Probabilities{where} are calibrated by {len(known.nonconformity):,} left-out"
                f" training examples (temperature {known.temperature:.3g}). The right class"
                f" had a probability of"
                f" {percent(1 - float(known.nonconformity.mean()))} % on average."
                if known is not None
                else f"Probabilities{where} are shares of votes or scores. They are not calibrated."
            )
        return lines

    def worded(self, tables: Mapping[str, Rows]) -> list[Table]:
        """Return the classes, and the most frequent confusions."""
        if "per_class" not in tables:
            return []
        classes, wrong = classes_table(tables["per_class"]), tables["confusions"]
        several = classes.frame["subtask"].n_unique() > 1
        return [classes, *([confusions_table(wrong, has_subtasks=several)] if len(wrong) else [])]

    def new_columns(self, predictions: pl.DataFrame) -> list[Column]:
        """Return the class with its votes, and what is doubtful."""
        doubts = ("unsure", "prediction_set", "atypical", "typicality")
        return [
            *([SUBTASK] if "subtask" in predictions.columns else []),
            *super().new_columns(predictions),
            Column("probability (%)", "probability", percent),
            Column("margin", "margin", "{:.3g}".format),
            Column("votes", "votes", _most_votes, is_text=True),
            Column("marks", doubts, _doubts, is_text=True),
        ]

    def contradicted(
        self, selection: Selected, predictions: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """Yield the wrongly predicted examples of each subtask, with margin and strength."""
        for _, part in predictions.group_by("subtask", maintain_order=True):
            right = part.filter("correct")["margin"].to_numpy()
            wrong = part.filter(~pl.col("correct"))
            margins = np.array([_lead(row) for row in wrong.iter_rows(named=True)], np.float32)
            yield wrong.with_columns(margin=margins, strength=strengths(margins, right))

    def risk_notes(self, selection: Selected, risk: float | None) -> list[str]:
        """Return a note for each task that can answer nothing at a risk.

        ParameterError if it is not between 0 and 1; SelectionError if a task has no calibration.
        """
        if risk is None:
            return []
        require_risk(risk)
        notes, least = [], least_examples(risk)
        for task in selection.tasks:
            where = of_subtask(task.subtask)
            if task.decision is None:
                raise SelectionError(
                    f"the selection{where} has no calibration, which `risk` needs: it was made with"
                    " --no-estimate, of too few examples, or by a readout with negative scores; run"
                    " `savs select` again, or in Python take calibrate(store, selection).selection"
                )
            if task.examples < least:
                notes.append(
                    f"with {task.examples} training examples{where} every prediction is unsure at"
                    f" risk {risk:g}: at least {least} are needed"
                )
        return notes

    def of_new(self, table: pl.LazyFrame, selection: Selected) -> pl.LazyFrame:
        """Return columns `new_schema`.

        Ids are those that the images had before each was used in several tasks.
        """
        if len(selection.tasks) > 1:
            table = table.with_columns(without_prompt(pl.col("id")))
        columns = in_schema(table, self.new_schema)
        has_subtasks = any(task.subtask is not None for task in selection.tasks)
        return columns if has_subtasks else columns.drop("subtask")


ONE_CLASS = OneClass()


def _most_votes(votes: Sequence[Mapping[str, Any]]) -> str:
    best = [vote for vote in votes[:VOTES_SHOWN] if vote["score"] > 0]
    return ", ".join(f"{vote['class']} {vote['score']:.3g}" for vote in best)


def _doubts(
    unsure: bool | None, names: Sequence[str], atypical: bool | None, typicality: float
) -> str:
    doubts = [f"unsure ({', '.join(names) or 'no class'})"] if unsure else []
    return ", ".join([*doubts, *([f"atypical ({typicality:.3f})"] if atypical else [])])


def _in_set(
    classes: tuple[str, ...], calibration: Calibration, probabilities: Array, risk: float
) -> tuple[str, ...]:
    """Return the classes of a set, the likeliest first; `probabilities` are `(classes,)`."""
    flags = calibration.sets(probabilities[None], risk)[0]
    return tuple(classes[n] for n in np.argsort(-probabilities, kind="stable") if flags[n])


def _lead(row: Mapping[str, Any]) -> float:
    """Return the score of the prediction minus that of the label, or of the last that is kept."""
    scores = {vote["class"]: vote["score"] for vote in row["votes"]}
    return scores[row["prediction"]] - scores.get(row["label"], row["votes"][-1]["score"])


def _calibration_of(scores: TaskScores) -> Calibration | None:
    return calibration_of(scores.task.decision)


def _typicality(scores: TaskScores, known: Calibration) -> Array:
    return known.typicality(scores.features, scores.task.fitted, scores.scores)


def _with_calibration(
    rows: pl.DataFrame, parts: Sequence[ScoredRows], tables: Sequence[Array], risk: float | None
) -> pl.DataFrame:
    """Return rows with `typicality` and `atypical`; for a risk with `prediction_set`, `unsure`."""
    pairs = [(part, known) for part in parts if (known := _calibration_of(part.scores))]
    least = [np.full(len(part.rows), known.typical) for part, known in pairs]
    typical = pl.Series(
        np.concatenate([_typicality(part.scores, known) for part, known in pairs]), dtype=pl.Float32
    )
    rows = rows.with_columns(
        typicality=typical, atypical=typical < pl.Series(np.concatenate(least), dtype=pl.Float64)
    )
    if risk is None:
        return rows
    inside = [known.sets(of, risk) for (_, known), of in zip(pairs, tables, strict=True)]
    names = [names_of(p.run.classes, flags) for p, flags in zip(parts, inside, strict=True)]
    unsure = np.concatenate([flags.sum(axis=1) != 1 for flags in inside])
    return rows.with_columns(prediction_set=pl.concat(names), unsure=pl.Series(unsure))


def named(examples: pl.DataFrame, classes: Sequence[str], choice: Array) -> pl.DataFrame:
    """Return examples with the class that each is predicted to be, and whether it is right."""
    names = np.array(classes, dtype=object)[choice]
    return examples.with_columns(prediction=pl.Series(names, dtype=pl.String)).with_columns(
        correct=pl.col("prediction") == pl.col("label")
    )


def predicted(
    examples: pl.DataFrame,
    classes: Sequence[str],
    class_scores: ClassScores,
    first: Array | int = 0,
) -> pl.DataFrame:
    """Return examples with their prediction, whether it is right, its margin and its votes.

    `first` is where in `classes` those of an example begin, `(n,)` where examples have others.
    """
    margins = lead(class_scores.scores, class_scores.choice)
    return named(examples, classes, class_scores.choice + first).with_columns(
        margin=pl.Series(margins, dtype=pl.Float32), votes=_votes(classes, class_scores, first)
    )


def _votes(classes: Sequence[str], class_scores: ClassScores, first: Array | int) -> pl.Series:
    """Return each example's best classes with their scores, as lists of structs."""
    order = best_classes(class_scores.scores, VOTES_KEPT)
    places = (order.T + first).T.ravel()
    flat = pl.DataFrame(
        {
            "class": pl.Series(list(classes), dtype=pl.String)[places],
            "score": np.take_along_axis(class_scores.scores, order, axis=1).ravel(),
            "soft": np.take_along_axis(class_scores.soft, order, axis=1).ravel(),
        }
    ).cast({"score": pl.Float32, "soft": pl.Float32})
    return flat.to_struct("votes").reshape(order.shape).arr.to_list()


def best_classes(scores: Array, count: int) -> Array:
    """Return the classes of greatest score, best first; of equal ones the first class.

    `scores` are `(n, classes)` float32; the result `(n, count)`, or fewer if there are fewer
    classes.

    >>> best_classes(np.float32([[0, 2, 0, 3, 2]]), 4)
    array([[3, 1, 4, 0]])
    """
    n, classes = scores.shape
    lowest = scores.min(axis=1, keepdims=True)
    if classes <= count or np.count_nonzero(scores == lowest) > scores.size / 2:
        return np.argsort(-scores, axis=1, kind="stable")[:, :count]  # fast where most are equal
    last = np.partition(scores, classes - count, axis=1)[:, classes - count, None]
    better, equal = scores > last, scores == last
    wanted = count - better.sum(axis=1, keepdims=True)
    # of equal scores at the cut the first classes fill up, as a stable sort would have them
    is_best = better | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= wanted))
    columns = np.nonzero(is_best)[1].reshape(n, count)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def names_of(classes: Sequence[str], inside: Array) -> pl.Series:
    """Return `(n, classes)` flags as lists of classes."""
    rows, columns = np.nonzero(inside)
    names = pl.Series(list(classes), dtype=pl.String)[columns]
    flat = pl.DataFrame({"row": rows, "name": names}, schema={"row": pl.Int64, "name": pl.String})
    lists = flat.group_by("row", maintain_order=True).agg("name")
    whole = pl.DataFrame({"row": np.arange(len(inside))}, schema={"row": pl.Int64})
    joined = whole.join(lists, on="row", how="left", maintain_order="left")
    return joined["name"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def choice_probability(class_scores: ClassScores) -> pl.Series:
    """Return each choice's share of the scores, see `class_probabilities`; null if that is NaN."""
    return _chosen(class_scores, class_probabilities(class_scores, None))


def _chosen(class_scores: ClassScores, table: Array) -> pl.Series:
    chosen = table[np.arange(len(table)), class_scores.choice]
    return pl.Series(chosen.astype(np.float32)).fill_nan(None)


def probabilities_of(
    scores: ClassScores, readout: str, calibration: Calibration | None = None
) -> Array:
    """Return `(n, classes)` calibrated probabilities, float64, which sum to 1.

    Without a calibration they are shares of the scores. The chosen class has the greatest, by a
    billionth where the readout's tie rule decided. ParameterError if a user's readout gives
    negative scores, or none at all.
    """
    table = class_probabilities(scores, calibration).astype(np.float64)
    if np.isnan(table).any():
        raise ParameterError(
            f"readout {readout!r} gives scores that are no probabilities; use predict"
        )
    tied = np.flatnonzero(table.argmax(axis=1) != scores.choice)
    table[tied, scores.choice[tied]] = table[tied].max(axis=1) * (1 + LEAD)
    return table / table.sum(axis=1, keepdims=True)


def sureness(class_scores: ClassScores) -> Array:
    """Return `(n, 2)` float32: the lead of the choice by score, and by soft score."""
    leads = [
        lead(scores, class_scores.choice) for scores in (class_scores.scores, class_scores.soft)
    ]
    return np.stack(leads, axis=1).astype(np.float32)


def _unseen(table: pl.LazyFrame, classes: Classes) -> list[str]:
    """Return a note for each label of the test examples that the training examples lack."""
    known = {(subtask, label) for subtask, labels in classes.items() for label in labels}
    groups = table.group_by("subtask", "label", maintain_order=True).len()
    unseen: Counter[str] = Counter()
    for subtask, label, count in groups.collect(engine="streaming").iter_rows():
        if label is not None and (subtask, label) not in known:
            unseen[label] += count
    return [
        f"label {label!r} of {counted(count, 'test example')} is not in the training examples;"
        f" {'it counts' if count == 1 else 'they count'} as wrong"
        for label, count in unseen.items()
    ]
