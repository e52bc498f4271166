"""An example has any of many labels: each label is a task of two classes.

`label_logits.py` has the logits of all labels at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec
import numpy as np
import polars as pl

from savs.datasets.example import first_few
from savs.datasets.label_texts import states_of, text_of
from savs.datasets.many_labels import (
    PRESENT,
    SIDES,
    UNKNOWN,
    count_labels,
    label_table,
    named_labels,
    states_unknown,
    with_label,
)
from savs.datasets.metrics.many_labels import LabelPredictions, cooccurrence, label_metrics
from savs.datasets.metrics.metrics import Classes
from savs.datasets.metrics.ranking import average_precision_units
from savs.datasets.rows.label_kinds import MANY
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.foundation.frames import schema_of
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import row_blocks
from savs.pipeline.heads.folds import label_folds
from savs.pipeline.readouts import Readout
from savs.pipeline.readouts.readout import margins
from savs.pipeline.running.formatting import counted, percent
from savs.pipeline.running.table import Column, Table
from savs.pipeline.statistics.confidence import label_confidence
from savs.pipeline.statistics.intervals import Estimate, Metric, one_stratum
from savs.pipeline.statistics.per_class import LabelRow, PairRow
from savs.pipeline.targets.label_logits import LabelLogits
from savs.pipeline.targets.label_rules import (
    CLOSE,
    MOST,
    NEVER,
    RISKS,
    LabelRule,
    fit_rules,
    rule_of_whole,
    rules_of,
    threshold_distances,
)
from savs.pipeline.targets.one import VOTES_SHOWN, names_of
from savs.pipeline.targets.tables import Rows, labels_table, pairs_table
from savs.pipeline.targets.target import (
    Cells,
    Counts,
    Target,
    in_schema,
    packed,
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
    Measured,
    Measuring,
    Run,
    Said,
    ScoredRows,
    Selected,
    Share,
    Shown,
    Tables,
    Tasks,
    TaskSelection,
    TrainingRows,
    TrainingTask,
)
from savs.stores import Head

BLOCK = 2**23
"""Cells of examples x labels that are columns at a time."""
PAIRS_KEPT = 100
"""Pairs of labels that an evaluation lists."""
NAMED = 5
"""Labels that a note names."""
LABEL_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "labels": pl.List(pl.String),
    "unknown": pl.List(pl.String),
    "predicted": pl.List(pl.String),
    "probabilities": pl.List(pl.Float32),
    "prediction_set": pl.List(pl.String),
    "correct": pl.Boolean,
    **EXAMPLE_SCHEMA,
}
"""Columns of the predictions of examples with many labels. `label` and `prediction` are canonical
texts, as the store has them; `labels` are those that are there, null of an example that is not
labelled; `probabilities` are in the order of the table of labels; `prediction_set` is null unless a
risk was given. A skipped example has no prediction and is not correct, nor is one with a label too
many or too few. Labels that are unknown of it do not count."""
LABELS_SCHEMA = {
    "id": pl.String,
    "media": pl.List(pl.String),
    "prompt": pl.String,
    "prediction": pl.String,
    "labels": pl.List(pl.String),
    "probabilities": pl.List(pl.Struct({"label": pl.String, "probability": pl.Float32})),
    "prediction_set": pl.List(pl.String),
    "reason": pl.String,
}
"""Columns of the predictions of many labels: `labels` are the predicted ones, and `prediction` is
their canonical text."""
TABLE_SCHEMA = schema_of(LabelRow)
LOGITS, CALLED = "logits", "called"
"""Columns of predictions before they are measured: the logit of each label, and 1 where it is
predicted, 0 where it is not, -1 where nothing is said of it."""


class ManyLabels(Target):
    """An example has any of many labels."""

    name, kind = "many", MANY
    noun = "many labels"
    decides, decision = "label", LabelRule
    part = "label"
    headline = "mAP"
    doubted = "doubtful"
    suspected_as = "have one label more, or less"
    given_as = "marks"
    estimated_as = "cross-validated AP (%)"
    tasks_share_rows = True
    schema = LABEL_SCHEMA
    tables: ClassVar = {"per_label": LabelRow, "pairs": PairRow}
    new_cells: ClassVar = {
        "labels": list,
        "prediction_set": list,
        "probabilities": lambda pairs: {p["label"]: round(p["probability"], 4) for p in pairs},
    }
    counted_as = "label"
    new_schema = LABELS_SCHEMA
    has_classes = False
    is_standalone = True
    first_shown = (
        "the surest mistakes of each label first",
        "others, those next to a threshold first",
    )
    refused: ClassVar = {
        "SavsRegressor": "use SavsClassifier",
        "the model's own answer": "use a readout, such as vote",
        "a readout of class names": "use a readout that learns from examples",
        "a table of votes": "use `savs explain`, which shows what heads say of each example",
        "`pseudo_labels`": "omit it: it gives each example one class",
        "an explanation of left-out examples": "evaluate on test examples",
        "`sort_into`": "omit it, or write a table",
        "a subtask": "omit it: labels stay together",
        "a page": "write a table",
        "several classifiers": "classify with each alone",
    }

    def tasks(self, rows: TrainingRows) -> list[TrainingTask]:
        """Return for each label a task of the classes `SIDES`, in order of first appearance.

        Training examples that do not say whether the label is there are not in its task.
        SelectionError if a label is there in no example, or absent in none.
        """
        names = list(dict.fromkeys([*rows.names, *named_labels(rows.planned["label"])]))
        if not names:
            raise SelectionError("no training example has a label; give some to the rows")
        examples = rows.readable
        states = label_table(examples["label"], names).states
        question, media = prompt_of(examples)
        places, ids = examples["row"].to_numpy(), examples["id"]
        tasks = []
        for label, of_label in zip(names, states, strict=True):
            known = np.flatnonzero(of_label != UNKNOWN)
            there = int((of_label == PRESENT).sum())
            if there in (0, len(known)):
                what, remedy = ("there", "absent") if there else ("absent", "there")
                first = f", {ids[int(known[0])]!r} first," if len(known) else ""
                raise SelectionError(
                    f"label {label!r} is {what} in all {len(known):,} training examples with a"
                    f" value for it{first} so that it cannot be learned; add one where it is"
                    f" {remedy}, or take the label out of the rows"
                )
            labels = of_label[known].astype(np.int64)
            tasks.append(TrainingTask(label, SIDES, places[known], labels, question, media))
        return tasks

    def require_method(
        self, rule: Readout, scoring: str, name: str, *, joint_heads: bool, precision: float | None
    ) -> None:
        """Raise SelectionError for a readout of class names, ParameterError for a precision."""
        if precision is not None and not 0 < precision < 1:
            raise ParameterError(f"`precision` is {precision}, expected a number between 0 and 1")
        if rule.texts:
            raise SelectionError(
                f"readout {rule.name!r} compares images with names of classes of which one is"
                " right, and the examples have many labels; use another readout"
            )

    def folds(
        self, tasks: Tasks, clusters: Sequence[str], order: Array, folds: Folds, scoring: str
    ) -> list[dict[int, Array]]:
        """Return folds with both sides of each label, drawn from the rows in their `order`.

        All labels share the folds, so that no head is chosen by an example that it classifies
        later. A label has none where its positive or its negative examples are too few to leave
        some out; SelectionError if that is so for all labels.
        """
        states = np.full((len(tasks), len(clusters)), UNKNOWN, np.int8)
        for of_label, task in zip(states, tasks, strict=True):
            of_label[task.rows] = task.labels
        if folds == "loo":
            numbers = np.unique(clusters, return_inverse=True)[1]
        else:
            names = [clusters[int(row)] for row in order]
            first = {name: str(place) for place, name in reversed([*enumerate(names)])}
            numbers = np.empty(len(order), np.int64)
            numbers[order] = label_folds(
                states[:, order], min(folds, len(first)), [first[name] for name in names]
            )
        least = 1 if scoring == "resubstitution" else 2
        outs: list[dict[int, Array]] = []
        for task in tasks:
            of_rows = numbers[task.rows]
            flags = {int(fold): of_rows == fold for fold in np.unique(of_rows)}
            left = [np.bincount(task.labels[~out], minlength=2).min() for out in flags.values()]
            outs.append(flags if min(left) >= least else {})
        if not any(outs):
            raise SelectionError(
                "cross-validation needs two independent examples where a label is there, and two"
                " where it is absent, but no label has them; add more examples"
            )
        return outs

    def decide(
        self, selection: Selected, parts: Sequence[LeftOut], features: Features, rows: int
    ) -> list[Decision | None]:
        """Return the rule of each label, see `fit_rules`; None with too few left-out examples."""
        rules = fit_rules(*_margins(parts, rows), selection.precision)
        decisions: list[Decision | None] = []
        tasks = zip(selection.tasks, parts, rules, features(), strict=True)
        for task, part, fitted, values in tasks:
            if fitted is not None:
                seen = margins(scores_of_seen(task.fitted, values))
                fitted = rule_of_whole(fitted, margins(part.seen), seen)
            decisions.append(fitted)
        return decisions

    def right(self, parts: Sequence[LeftOut]) -> float:
        """Return the mean average precision of the labels that were left out."""
        left_out = [(margins(part.scores), part.labels == 1) for part in parts if part.folds]
        return float(np.mean([average_precision_units(*one).mean() for one in left_out]))

    def runs(self, selection: Selected, widths: Mapping[Head, int]) -> list[Run]:
        """Return one run, of all labels."""
        heads, names = tuple(selection.heads), tuple(str(task.subtask) for task in selection.tasks)
        logits = LabelLogits(selection, widths)
        return [Run(None, heads, max(widths[head] for head in heads), names, logits.scores)]

    def columns(
        self, examples: pl.DataFrame, parts: Sequence[ScoredRows], risk: float | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the examples with the text of the predicted labels, `LOGITS` and `CALLED`."""
        for part in parts:
            names, called = part.run.classes, part.scores.called
            rows = examples[part.rows]
            if risk is not None:
                inside = _inside(part.scores.logits, part.scores.rules, risk)
                rows = rows.with_columns(prediction_set=names_of(names, inside.T))
            yield _with_labels(rows, names, part.scores.logits, called)

    def sureness(self, run: Run, scores: Any) -> tuple[pl.Series, Array]:
        """Return the labels, and the distance of the least sure one to its threshold.

        That is how far the logit is from the threshold's (Brinker, From Data and Information
        Analysis to Knowledge Engineering, 2006, On active learning in multi-label classification).
        """
        thresholds = np.array([rule.threshold for rule in scores.rules])
        distances = threshold_distances(scores.probabilities, thresholds).min(axis=1)
        return label_texts(run.classes, scores.called.T), distances.astype(np.float32)[:, None]

    def said(self, run: Run, scores: Any) -> list[Said]:
        """Return the predicted labels with the probabilities of all."""
        rows = zip(scores.called.T, scores.probabilities, scores.logits.T, strict=True)
        return [
            Said(
                "",
                _flagged(run.classes, called, of_row),
                of_row,
                inside=partial(_in_set, run.classes, scores.rules, of_row, logits),
            )
            for called, of_row, logits in rows
        ]

    def values(self, scores: Any) -> Array:
        """Return `(n, labels)` of 0 and 1."""
        return scores.called.T.astype(np.int64)

    def probabilities(self, scores: Any, readout: str) -> Array:
        """Return the probability of each label."""
        return scores.probabilities

    def left_out(
        self, selection: Selected, examples: pl.DataFrame, parts: Sequence[LeftOut]
    ) -> pl.DataFrame:
        """Return all training examples; thresholds and probabilities come from the other folds."""
        turns = np.full((len(parts), examples.height), -1)
        for label, part in enumerate(parts):
            turns[label, part.rows] = part.fold
        logits = np.zeros(turns.shape, np.float32)
        called = np.full(turns.shape, -1, np.int8)
        for turn in np.unique(turns[turns >= 0]).tolist():
            values, states = _margins([part.in_turn(turn) for part in parts], examples.height)
            others = np.where(turns == turn, UNKNOWN, states).astype(np.int8)
            rules = rules_of(fit_rules(values, others, selection.precision))
            for label, rule in enumerate(rules):
                out = turns[label] == turn
                logits[label, out] = rule.slope * values[label, out] + rule.intercept
                called[label, out] = logits[label, out] >= rule.least_logit
        names = [str(task.subtask) for task in selection.tasks]
        return _with_labels(examples, names, logits, called)

    def given(self, label: str | Sequence[str], before: Sequence[str | None]) -> Any:
        """Return the text of the labels that are marked; others that were unknown stay unknown."""
        if isinstance(label, str):
            return label
        unknown = [name for text in before for name in states_unknown(text)]
        return text_of({**dict.fromkeys(unknown), **dict.fromkeys(label, True)})

    def learned_together(self, tasks: Sequence[TaskSelection], counts: Counts) -> Cells:
        """Return the labels with their thresholds."""
        rules = rules_of([task.decision for task in tasks])
        rows = [
            [task.subtask, of_task and of_task[SIDES[1]], percent(rule.threshold)]
            for task, of_task, rule in zip(tasks, counts, rules, strict=True)
        ]
        header = ("label", "training examples that have it")
        return (*header, "predicted from this probability on (%)"), rows

    def facts(self, decision: Decision | None) -> dict[str, Any]:
        """Return the threshold."""
        return super().facts(decision) | {"threshold": getattr(decision, "threshold", None)}

    def grouped(self, examples: pl.DataFrame) -> pl.DataFrame:
        """Return a row for each label that is there."""
        lists = [None if text is None else [*count_labels([text])] for text in examples["label"]]
        labels = pl.Series("label", lists, dtype=pl.List(pl.String))
        return examples.with_columns(labels).explode("label")

    def named(self, label: str | None) -> list[str] | None:
        """Return the labels that are there."""
        if label is None:
            return None
        return [name for name, is_there in states_of(label).items() if is_there]

    def unknown(self, label: str | None) -> list[str]:
        """Return the labels that are unknown."""
        return states_unknown(label)

    def can_measure(self, labels: pl.Series, tasks: Sequence[TrainingTask]) -> bool:
        """Return whether a label of the tasks is there in some example."""
        return not count_labels(labels).keys().isdisjoint(task.subtask for task in tasks)

    def risk_notes(self, selection: Selected, risk: float | None) -> list[str]:
        """Return a note on labels that are in each set, since too few examples have them.

        ParameterError if a risk is not between 0 and .5.
        """
        if risk is None:
            return []
        if not 0 < risk <= RISKS / 100:
            raise ParameterError(
                f"`risk` is {risk}, expected a number above 0, and at most {RISKS / 100} of many"
                " labels, such as 0.05"
            )
        rules = zip(selection.tasks, rules_of([t.decision for t in selection.tasks]), strict=True)
        always = [str(task.subtask) for task, rule in rules if rule.least_kept(risk) == -MOST]
        if not always:
            return []
        return [
            f"too few left-out training examples have {_named(always)} to leave"
            f" {'it' if len(always) == 1 else 'them'} out of a set at risk {risk:g}: each set has"
            f" {'it' if len(always) == 1 else 'them'}"
        ]

    def notes(self, selection: Selected) -> list[str]:
        """Return notes on labels without a rule, and on those that are never predicted."""
        notes = []
        rules = [(task.subtask, task.decision) for task in selection.tasks]
        if absent := [name for name, rule in rules if rule is None]:
            notes.append(
                f"too few independent examples to fit a threshold for {_named(absent)}; using 0.5,"
                " uncalibrated"
            )
        never = [n for n, rule in rules if isinstance(rule, LabelRule) and rule.threshold == NEVER]
        if never:
            notes.append(
                f"no threshold of {_named(never)} has the precision {selection.precision} on"
                f" left-out training examples: {'it is' if len(never) == 1 else 'they are'} never"
                " predicted"
            )
        return notes

    def limits(self, selection: Selected, quoted: Callable[[str], str]) -> list[str]:
        """Return that other labels are not predicted, and how sure probabilities are."""
        plain = sum(task.decision is None for task in selection.tasks)
        return [
            "It knows its labels and no other: what else an image shows is not predicted.",
            "The probability of each label is calibrated by left-out training examples"
            + (f", but for {plain:,} labels with too few examples" if plain else "")
            + ".",
        ]

    def contradicted(
        self, selection: Selected, predictions: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """Yield for each label the examples where it is wrongly predicted.

        `prediction` has all labels of the example, with this one changed; `margin` is how far its
        logit is from that of the threshold.
        """
        names = [str(task.subtask) for task in selection.tasks]
        states = label_table(predictions["label"], names).states
        predicted = label_table(predictions["prediction"], names).states
        shares = np.array(predictions["probabilities"].to_list(), np.float64)
        rules = [task.decision for task in selection.tasks]
        thresholds = np.array([rule.threshold for rule in rules_of(rules)])
        distances = threshold_distances(shares, thresholds)
        for number, rule in enumerate(rules):
            if rule is None or thresholds[number] == NEVER:
                continue  # nothing was left out, or nothing is predicted
            margins = distances[:, number]
            is_right = states[number] == predicted[number]
            wrong = np.flatnonzero(~is_right & (states[number] != UNKNOWN))
            rows = predictions[wrong]
            changed = [
                with_label(text, names[number], is_there=bool(there))
                for text, there in zip(rows["label"], predicted[number, wrong], strict=True)
            ]
            yield rows.with_columns(
                subtask=pl.lit(names[number]),
                prediction=pl.Series(changed, dtype=pl.String),
                margin=margins[wrong],
                strength=strengths(margins[wrong], margins[is_right]),
            )

    def ranked(self, predictions: pl.DataFrame, tables: Tables) -> pl.DataFrame:
        """Return the label that decides as `turn`: its logit's distance from its threshold.

        Of the wrong labels it is the farthest one, else the nearest of all.
        """
        known = predictions.filter(pl.col("prediction").is_not_null())
        names = [row["label"] for row in tables["per_label"]]
        states = label_table(known["label"], names).states.T
        predicted = label_table(known["prediction"], names).states.T
        thresholds = np.array([row["threshold"] for row in tables["per_label"]])
        shares = np.array(known["probabilities"].to_list(), np.float64).reshape(states.shape)
        distances = threshold_distances(shares, thresholds)
        is_known = states != UNKNOWN
        is_wrong = is_known & (states != predicted)
        # a label that is never predicted has no distance: any other wrong one goes before it
        farthest = np.where(is_wrong, np.where(np.isfinite(distances), distances, 0), -1)
        nearest = np.where(is_known, distances, np.inf)
        decisive = np.where(is_wrong.any(axis=1), farthest.argmax(axis=1), nearest.argmin(axis=1))
        margins = np.where(is_wrong.any(axis=1), farthest.max(axis=1), nearest.min(axis=1))
        return known.with_columns(
            margin=pl.Series(margins, dtype=pl.Float32),
            turn=pl.Series([names[number] for number in decisive], dtype=pl.String),
            typicality=pl.lit(None, pl.Float32),
        )

    def of_one_task(self, ranked: pl.DataFrame, tables: Tables) -> pl.DataFrame:
        """Return examples by the label that decides: one of `SIDES`, and null where not known."""
        name = pl.col("turn")
        there, said = (name.is_in(pl.col(one)).cast(pl.Int8) for one in ("labels", "predicted"))
        truth = pl.when(~name.is_in(pl.col("unknown"))).then(there)
        sides = dict(enumerate(SIDES))
        return ranked.with_columns(
            subtask=name,
            label=truth.replace_strict(sides, return_dtype=pl.String),
            prediction=said.replace_strict(sides, return_dtype=pl.String),
            correct=truth.eq_missing(said),
        )

    def shown(self, row: Mapping[str, Any], tables: Tables) -> Shown:
        """Return the labels, and the probabilities of those that are there or predicted."""
        order = [label["label"] for label in tables["per_label"]]
        labels, predicted, unknown = row["labels"], row["predicted"], row["unknown"]
        probability = dict(zip(order, row["probabilities"], strict=True))
        there = {*labels, *predicted}
        return Shown(
            labels=tuple(labels),
            are_several=True,
            predictions=tuple(predicted),
            verdict="right" if row["correct"] else "wrong",
            missed=tuple(name for name in labels if name not in predicted),
            false=tuple(name for name in predicted if name not in {*labels, *unknown}),
            shares=tuple(
                Share(name, probability[name], f"{100 * probability[name]:.0f} %")
                for name in sorted(there, key=lambda name: (-probability[name], name))
            ),
            facts={"not known": ", ".join(unknown)} if unknown else {},
        )

    def measure(
        self, table: pl.LazyFrame, selection: Selected | None, classes: Classes, how: Measuring
    ) -> Measured:
        """Return the metrics of `label_metrics`, those of each label, and the frequent pairs."""
        assert selection is not None
        names = [str(task.subtask) for task in selection.tasks]
        rules = [task.decision for task in selection.tasks]
        examples = table.drop(LOGITS, CALLED, strict=False).collect()
        skipped = examples["prediction"].is_null().to_numpy()
        logits, called = (_matrix(table, name, ~skipped, len(names)) for name in (LOGITS, CALLED))
        labels = label_table(examples["label"], names)
        states = np.where(called < 0, UNKNOWN, labels.states).astype(np.int8)
        is_called, cluster = called > 0, examples["cluster"]
        predictions = LabelPredictions(logits, is_called, states, labels.others, skipped)
        weights = one_stratum(cluster)

        def interval(rows: Array, values: Array) -> tuple[float | None, float | None]:
            if how.only_units:
                return None, None
            of_rows = weights if len(rows) == len(cluster) else one_stratum(cluster[rows])
            return Estimate.of(values, of_rows, inflation=how.inflation).interval()

        units, of_labels = [], pl.DataFrame(schema=TABLE_SCHEMA)
        if (states != UNKNOWN).any():
            measured = label_metrics(predictions, cluster, interval)
            units = measured.metrics
            of_labels = measured.table.with_columns(
                label=pl.Series(names),
                threshold=pl.Series([rule.threshold for rule in rules_of(rules)]),
            )
            of_labels = of_labels.select(TABLE_SCHEMA.names()).cast(TABLE_SCHEMA)
        if how.only_units:
            return Measured(table=table, units=units, notes=[])
        inside = None if how.risk is None else _inside(logits, rules_of(rules), how.risk)
        return Measured(
            table=_packed(examples, logits, is_called, states, names),
            units=units,
            notes=_unseen(examples["label"], names),
            confidence=label_confidence(
                logits,
                np.where(skipped, UNKNOWN, states),
                is_calibrated=any(rule is not None for rule in rules),
                risk=how.risk,
                inside=inside,
                cluster=cluster,
            ),
            tables={"per_label": of_labels, "pairs": _pairs(states, is_called, names)},
        )

    def of_new(self, table: pl.LazyFrame, selection: Selected) -> pl.LazyFrame:
        """Return columns `LABELS_SCHEMA`."""
        names = [str(task.subtask) for task in selection.tasks]
        examples = table.drop(LOGITS, CALLED, strict=False).collect()
        there = examples["prediction"].is_not_null()
        made = there.to_numpy()
        logits, called = (_matrix(table, name, made, len(names)) for name in (LOGITS, CALLED))
        shares = _shares(logits).to_list()
        pairs = [
            [{"label": name, "probability": p} for name, p in zip(names, of_row, strict=True)]
            for of_row in shares
        ]
        probabilities = pl.Series(pairs, dtype=LABELS_SCHEMA["probabilities"])
        labels = names_of(names, called.T > 0)
        examples = examples.with_columns(
            labels=pl.when(there).then(labels), probabilities=pl.when(there).then(probabilities)
        )
        return in_schema(examples.lazy(), LABELS_SCHEMA)

    def predicted_labels(self, predictions: pl.DataFrame) -> pl.Series:
        """Return the labels of all examples."""
        return predictions["labels"].explode()

    def new_columns(self, predictions: pl.DataFrame) -> list[Column]:
        """Return the labels, and the most probable ones."""
        columns = [
            Column("labels", "labels", lambda names: ", ".join(names) or "-", is_text=True),
            Column("probabilities (%)", "probabilities", _most_probable, is_text=True),
        ]
        if predictions["prediction_set"].count():
            columns.append(Column("set", "prediction_set", ", ".join, is_text=True))
        return columns

    def worded(self, tables: Mapping[str, Rows]) -> list[Table]:
        """Return the labels, and those that are most often together."""
        words = {"per_label": labels_table, "pairs": pairs_table}
        return [word(tables[name]) for name, word in words.items() if len(tables.get(name, ()))]

    def estimates(
        self,
        metrics: Mapping[str, Metric],
        tables: Mapping[str, pl.DataFrame],
        subtasks: Sequence[str | None],
    ) -> dict[str | None, Metric]:
        """Return the average precision of each label that has one."""
        known = tables["per_label"].drop_nulls("average_precision")
        clusters = max((metric.clusters for metric in metrics.values()), default=0)
        return {
            row["label"]: Metric(
                name="average precision",
                value=row["average_precision"],
                low=row["low"],
                high=row["high"],
                chance=row["chance"],
                majority=None,
                units=row["n"],
                clusters=clusters,
                scale="share",
            )
            for row in known.iter_rows(named=True)
        }


MANY_LABELS = ManyLabels()


def _most_probable(pairs: Sequence[Mapping[str, Any]]) -> str:
    best = sorted(pairs, key=lambda pair: -pair["probability"])[:VOTES_SHOWN]
    return ", ".join(f"{pair['label']} {percent(pair['probability'])}" for pair in best)


def _margins(parts: Sequence[LeftOut], rows: int) -> tuple[Array, Array]:
    """Return `(labels, rows)` margins and states of left-out examples; both unknown elsewhere."""
    values, states = np.zeros((len(parts), rows)), np.full((len(parts), rows), UNKNOWN, np.int8)
    for label, part in enumerate(parts):
        values[label, part.rows] = margins(part.scores)
        states[label, part.rows] = part.labels
    return values, states


def _flagged(names: tuple[str, ...], flags: Array, probabilities: Array) -> tuple[str, ...]:
    """Return the labels with a flag, the likeliest first."""
    return tuple(names[n] for n in np.argsort(-probabilities, kind="stable") if flags[n])


def _in_set(
    names: tuple[str, ...],
    rules: Sequence[LabelRule],
    probabilities: Array,
    logits: Array,
    risk: float,
) -> tuple[str, ...]:
    """Return the labels of a set, the likeliest first; arrays are `(labels,)`."""
    return _flagged(names, _inside(logits[:, None], rules, risk)[:, 0], probabilities)


def _inside(logits: Array, rules: Sequence[LabelRule], risk: float) -> Array:
    """Return the labels of sets, `(labels, n)` flags of `(labels, n)` logits."""
    least = np.array([rule.least_kept(risk) for rule in rules])
    return logits.astype(np.float64) >= least[:, None] - CLOSE * np.abs(least[:, None])


def _with_labels(
    examples: pl.DataFrame, names: Sequence[str], logits: Array, called: Array
) -> pl.DataFrame:
    """Return examples with `(labels, n)` logits and flags, and the text of the flagged labels."""
    size = len(names)
    return examples.with_columns(
        pl.Series("prediction", label_texts(names, called.T > 0), dtype=pl.String),
        _lists(LOGITS, logits, pl.Float32, size),
        _lists(CALLED, called.astype(np.int8), pl.Int8, size),
    )


def _lists(name: str, values: Array, dtype: Any, size: int) -> pl.Series:
    """Return `(labels, n)` values as a column of lists."""
    rows = np.ascontiguousarray(values.T)
    return pl.Series(name, rows, dtype=pl.Array(dtype, size)).arr.to_list()


def _matrix(table: pl.LazyFrame, name: str, there: Array, size: int) -> Array:
    """Return a column of lists as `(size, n)`, of rows that are there; 0 elsewhere."""
    whole = np.zeros((size, len(there)), np.float32 if name == LOGITS else np.int8)
    if there.any():  # else no example was predicted, and there is no such column
        lists = table.select(name).collect().to_series().filter(pl.Series(there))
        whole[:, there] = lists.explode().to_numpy().reshape(-1, size).T
    return whole


def _shares(logits: Array) -> pl.Series:
    """Return `(labels, n)` logits as a column of lists of float32 probabilities."""
    values = (1 / (1 + np.exp(-logits.T.astype(np.float64)))).astype(np.float32)
    return pl.Series(values, dtype=pl.Array(pl.Float32, len(logits))).arr.to_list()


def _named(labels: Sequence[Any]) -> str:
    return f"{counted(len(labels), 'label')} ({first_few(map(repr, labels), NAMED)})"


def _unseen(texts: pl.Series, names: Sequence[str]) -> list[str]:
    """Return a note where labels are there that training does not know."""
    known = set(names)
    return [
        f"label {name!r} of {counted(count, 'example')} is not in the training examples; it counts"
        " as missed"
        for name, count in count_labels(texts).items()
        if name not in known
    ]


def _packed(
    examples: pl.DataFrame, logits: Array, called: Array, states: Array, names: Sequence[str]
) -> pl.LazyFrame:
    """Return predictions as Parquet in memory, columns `LABEL_SCHEMA`."""
    parts = []
    for some in row_blocks(examples.height, len(names), BLOCK):
        rows, there, flags = examples[some], states[:, some], called[:, some]
        wrong = (flags != (there == PRESENT)) & (there != UNKNOWN)
        is_labelled, is_predicted = rows["label"].is_not_null(), rows["prediction"].is_not_null()
        columns = {
            "labels": names_of(names, (there == PRESENT).T),
            "unknown": names_of(names, (there == UNKNOWN).T),
            "predicted": names_of(names, flags.T),
            "probabilities": _shares(logits[:, some]),
        }
        known = dict.fromkeys(columns, is_labelled) | dict.fromkeys(
            ("predicted", "probabilities"), is_predicted
        )
        table = rows.with_columns(
            *(pl.when(known[name]).then(values).alias(name) for name, values in columns.items()),
            correct=pl.Series(~wrong.any(axis=0)) & is_predicted & is_labelled,
        )
        parts.append(packed(in_schema(table.lazy(), LABEL_SCHEMA).collect()))
    return pl.concat(parts)


def label_texts(names: Sequence[str], there: Array) -> pl.Series:
    """Return the canonical text of the labels that are there, of `(n, labels)` flags."""
    order = sorted(range(len(names)), key=lambda number: names[number])
    quoted = [msgspec.json.encode(names[number]).decode() for number in order]
    return "[" + names_of(quoted, there[:, order]).list.join(",") + "]"


def _pairs(states: Array, predicted: Array, names: Sequence[str]) -> pl.DataFrame:
    together = np.triu(cooccurrence(states), 1)
    order = np.argsort(-together, axis=None, kind="stable")[:PAIRS_KEPT]
    first, second = np.unravel_index(order, together.shape)
    predicted_together = cooccurrence(np.where(states != UNKNOWN, predicted, False).astype(np.int8))
    table = pl.DataFrame(
        {
            "label": [names[n] for n in first],
            "other": [names[n] for n in second],
            "n": together[first, second],
            "predicted": predicted_together[first, second],
        },
        schema=schema_of(PairRow),
    )
    return table.filter(pl.col("n") > 0)
