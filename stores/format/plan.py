"""Which examples make which shard: a pure function of the examples and of earlier limits."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any

from msgspec import Meta

from savs.foundation.errors import ParameterError
from savs.stores.errors import StoreMismatchError
from savs.stores.format.layout import SPLIT_NAME, digest, encoded, shard_name

SLICE = 2**14
"""Rows whose text is in memory at a time."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Examples that were planned together: the first `--limit`, then what a raised one added."""

    rows: Annotated[int, Meta(ge=1)]
    """Number of examples."""
    digest: str
    """SHA-256 of the examples' contents."""
    source: str | None = None
    """The folder or table that says, each time it is given, which of them are there now; None of
    examples that stay as they are."""

    def agrees(self, other: "Segment") -> bool:
        """Return whether both have the same examples, wherever these came from."""
        return (self.rows, self.digest) == (other.rows, other.digest)


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """One planned shard."""

    split: str
    """Name of the split, such as `train`."""
    number: int
    """Counts the shards of the split from 0."""
    start: int
    """First of its rows in the split's order."""
    stop: int
    """One past the last."""
    digest: str
    """SHA-256 that ties a shard's file to the examples planned for it."""

    @property
    def name(self) -> str:
        """File name."""
        return shard_name(self.split, self.number)

    @property
    def rows(self) -> int:
        """Number of planned examples."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """All planned examples of a split."""

    ids: tuple[str, ...]
    """In the order of the input file."""
    segments: tuple[Segment, ...]
    order: tuple[int, ...] | None = None
    """Row numbers in the order in which they fill the shards, segment by segment; None if that
    is the order of the input file."""
    dropped: tuple[int, ...] = ()
    """Numbers of shards that are never made: their source changed before they were read."""

    def __post_init__(self) -> None:
        planned = sum(segment.rows for segment in self.segments)
        if planned != len(self.ids):
            raise ValueError(f"expected {planned} ids, one per planned row, got {len(self.ids)}")
        if len(set(self.ids)) < planned:
            raise ValueError("ids: expected each once")
        if self.order is not None and sorted(self.order) != list(range(planned)):
            raise ValueError(f"order: expected a permutation of {planned} rows")

    def rows(self, spec: ShardSpec) -> Sequence[int]:
        """Return the numbers of a shard's planned rows, counted from 0 in the input file."""
        places = range(spec.start, spec.stop)
        return places if self.order is None else [self.order[place] for place in places]

    def shards(self, split: str, shard_rows: int) -> Iterator[ShardSpec]:
        """Cut each segment into shards of at most `shard_rows` rows, and leave dropped ones out."""
        for spec in self._cut(split, shard_rows):
            if spec.number not in self.dropped:
                yield spec

    def dropped_rows(self, shard_rows: int) -> frozenset[int]:
        """Return the numbers of the rows of dropped shards."""
        if not self.dropped:
            return frozenset()
        specs = (spec for spec in self._cut("", shard_rows) if spec.number in self.dropped)
        return frozenset(row for spec in specs for row in self.rows(spec))

    def sources(self) -> dict[str, str | None]:
        """Return id -> source of all rows."""
        places = iter(range(len(self.ids)) if self.order is None else self.order)
        return {
            self.ids[row]: segment.source
            for segment in self.segments
            for row in islice(places, segment.rows)
        }

    def _cut(self, split: str, shard_rows: int) -> Iterator[ShardSpec]:
        number = start = 0
        for segment in self.segments:
            end = start + segment.rows
            for first in range(start, end, shard_rows):
                last = min(first + shard_rows, end)
                key = digest([segment.digest, first - start, last - start])
                yield ShardSpec(split, number, first, last, key)
                number += 1
            start = end


@dataclass(frozen=True, slots=True)
class StorePlan:
    """What a complete store holds. It never depends on what is done already."""

    shard_rows: Annotated[int, Meta(ge=1)]
    """The most examples of a shard."""
    splits: Annotated[
        Mapping[Annotated[str, Meta(pattern=SPLIT_NAME)], SplitPlan],
        Meta(min_length=1),
    ]
    """Name of a split -> its examples, in order."""

    def shards(self) -> list[ShardSpec]:
        """Return all planned shards, split by split."""
        return [
            shard
            for split, plan in self.splits.items()
            for shard in plan.shards(split, self.shard_rows)
        ]

    def without_sources(self) -> "StorePlan":
        """Return the plan without the names of the folders and tables that rows came from."""
        splits = {
            name: replace(plan, segments=tuple(replace(s, source=None) for s in plan.segments))
            for name, plan in self.splits.items()
        }
        return replace(self, splits=splits)

    def planned_ids(self, spec: ShardSpec) -> list[str]:
        """Return the ids of a shard's planned rows."""
        plan = self.splits[spec.split]
        return [plan.ids[row] for row in plan.rows(spec)]


ROW_COLUMNS = ("index", "label", "prompt", "media", "group", "subtask", "category", "extra")
"""What an example's row is, next to its id: with another value in one, it is another example."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One example, as far as a plan needs to know it."""

    id: str
    """Unique in its split."""
    digest: str
    """Changes when the example's row does."""
    group: str = ""
    """Rows of a segment with the same group are next to each other in the shards."""


