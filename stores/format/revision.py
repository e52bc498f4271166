"""What a run changes in a store.json next to the rows that it adds: its source has changed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from savs.stores.errors import StoreMismatchError
from savs.stores.format.manifest import LateLabel, LateLabels, Manifest, PlacedRows
from savs.stores.format.plan import StorePlan


@dataclass(frozen=True, slots=True)
class Revision:
    """What sources say now of the rows of a store, and what that makes of its labels.

    It is made of a store.json as that was `before`, and is applied once: what it gives stays as it
    is when it is applied again, so that a killed run, or a second one, ends with the same.
    """

    before: Manifest | None = None
    """None in a new store, and where nothing is revised."""
    plan: StorePlan | None = None
    """The plan before, without shards that were dropped, and with the names of sources now."""
    rows: PlacedRows = field(default_factory=dict)
    dropped_labels: Collection[tuple[str, str]] = ()
    """Planned split and id of rows whose label goes: they moved to another class."""
    renamed_labels: Mapping[str, str] = field(default_factory=dict)
    """Class that is gone -> its new name, where labels that came later still have it."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Split -> the source of its new rows."""

    def _is_due(self, now: Manifest) -> bool:
        """Return whether a store.json still is as it was before; False if it is revised already."""
        if self.before is None or self.plan is None:
            return False
        if (now.plan, now.rows) == (self.before.plan, self.before.rows):
            return True
        if now.rows == self.rows and all(
            (split in now.plan.splits)
            and now.plan.splits[split].segments[: len(plan.segments)] == plan.segments
            and now.plan.splits[split].dropped == plan.dropped
            for split, plan in self.plan.splits.items()
        ):
            return False
        raise StoreMismatchError("another process changed it meanwhile; run this command again")

    def plan_of(self, now: Manifest) -> StorePlan:
        """Return the plan that new rows extend."""
        return self.plan if self._is_due(now) and self.plan is not None else now.plan

    def rows_of(self, now: Manifest) -> PlacedRows:
        """Return what sources say of the rows."""
        return self.rows if self._is_due(now) else now.rows

    def labels_of(self, now: Manifest) -> LateLabels:
        """Return the labels that stay; others may have come since this was made."""
        if not self._is_due(now):
            return now.labels
        labels = {
            split: {
                name: LateLabel(self.renamed_labels.get(late.label, late.label), late.split)
                for name, late in rows.items()
                if (split, name) not in self.dropped_labels
            }
            for split, rows in now.labels.items()
        }
        return {split: rows for split, rows in labels.items() if rows}


UNREVISED = Revision()
