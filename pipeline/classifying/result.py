"""What a run of a classifier found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Classification:
    """Predictions of new images."""

    predictions: "pl.DataFrame"
    """Columns `CLASSIFIED_SCHEMA`, in the order of the input. With `out` these are in the file, and
    here are only `id`, `prediction`, `unsure`, `atypical` and `reason` of all its rows."""
    out: Path | None
    """The file that has them."""
    rows: int
    """Examples that this run classified."""
    seconds: float
    """Time that they took, without loading the model."""
    notes: tuple[str, ...]
    """What limits the predictions."""

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Id and reason of every example that could not be classified."""
        rows = self.predictions.select("id", "reason").drop_nulls("reason")
        return list(rows.iter_rows())
