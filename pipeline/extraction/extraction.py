"""What an extraction left on disk."""

from dataclasses import dataclass

from savs.stores import FeatureStore


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extraction left on disk."""

    store: FeatureStore
    """The store, open for reading."""
    rows: int
    """Examples that this run extracted."""
    seconds: float
    """Time that they took, without loading the model."""
    skipped: list[tuple[str, str, str]]
    """`(split, id, reason)` of every skipped example in the store."""


def skipped_examples(store: FeatureStore) -> list[tuple[str, str, str]]:
    """Return `(split, id, reason)` of every skipped example of the splits that are complete."""
    return [
        row
        for split in store.manifest.plan.splits
        if not store.missing(split)
        for row in store.skipped(split).select("split", "id", "reason").iter_rows()
    ]
