"""From predictions to an evaluation: metrics with intervals, skips, leaks, notes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from savs.datasets import Benchmark, Leaks, Units, find_leaks
from savs.datasets.benchmarks.several_prompts import stored_prompts
from savs.datasets.rows.plugin_guard import compute_metrics, make_submission
from savs.datasets.splits.clusters import clusters_of
from savs.datasets.splits.leaks import REPEATED, SHARED
from savs.pipeline.errors import LeakError
from savs.pipeline.evaluation.confidence import Confidence, measure_confidence
from savs.pipeline.evaluation.per_class import class_table, confusion_table, part_table
from savs.pipeline.evaluation.predictions import in_schema
from savs.pipeline.evaluation.same_examples import content_of
from savs.pipeline.names import ZERO_SHOT
from savs.pipeline.selection.selection import Selection
from savs.pipeline.statistics.intervals import Metric, summarise
from savs.stores import FeatureStore

FEW_CLUSTERS = 10
"""With fewer clusters than this, a note says so."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Predictions of a store's test examples, and their metrics."""

    metrics: tuple[Metric, ...]
    """The headline first."""
    units: tuple[Units, ...]
    """The scores that each metric is the mean of, in the same order."""
    predictions: pl.DataFrame
    """One row a test example, in the order of the input file; columns `PREDICTION_SCHEMA`."""
    selection: Selection | None
    """None where the model's own answers were taken, or images were compared with captions."""
    model: Mapping[str, Any]
    """Identity of the model."""
    planned: int
    """Test examples in the input file, or up to `--limit`."""
    skipped: int
    """Test examples that could not be read; they count as wrong."""
    notes: tuple[str, ...]
    """What limits the numbers: leaks, missing examples, few clusters."""
    rule: str = ZERO_SHOT
    """Name of what made the predictions where there is no selection."""
    confidence: tuple[Confidence, ...] = ()
    """How far probabilities can be trusted, of all examples or of each prompt; nothing without
    labels or probabilities."""
    submission: Mapping[str, Any] | None = None
    """Predictions in the form of the benchmark's official evaluation, if it has one."""
    benchmark: str = ""
    """Name of the benchmark."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """What the model ran for it, see `evaluation.cost`; empty where that is not known."""

    @property
    def readout(self) -> str:
        """Name of the rule that made the predictions."""
        return self.selection.readout if self.selection else self.rule

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        chosen = self.selection
        return {
            "benchmark": self.benchmark,
            "model": dict(self.model),
            "readout": self.readout,
            "scoring": chosen.scoring if chosen else None,
            "heads": max(len(task.heads) for task in chosen.tasks) if chosen else 0,
            "planned": self.planned,
            "scored": self.predictions.height - self.skipped,
            "skipped": self.skipped,
            "left_out": self.planned - self.predictions.height,
            "leaks": {
                kind: self.predictions.filter(pl.col("leak") == kind)["id"].to_list()
                for kind in (REPEATED, SHARED)
            },
            "metrics": [metric.to_json() for metric in self.metrics],
            "cost": dict(self.cost),
            "confidence": [part.to_json() for part in self.confidence],
            "per_class": class_table(self.predictions).to_dicts(),
            "confusions": confusion_table(self.predictions).to_dicts(),
            "parts": part_table(self.predictions).to_dicts(),
            "notes": list(self.notes),
        }


def assess(
    store: FeatureStore,
    parts: Sequence[pl.DataFrame],
    classes: Mapping[str | None, Sequence[str]],
    selection: Selection | None,
    notes: Sequence[str],
    benchmark: Benchmark,
    *,
    cost: Mapping[str, Any],
    drop_leaks: bool = False,
    rule: str = ZERO_SHOT,
    risk: float | None = None,
) -> Evaluation:
    """Measure predictions. A skipped example counts as wrong.

    Parameters
    ----------
    store
        The store that the predictions are about.
    parts
        Test examples with `prediction`, `correct`, `margin` and `votes`, see `predicted`.
    classes
        The classes of each subtask.
    selection
        The selection that made the predictions; None where there is none.
    notes
        Notes that are known already.
    benchmark
        That of the store, whose metrics are taken.
    cost
        What the model ran, see `evaluation.cost`.
    drop_leaks
        Leave out test examples that training has seen, with their whole groups.
    rule
        Name of what made the predictions where there is no selection.
    risk
        Of the prediction sets that the parts have.

    Raises
    ------
    LeakError
        Nothing would be left.
    StoreCorruptError
        Some examples have a label and some have none.
    """
    skipped = store.skipped("test").with_columns(correct=pl.lit(False))
    skipped = skipped.filter([subtask in classes for subtask in skipped["subtask"]])
    rows = [*parts, skipped] if skipped.height else parts
    whole = store.in_order("test", pl.concat(rows, how="diagonal_relaxed"))
    store.require_labels("test", whole)
    planned, notes = len(store.manifest.plan.splits["test"].ids), list(notes)
    leaks = find_leaks(store.examples("train"), whole)
    notes += leaks.summary()
    whole = whole.with_columns(leak=leaks.kinds)
    if drop_leaks:
        whole = _without_leaks(whole, leaks)
        notes.append(f"{leaks.dropped().sum()} test examples were left out (--drop-leaks)")
    whole = whole.with_columns(cluster=clusters_of(whole), content=content_of(whole))
    notes += _notes(whole, classes)
    units = [] if _unlabelled(whole) else compute_metrics(benchmark, whole, classes)
    notes += dict.fromkeys(note for metric in units for note in metric.notes)
    predictions = in_schema(whole)
    return Evaluation(
        metrics=tuple(summarise(metric) for metric in units),
        units=tuple(units),
        predictions=predictions,
        selection=selection,
        model=dict(store.manifest.identity.model),
        planned=planned,
        skipped=int(whole["prediction"].null_count()),
        notes=tuple(notes),
        rule=rule,
        confidence=measure_confidence(
            *(predictions, selection, risk), stored_prompts(store.manifest.identity.benchmark)
        ),
        submission=make_submission(benchmark, predictions),
        benchmark=str(store.manifest.identity.benchmark["name"]),
        cost=cost,
    )


def partial_notes(store: FeatureStore) -> list[str]:
    """Return a note for each split of a partial store that has missing shards."""
    notes = []
    for split, plan in store.manifest.plan.splits.items():
        missing = store.missing(split)
        if missing:
            rows = sum(spec.rows for spec in missing)
            names = ", ".join(spec.name for spec in missing[:3]) + (" ..." if missing[3:] else "")
            notes.append(
                f"partial: {rows:,} of {len(plan.ids):,} {split} examples are not extracted yet"
                f" ({names})"
            )
    return notes


def _without_leaks(predictions: pl.DataFrame, leaks: Leaks) -> pl.DataFrame:
    kept = predictions.filter(~leaks.dropped())
    if not kept.height:
        raise LeakError(
            f"all {predictions.height} test examples share an image with training, or are in a"
            " group with one that does; omit --drop-leaks, or use other training examples"
        )
    return kept


def _unlabelled(predictions: pl.DataFrame) -> bool:
    return predictions["label"].null_count() == predictions.height


def _notes(predictions: pl.DataFrame, classes: Mapping[str | None, Sequence[str]]) -> list[str]:
    notes = _unseen_notes(predictions, classes)
    if _unlabelled(predictions):
        notes.append("the test examples have no labels, so there are predictions but no metrics")
    if skipped := predictions["prediction"].null_count():
        notes.append(f"{skipped} test examples were skipped at extraction; they count as wrong")
    clusters = predictions["cluster"].n_unique()
    if clusters < FEW_CLUSTERS < predictions.height:
        notes.append(
            f"examples that share an image or a group form a cluster; with {clusters} clusters,"
            " intervals are wide, and with one there are none"
        )
    return notes


def _unseen_notes(
    predictions: pl.DataFrame, classes: Mapping[str | None, Sequence[str]]
) -> list[str]:
    known = {(subtask, label) for subtask, labels in classes.items() for label in labels}
    counts = predictions.group_by("subtask", "label", maintain_order=True).len()
    unseen: Counter[str] = Counter()
    for subtask, label, count in counts.iter_rows():
        if label is not None and (subtask, label) not in known:
            unseen[label] += count
    return [
        f"label {label!r} of {count} test examples is not in the training examples; they count as"
        " wrong"
        for label, count in unseen.items()
    ]
