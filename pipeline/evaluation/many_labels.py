"""Evaluation of examples with many labels: one row an example, a probability for each label.

Logits of all labels are one matrix. A head is multiplied once with the directions of all labels
that chose it, see `HeadsFit.binary`: features are not gathered for each label.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import polars as pl

from savs.datasets.example import first_few
from savs.datasets.many_labels import (
    PRESENT,
    UNKNOWN,
    count_labels,
    label_table,
)
from savs.datasets.metrics.many_labels import LabelPredictions, cooccurrence, label_metrics
from savs.datasets.metrics.metrics import Units
from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.foundation.frames import schema_of
from savs.foundation.progress import track
from savs.pipeline.evaluation.assessment import (
    Evaluation,
    example_notes,
    mark_leaks,
    partial_notes,
    some_labels_note,
)
from savs.pipeline.evaluation.confidence import Confidence, label_confidence
from savs.pipeline.evaluation.cost import selection_cost
from savs.pipeline.evaluation.cross_validation import INFLATION, folds_note, train_shares
from savs.pipeline.evaluation.per_class import LabelRow, PairRow
from savs.pipeline.evaluation.predictions import LABEL_SCHEMA, in_schema, names_of, packed
from savs.pipeline.heads.centroids import few_threads, normalise, row_blocks
from savs.pipeline.readouts import HeadsFit
from savs.pipeline.readouts.heads_fit import shares
from savs.pipeline.readouts.readout import margins
from savs.pipeline.running.formatting import counted
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.left_out import LeftOut, left_out_margins
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_config import (
    grid_widths,
    is_of_store,
    require_same_prompt,
)
from savs.pipeline.selection.training_data import head_widths
from savs.pipeline.statistics.intervals import Estimate, one_stratum, summarise_all
from savs.pipeline.targets.label_rules import NEVER, fit_rules, rules_of
from savs.stores import FeatureStore, Head

BLOCK = 2**23
"""Features, and logits, that examples have in memory at a time."""
PAIRS_KEPT = 100
"""Pairs of labels that an evaluation lists."""
NAMED = 5
"""Labels that a note names."""
TABLE_SCHEMA = schema_of(LabelRow)


class LabelLogits:
    """The logits of a selection of many labels, from the features of its heads."""

    def __init__(self, selection: Selection, widths: Sequence[int]) -> None:
        """Sort the fits of labels by head; `widths` are those of `selection.heads`."""
        self._tasks, self._heads = selection.tasks, selection.heads
        self.rules = rules_of([task.label_rule for task in selection.tasks])
        self._widths = dict(zip(self._heads, widths, strict=True))
        self._terms: dict[tuple[Head, bool], list[tuple[int, Array, float, float]]] = {}
        self._others: list[int] = []
        for number, task in enumerate(self._tasks):
            fitted = task.fitted
            if not isinstance(fitted, HeadsFit) or len(fitted.directions) != len(task.heads):
                self._others.append(number)
                continue
            one = fitted.binary()
            columns = (one.directions[:, 0], one.offsets[:, 0], one.weights[:, 0])
            for head, direction, offset, weight in zip(task.heads, *columns, strict=True):
                terms = self._terms.setdefault((head, one.pool == "mean"), [])
                terms.append((number, direction, offset, weight))

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return whether each label is predicted, and its probability, `(n, labels)` each.

        Of `(heads, n, d)` features of `selection.heads`.
        """
        logits = self.of(features).T.astype(np.float64)
        least = np.array([rule.least_logit for rule in self.rules])
        return (logits >= least).astype(np.int64), 1 / (1 + np.exp(-logits))

    def of(self, features: Array) -> Array:
        """Return `(labels, n)` float32 logits of `(heads, n, d)` features of `selection.heads`."""
        logits = np.zeros((len(self._tasks), features.shape[1]), np.float32)
        for (head, is_mean), terms in self._terms.items():
            units = normalise(features[self._heads.index(head)])
            self._add(logits, units, terms, is_mean=is_mean)
        for number in self._others:
            task = self._tasks[number]
            places = [self._heads.index(head) for head in task.heads]
            width = max(self._widths[head] for head in task.heads)
            logits[number] = margins(task.fitted.scores(features[places, :, :width]))
        for of_label, rule in zip(logits, self.rules, strict=True):
            of_label *= np.float32(rule.slope)
            of_label += np.float32(rule.intercept)
        return logits

    def _add(
        self,
        logits: Array,
        units: Array,
        terms: Sequence[tuple[int, Array, float, float]],
        *,
        is_mean: bool,
    ) -> None:
        """Add what one head says; `units` are its `(n, d)` normalised features."""
        numbers = np.array([number for number, *_ in terms])
        directions = np.zeros((len(terms), units.shape[1]), np.float32)
        for row, (_, direction, *_) in zip(directions, terms, strict=True):
            row[: len(direction)] = direction[: len(row)]
        with few_threads(directions.size * len(units)):
            values = directions @ units.T
        values += np.array([offset for *_, offset, _ in terms], np.float32)[:, None]
        if is_mean:
            values = shares(values[:, None], axis=1)[:, 0]
        values *= np.array([weight for *_, weight in terms], np.float32)[:, None]
        if len(numbers) == len(logits):
            logits += values  # the terms are in the order of the labels
        else:
            logits[numbers] += values


