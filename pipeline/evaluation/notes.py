"""Notes on an evaluation: what is missing, and what limits its numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from savs.stores import FeatureStore

FEW_CLUSTERS = 10
"""With fewer clusters than this, a note says so."""


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


@dataclass(frozen=True, slots=True)
class Counts:
    """How many examples a table of predictions has, and of which kinds."""

    examples: int
    labels: int
    """Examples that have one."""
    skipped: int
    """Examples without a prediction."""
    clusters: int

    @classmethod
    def of(cls, table: pl.LazyFrame) -> "Counts":
        """Count the rows of a table, columns `PREDICTION_SCHEMA`."""
        counts = table.select(
            examples=pl.len(),
            labels=pl.col("label").count(),
            skipped=pl.col("prediction").null_count(),
            clusters=pl.col("cluster").hash().n_unique(),  # texts would take more memory
        )
        return cls(**counts.collect().row(0, named=True))

    def notes(self) -> list[str]:
        """Return a note where labels are missing, examples were skipped, or clusters are few."""
        notes = []
        if not self.labels:
            notes.append(
                "the test examples have no labels, so there are predictions but no metrics"
            )
        if self.skipped:
            notes.append(
                f"{self.skipped} test examples were skipped at extraction; they count as wrong"
            )
        if self.clusters < FEW_CLUSTERS < self.examples:
            notes.append(
                "examples that share an image or a group form a cluster; with"
                f" {self.clusters} clusters, intervals are wide, and with one there are none"
            )
        return notes


def unseen_notes(table: pl.LazyFrame, classes: Mapping[str | None, Sequence[str]]) -> list[str]:
    """Return a note for each label of the test examples that the training examples lack."""
    known = {(subtask, label) for subtask, labels in classes.items() for label in labels}
    groups = table.group_by("subtask", "label", maintain_order=True).len()
    unseen: Counter[str] = Counter()
    for subtask, label, count in groups.collect(engine="streaming").iter_rows():
        if label is not None and (subtask, label) not in known:
            unseen[label] += count
    return [
        f"label {label!r} of {count} test examples is not in the training examples; they count as"
        " wrong"
        for label, count in unseen.items()
    ]
