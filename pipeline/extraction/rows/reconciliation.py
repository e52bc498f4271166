"""What became of the rows of a source that is given again: a folder of classes, or a table.

`reconcile` is pure: rows that a store has of the source, and those that the source has now. Rows
are the same if their media have the same bytes and their prompts the same text, wherever they lie.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from savs.datasets import Example
from savs.datasets.rows.media_names import is_packed
from savs.stores.format.manifest import PlacedRow

KINDS = ("new", "returned", "moved", "changed", "edited", "removed", "in conflict")
"""What a line says that became of rows, in this order."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What features are of."""

    media: tuple[str, ...]
    """SHA-256 of each medium; empty of a stored row whose media could not be read."""
    prompt: str
    subtask: str | None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row that a store has of a source."""

    split: str
    """The one that it was planned in."""
    id: str
    """As it was planned."""
    contents: Contents
    is_skipped: bool
    """Whether it has no features."""
    last: PlacedRow
    """What its source said of it the last time; its split is None if it was out then."""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by in the store."""
        return self.split, self.id


@dataclass(frozen=True, slots=True)
class GivenRow:
    """A row that the source has now."""

    example: Example
    contents: Contents | None
    """None if a medium cannot be read."""

    @property
    def placed(self) -> PlacedRow:
        """What a store notes of it."""
        e = self.example
        return PlacedRow(e.id, e.split, e.label, e.media, e.group, e.category, dict(e.extra))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of the rows of a source."""

    placed: Mapping[tuple[str, str], PlacedRow]
    """Planned split and id of each stored row -> what its source says now."""
    matches: Sequence[tuple[StoredRow, GivenRow]]
    """Stored rows with the given ones that they are."""
    unread: Sequence[GivenRow]
    """Given rows without features."""
    edited: Sequence[tuple[StoredRow, GivenRow]]
    """Stored rows whose place one of the unread has now."""
    conflicts: Sequence[Sequence[GivenRow]]
    """Given rows that have equal contents and several labels: none of them is used."""
    removed: Sequence[StoredRow]
    """Stored rows that the source had before, and has no more."""
    outcomes: Sequence[tuple[str, str]]
    """One of `KINDS`, and the id of the row that it became of."""

    def renamed_classes(self) -> dict[str, str]:
        """Return old -> new name of each class that has another name as a whole.

        All its rows that are still there have one class now: a new one, or one that has no other
        rows of before, so that two classes may take the names of each other.
        """
        names: dict[str, set[str | None]] = {}
        origins: dict[str | None, set[str]] = {}
        for stored, given in self.matches:
            before, now = stored.last.label, given.example.label
            if stored.last.split is not None and before is not None:
                names.setdefault(before, set()).add(now)
                origins.setdefault(now, set()).add(before)
        return {
            before: name
            for before, now in names.items()
            for name in now
            if name is not None and name != before and len(now) == 1
            if name not in names or origins[name] == {before}
        }

    def gone_classes(self, stored: Iterable[StoredRow]) -> dict[str, list[StoredRow]]:
        """Return each class of which all rows were removed, with these."""
        before = Counter(r.last.label for r in stored if r.last.split is not None)
        gone: dict[str, list[StoredRow]] = {}
        for row in self.removed:
            if row.last.label is not None:
                gone.setdefault(row.last.label, []).append(row)
        return {label: rows for label, rows in gone.items() if len(rows) == before[label]}


def reconcile(
    stored: Sequence[StoredRow],
    given: Sequence[GivenRow],
    *,
    in_split: bool = False,
    has_classes: bool = False,
    fails_again: Callable[[StoredRow, GivenRow], bool] = lambda stored, given: True,
) -> Reconciled:
    """Compare the rows that a store has of a source with those that the source has now.

    If `in_split`, a row with features is only taken for a row of the split that it was planned in.
    If `has_classes`, rows of equal contents and different labels are conflicts. `fails_again` says
    whether a row that was skipped, and has the same bytes, would be skipped again.
    """
    conflicts = _conflicts(given) if has_classes else []
    refused = {id(row) for rows in conflicts for row in rows}
    usable = [row for row in given if id(row) not in refused]
    matches = _matches(stored, usable, in_split=in_split)
    outcomes = [_became(row, now) for row, now in matches]
    matched = {id(now) for _, now in matches}
    left = [row for row in usable if id(row) not in matched]
    absent = {row.key: row for row in stored}
    for row, _ in matches:
        del absent[row.key]
    by_name: dict[tuple[str, ...], list[StoredRow]] = {}
    for row in absent.values():
        if row.last.split is not None:
            by_name.setdefault(_name(row.last), []).append(row)
    unread: list[GivenRow] = []
    edited: list[tuple[StoredRow, GivenRow]] = []
    for now in left:
        same = by_name.get(_name(now.placed), [])
        if broken := next((r for r in same if _is_as_broken(r, now, fails_again)), None):
            matches.append((broken, now))
            outcomes.append(_became(broken, now))
        else:
            unread.append(now)
            outcomes.append(("edited" if same else "new", now.example.id))
        if broken:
            same.remove(broken)
            del absent[broken.key]
        elif same:
            edited.append((same.pop(0), now))
    contested = {row.contents for rows in conflicts for row in rows}
    gone = [row for rows in by_name.values() for row in rows]
    removed = [row for row in gone if row.contents not in contested]
    outcomes += [("removed", row.last.id) for row in removed]
    outcomes += [("in conflict", row.last.id) for row in gone if row.contents in contested]
    return Reconciled(
        placed={row.key: now.placed for row, now in matches}
        | {key: replace(row.last, split=None) for key, row in absent.items()},
        matches=matches,
        unread=unread,
        edited=edited,
        conflicts=conflicts,
        removed=removed,
        outcomes=[(kind, name) for kind, name in outcomes if kind],
    )


def _conflicts(given: Sequence[GivenRow]) -> list[list[GivenRow]]:
    alike: dict[Contents, list[GivenRow]] = {}
    for row in given:
        if row.contents is not None and row.example.label is not None:
            alike.setdefault(row.contents, []).append(row)
    return [rows for rows in alike.values() if len({row.example.label for row in rows}) > 1]


def _matches(
    stored: Sequence[StoredRow], given: Sequence[GivenRow], *, in_split: bool
) -> list[tuple[StoredRow, GivenRow]]:
    """Return stored rows with features, and the given rows of equal contents.

    Of several equal ones those match first that have the same id, then the same label, then those
    that were there the last time.
    """
    free: dict[Contents, list[StoredRow]] = {}
    for row in stored:
        if not row.is_skipped:
            free.setdefault(row.contents, []).append(row)
    waiting = [row for row in given if row.contents in free]
    matches: list[tuple[StoredRow, GivenRow]] = []
    is_alike: tuple[Callable[[PlacedRow, Example], bool], ...] = (
        lambda last, now: (last.split is not None) and last.id == now.id,
        lambda last, now: (last.split is not None) and last.label == now.label,
        lambda last, now: last.id == now.id,
        lambda last, now: last.split is not None,
        lambda last, now: True,
    )
    for alike in is_alike:
        rest: list[GivenRow] = []
        for now in waiting:
            rows = free[now.contents] if now.contents is not None else []
            fits = (
                row
                for row in rows
                if alike(row.last, now.example)
                and not (in_split and row.split != now.example.split)
            )
            if (row := next(fits, None)) is None:
                rest.append(now)
            else:
                rows.remove(row)
                matches.append((row, now))
        waiting = rest
    return matches


def _name(row: PlacedRow) -> tuple[str, ...]:
    """Return where the media of a row lie; of a row without, or with them in it, its id."""
    return row.media if row.media and not any(map(is_packed, row.media)) else (row.id,)


def _is_as_broken(
    stored: StoredRow, now: GivenRow, fails_again: Callable[[StoredRow, GivenRow], bool]
) -> bool:
    """Return whether a row that was skipped would be skipped again, for the same reason."""
    if not stored.is_skipped:
        return False
    if now.contents is None:
        return True
    return now.contents == stored.contents and fails_again(stored, now)


def _became(stored: StoredRow, now: GivenRow) -> tuple[str, str]:
    """Return what became of a row, or an empty text, and its id now."""
    last, placed = stored.last, now.placed
    kind = ""
    if last.split is None:
        kind = "returned"
    elif _name(last) != _name(placed):
        kind = "moved"
    elif replace(last, id=placed.id, media=placed.media) != placed:
        kind = "changed"
    return kind, placed.id


def outcome_text(outcomes: Iterable[tuple[str, str]], prompts: int) -> str:
    """Return how many rows became what; with several prompts a row is there once for each.

    Examples
    --------
    >>> outcome_text([("moved", "a"), ("new", "b"), ("moved", "c")], prompts=0)
    '1 new, 2 moved'
    >>> outcome_text([("moved", "a#1"), ("moved", "a#2")], prompts=2)
    '1 moved'
    >>> outcome_text([], prompts=0)
    'nothing changed'
    """
    rows = {(kind, name.rpartition("#")[0] if prompts else name) for kind, name in outcomes}
    counts = Counter(kind for kind, _ in rows)
    parts = [f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind]]
    return ", ".join(parts) or "nothing changed"