def predict_labels(
    selection: Selection, names: Sequence[Head], features: Array
) -> tuple[Array, Array]:
    """Return the same as `LabelLogits.predict` of the `(heads, n, d)` features of named heads."""
    widths, heads = grid_widths(selection.source.grid), selection.heads
    logits = LabelLogits(selection, [widths[head] for head in heads])
    return logits.predict(features[[names.index(head) for head in heads]])


@dataclass(frozen=True, slots=True)
class Scored:
    """Examples with the logits of labels; skipped ones have none that count."""

    examples: pl.DataFrame
    """In the order of the input file."""
    logits: Array
    """`(labels, examples)` float32."""
    predicted: Array
    """`(labels, examples)` bool."""
    skipped: Array
    """`(examples,)` bool."""

    @property
    def is_labelled(self) -> Array:
        """`(examples,)` bool."""
        return self.examples["label"].is_not_null().to_numpy()

    def part(self, chosen: Array | slice) -> "Scored":
        """Return some of the examples."""
        examples = self.examples
        return Scored(
            examples[chosen] if isinstance(chosen, slice) else examples.filter(chosen),
            self.logits[:, chosen],
            self.predicted[:, chosen],
            self.skipped[chosen],
        )


def score_test(store: FeatureStore, selection: Selection) -> Scored:
    """Return the test examples of a store with the logits of a selection of many labels."""
    heads = selection.heads
    widths = head_widths(store, heads)
    labels = LabelLogits(selection, widths)
    parts: list[pl.DataFrame] = []
    logits: list[Array] = []
    most = BLOCK // max(len(selection.tasks), len(heads) * max(widths))
    for block in track(store.blocks("test", heads, rows=most), "blocks"):
        parts += [block.examples, block.skipped]
        logits += [labels.of(block.features), np.zeros((len(labels.rules), block.skipped.height))]
    columns = ["id", "split", "label", "group", "category", "media", "media_sha256", "prompt"]
    names = [*columns, "extra"]
    examples = pl.concat([part.select(names) for part in parts if part.height])
    # every second part are the examples that a block lacks
    skipped = np.concatenate([np.full(p.height, n % 2 == 1) for n, p in enumerate(parts)])
    whole = np.concatenate([part.astype(np.float32, copy=False) for part in logits], axis=1)
    places = store.places("test", examples)
    if not places.is_sorted():
        order = places.arg_sort().to_numpy()
        examples, whole, skipped = examples[order], whole[:, order], skipped[order]
    predicted = np.stack(
        [row >= rule.least_logit for row, rule in zip(whole, labels.rules, strict=True)]
    )
    predicted[:, skipped] = False
    return Scored(examples, whole, predicted, skipped)


