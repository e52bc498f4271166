"""What came of new images: their predictions, the files that have them, and what limits them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from savs.pipeline.classifying.sorted_files import SortedFiles
from savs.pipeline.running.formatting import counted, listed
from savs.pipeline.targets import Target


@dataclass(frozen=True, slots=True)
class Classification:
    """Predictions of new images."""

    predictions: pl.DataFrame
    """Columns `CLASSIFIED_SCHEMA`, of many labels `LABELS_SCHEMA`, of numbers `NUMBERS_SCHEMA`, in
    the order of the input. With `out` these are in the files, and here are only `id`, `subtask`,
    `prediction`, `labels`, `value`, `unsure`, `atypical` and `reason` of all rows of the first."""
    outs: Mapping[Path, int]
    """The files that have them -> rows of each."""
    rows: int
    """Examples that the model ran in this run."""
    seconds: float
    """Time that they took, without loading the model."""
    notes: tuple[str, ...]
    """What limits the predictions."""
    target: Target
    """What is predicted."""
    sorted_files: SortedFiles | None = None
    """The copies in folders of classes, with `sort_into`."""
    store: Path | None = None
    """The features that stay, of all heads, if they do."""
    known_skips: frozenset[str] = frozenset()
    """Ids of images that were skipped before this run."""

    def __repr__(self) -> str:
        """Return a few lines: how many images of each class, how many were skipped, and where."""
        counts = [f"{count:,} {name}" for name, count in self.counts]
        lines = [
            f"Classification({counted(self.predictions.height, 'example')}: {listed(counts)})",
            f"  {self.predictions['prediction'].null_count():,} skipped,"
            f" {counted(len(self.notes), 'note')}",
            f"  in {listed([*map(str, self.outs)])}"
            if self.outs
            else "  next: classification.predictions",
        ]
        return "\n".join(lines)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Each class, or each of many labels, with how often it was predicted; most often first."""
        predicted = self.target.predicted_labels(self.predictions).drop_nulls()
        return list(predicted.value_counts(sort=True).iter_rows())

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Id and reason of every example that could not be classified."""
        rows = self.predictions.select("id", "reason").drop_nulls("reason")
        return list(rows.iter_rows())