def row_digest(values: Mapping[str, Any]) -> str:
    """Return the digest of a row's `ROW_COLUMNS`; `media` is a list, `extra` a JSON object."""
    return digest([values[name] for name in ROW_COLUMNS])


def row_digests(contents: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> Iterator[str]:
    """Yield `row_digest` of rows that have the contents of these numbers, and count from 0.

    Their `index` is the first of `ROW_COLUMNS`, so all that follows it is encoded once.
    """
    texts = [encoded([content[name] for name in ROW_COLUMNS[1:]])[1:] for content in contents]
    for index, number in enumerate(numbers):
        yield hashlib.sha256(b"[%d,%b" % (index, texts[number])).hexdigest()


def default_shard_rows(rows: int) -> int:
    """Return how many rows a shard has in a store of some rows: from 16 to 256, a power of two.

    There are some 50 shards, so that many processes have work to the end, or shards of 256 rows.

    >>> [default_shard_rows(rows) for rows in (0, 840, 1100, 7600, 10**6)]
    [16, 16, 32, 128, 256]
    """
    return min(max(16, 1 << max(rows // 64, 1).bit_length()), 256)


def make_plan(
    rows: Mapping[str, Sequence[PlannedRow]],
    shard_rows: int | None = None,
    earlier: StorePlan | None = None,
    sources: Mapping[str, str] | None = None,
) -> StorePlan:
    """Plan the shards of each split; `sources` are those of its new rows, see `Segment`.

    Without `shard_rows` they are as large as `earlier`, or as `default_shard_rows` of all rows.

    If a store was planned `earlier` for fewer examples, its segments are kept, so that its shards
    stay valid, and the new rows make one more segment. The same rows give the same plan.
    StoreMismatchError if the earlier plan has other examples, more of them, or shards of another
    size.
    """
    if shard_rows is None:
        total = sum(map(len, rows.values()))
        shard_rows = default_shard_rows(total) if earlier is None else earlier.shard_rows
    if shard_rows < 1:
        raise ParameterError(f"`shard_rows` is {shard_rows}, expected at least 1")
    if earlier is not None and earlier.shard_rows != shard_rows:
        raise StoreMismatchError(
            f"its shards have {earlier.shard_rows} rows, not {shard_rows}; leave out"
            " `shard_rows`, or give another `out`"
        )
    before = {} if earlier is None else earlier.splits
    for split in before:
        if split not in rows:
            raise StoreMismatchError(
                f"it has a {split} split, which this run lacks; add the split, or pass"
                " `append` to add examples"
            )
    empty = SplitPlan((), ())
    return StorePlan(
        shard_rows,
        {
            split: _plan_split(split, of_split, before.get(split, empty), shard_rows, sources or {})
            for split, of_split in rows.items()
        },
    )


def _plan_split(
    split: str,
    rows: Sequence[PlannedRow],
    earlier: SplitPlan,
    shard_rows: int,
    sources: Mapping[str, str],
) -> SplitPlan:
    """Plan a split; `rows` begin with those of `earlier`, without the rows of dropped shards."""
    segments, order = list(earlier.segments), list(earlier.order or range(len(earlier.ids)))
    dropped = earlier.dropped_rows(shard_rows)
    live = [number for number in range(len(earlier.ids)) if number not in dropped]
    again = dict(zip(live, rows, strict=False))
    start = 0
    for segment in segments:
        places = [row for row in order[start : start + segment.rows] if row not in dropped]
        part = [again[row] for row in places if row in again]
        is_whole = [row.id for row in part] == [earlier.ids[row] for row in places]
        if len(part) == segment.rows:
            is_whole &= segment_of(part).agrees(segment)
        if not is_whole:
            raise StoreMismatchError(
                f"its {len(live)} {split} examples are not the first of the {len(rows)}"
                " given now (other rows, labels, prompts or order, or a smaller `limit`); use the"
                " same input, `append` to add examples, or another `out`"
            )
        start += segment.rows
    new = _grouped(rows[len(live) :])
    if new:
        segments.append(replace(segment_of(new), source=sources.get(split)))
        numbers = {row.id: len(earlier.ids) + n for n, row in enumerate(rows[len(live) :])}
        order += [numbers[row.id] for row in new]
    is_sorted = all(row == place for place, row in enumerate(order))
    return SplitPlan(
        (*earlier.ids, *(row.id for row in rows[len(live) :])),
        tuple(segments),
        None if is_sorted else tuple(order),
        earlier.dropped,
    )


def _grouped(rows: Sequence[PlannedRow]) -> list[PlannedRow]:
    """Return rows sorted so that a group is in one run."""
    if not any(row.group for row in rows):
        return list(rows)
    groups: dict[str, list[PlannedRow]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row.group or f"\0{number}", []).append(row)
    return [row for members in groups.values() for row in members]


def segment_of(rows: Sequence[PlannedRow]) -> Segment:
    """Return the segment of rows, in the order in which they fill the shards."""
    text = hashlib.sha256(b"[")
    for start in range(0, len(rows), SLICE):  # the text of all rows would take much memory
        part = encoded([[row.id, row.digest] for row in rows[start : start + SLICE]])[1:-1]
        text.update(b"," + part if start else part)
    text.update(b"]")
    return Segment(len(rows), text.hexdigest())