def evaluate_labels(
    store: FeatureStore,
    selection: Selection,
    *,
    drop_leaks: bool = False,
    allow_other_prompt: bool = False,
) -> Evaluation:
    """Measure a selection of many labels on the test examples; errors as in `evaluate`."""
    older = require_fit(selection, store.manifest, store.path)
    is_allowed = is_of_store(selection, store) or allow_other_prompt
    notes = [*partial_notes(store), *older]
    notes += require_same_prompt(selection, store.examples("test"), is_allowed=is_allowed)
    notes += rule_notes(selection)
    scored = score_test(store, selection)
    is_labelled = scored.is_labelled
    if 0 < is_labelled.sum() < len(is_labelled):
        notes.append(some_labels_note(int(is_labelled.sum()), len(is_labelled)))
        scored = scored.part(is_labelled)
    is_kept, marks, leak_notes = mark_leaks(store, scored.examples, drop_leaks=drop_leaks)
    scored = scored if is_kept is None else scored.part(is_kept.to_numpy())
    notes += [*leak_notes, *example_notes(int(is_labelled.sum()), int(scored.skipped.sum()))]
    return _assessed(store, selection, scored, marks, notes, cost=selection_cost(store, selection))


def assess_left_out_labels(
    store: FeatureStore, selection: Selection, parts: Sequence[LeftOut]
) -> Evaluation:
    """Measure the left-out predictions of the training examples of a selection of many labels.

    What turns margins into predictions in a fold comes from the other folds.
    """
    examples = store.examples("train")
    values, states = left_out_margins(parts, examples.height)
    turns = np.full(states.shape, -1)
    for label, part in enumerate(parts):
        turns[label, part.rows] = part.fold
    logits = np.zeros(states.shape, np.float32)
    predicted = np.zeros(states.shape, bool)
    for turn in np.unique(turns[turns >= 0]):
        others = np.where(turns == turn, UNKNOWN, states).astype(np.int8)
        rules = rules_of(fit_rules(values, others, selection.precision))
        for label, rule in enumerate(rules):
            out = turns[label] == turn
            logits[label, out] = rule.slope * values[label, out] + rule.intercept
            predicted[label, out] = logits[label, out] >= rule.least_logit
    parts = [part for part in parts if part.folds]
    notes = [folds_note(store, parts)]
    if absent := [task.subtask for task in selection.tasks if task.label_rule is None]:
        notes.append(_too_few(absent))
    scored = Scored(examples, logits, predicted, np.zeros(examples.height, bool))
    marks = pl.DataFrame(clusters_of(examples))
    result = _assessed(
        store, selection, scored, marks, notes, left_out=turns >= 0, inflation=INFLATION
    )
    return replace(result, train_shares=train_shares(parts))


def rule_notes(selection: Selection) -> list[str]:
    """Return notes on labels without a rule, and on those that are never predicted."""
    notes = []
    rules = [(task.subtask, task.label_rule) for task in selection.tasks]
    if absent := [name for name, rule in rules if rule is None]:
        notes.append(_too_few(absent))
    if never := [name for name, rule in rules if rule is not None and rule.threshold == NEVER]:
        notes.append(
            f"no threshold of {_named(never)} has the precision {selection.precision} on left-out"
            f" training examples: {'it is' if len(never) == 1 else 'they are'} never predicted"
        )
    return notes


def _too_few(labels: Sequence[Any]) -> str:
    return (
        f"no threshold was fitted for {_named(labels)}, with too few independent training examples"
        " where it is there, or absent: its probability is not calibrated, and it is predicted from"
        " 0.5 on"
    )


def _named(labels: Sequence[Any]) -> str:
    return f"{counted(len(labels), 'label')} ({first_few(map(repr, labels), NAMED)})"


def draw_metrics(store: FeatureStore, selection: Selection, cluster: pl.Series) -> list[Units]:
    """Return the metrics of a selection of many labels on the test examples that have labels.

    `cluster` is that of each test example, in the order of the input file.
    """
    scored = score_test(store, selection)
    part, cluster = scored.part(scored.is_labelled), cluster.filter(scored.is_labelled)
    table = label_table(part.examples["label"], [str(task.subtask) for task in selection.tasks])
    predictions = LabelPredictions(
        part.logits, part.predicted, table.states, table.others, part.skipped
    )
    return label_metrics(predictions, cluster, lambda _rows, _values: (None, None)).metrics


def _assessed(
    store: FeatureStore,
    selection: Selection,
    scored: Scored,
    marks: pl.DataFrame,
    notes: Sequence[str],
    *,
    left_out: Array | None = None,
    inflation: float = 1.0,
    cost: dict[str, Any] | None = None,
) -> Evaluation:
    """Return the evaluation of predictions; `left_out` flags those that are made, if not all."""
    names = [str(task.subtask) for task in selection.tasks]
    table = label_table(scored.examples["label"], names)
    states = table.states if left_out is None else np.where(left_out, table.states, UNKNOWN)
    predictions = LabelPredictions(
        scored.logits, scored.predicted, states, table.others, scored.skipped
    )
    units, of_labels = [], pl.DataFrame(schema=TABLE_SCHEMA)
    confidence: tuple[Confidence, ...] = ()
    if (states != UNKNOWN).any():
        weights = one_stratum(marks["cluster"])

        def interval(rows: Array, values: Array) -> tuple[float | None, float | None]:
            whole = len(rows) == len(marks)
            of_rows = weights if whole else one_stratum(marks["cluster"][rows])
            return Estimate.of(values, of_rows, inflation=inflation).interval()

        measured = label_metrics(predictions, marks["cluster"], interval)
        rules = rules_of([task.label_rule for task in selection.tasks])
        of_labels = measured.table.with_columns(
            label=pl.Series(names), threshold=pl.Series([rule.threshold for rule in rules])
        )
        of_labels = of_labels.select(TABLE_SCHEMA.names()).cast(TABLE_SCHEMA)
        units = measured.metrics
        confidence = label_confidence(
            scored.logits,
            np.where(scored.skipped, UNKNOWN, states),
            is_calibrated=any(task.label_rule for task in selection.tasks),
        )
    notes = [*notes, *_unseen(scored.examples["label"], names)]
    notes += dict.fromkeys(note for metric in units for note in metric.notes)
    identity = store.manifest.identity
    return Evaluation(
        metrics=summarise_all(units, inflation=inflation),
        units=tuple(units),
        table=_packed(scored, states, names, marks),
        selection=selection,
        model=dict(identity.model),
        planned=len(store.ids(scored.examples["split"][0])),
        skipped=int(scored.skipped.sum()),
        notes=tuple(notes),
        confidence=confidence,
        benchmark=str(identity.benchmark["name"]),
        cost=cost or {},
        inflation=inflation,
        per_label=of_labels,
        pairs=_pairs(states, scored.predicted, names),
    )


def _unseen(texts: pl.Series, names: Sequence[str]) -> Iterator[str]:
    """Yield a note where labels are there that training does not know."""
    known = set(names)
    for name, count in count_labels(texts).items():
        if name not in known:
            yield (
                f"label {name!r} of {counted(count, 'example')} is not in the training examples; it"
                " counts as missed"
            )


def _packed(
    scored: Scored, states: Array, names: Sequence[str], marks: pl.DataFrame
) -> pl.LazyFrame:
    """Return the predictions as Parquet in memory, columns `LABEL_SCHEMA`."""
    parts = []
    for some in row_blocks(scored.examples.height, len(names), BLOCK):
        there, part = states[:, some], scored.part(some)
        wrong = (part.predicted != (there == PRESENT)) & (there != UNKNOWN)
        is_labelled = part.examples["label"].is_not_null()
        rows = part.examples.with_columns(
            labels=pl.when(is_labelled).then(names_of(names, (there == PRESENT).T)),
            unknown=pl.when(is_labelled).then(names_of(names, (there == UNKNOWN).T)),
            correct=pl.Series(~wrong.any(axis=0) & ~part.skipped) & is_labelled,
        )
        columns = [rows, predicted_labels(part, names), marks[some]]
        table = pl.concat(columns, how="horizontal")
        parts.append(packed(in_schema(table.lazy(), LABEL_SCHEMA).collect()))
    return pl.concat(parts)


def predicted_labels(scored: Scored, names: Sequence[str]) -> pl.DataFrame:
    """Return `predicted`, its text `prediction`, and `probabilities`; null of skipped examples."""
    is_there = pl.Series(~scored.skipped)
    label_lists = names_of(names, scored.predicted.T)
    texts = label_texts(names, scored.predicted.T)
    shares = (1 / (1 + np.exp(-scored.logits.T.astype(np.float64)))).astype(np.float32)
    lists = pl.Series(shares, dtype=pl.Array(pl.Float32, len(names))).arr.to_list()
    columns = {"predicted": label_lists, "prediction": texts, "probabilities": lists}
    return pl.DataFrame(columns).select(
        pl.when(is_there).then(name).alias(name) for name in columns
    )


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
