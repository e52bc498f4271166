"""`savs train`: a store follows its source. The rows of a folder or table are those there now.

The rows that the store has of it are compared with those that it has now (`reconciliation.py`), and
what that changes is written into store.json together with the plan of the rows to read.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from savs.datasets import Example, MediaError
from savs.datasets.benchmarks.class_folders import is_empty
from savs.datasets.benchmarks.options import under_one_prompt
from savs.datasets.errors import SourceError
from savs.datasets.example import first_few
from savs.datasets.media.media import sha256
from savs.datasets.splits.labels import (
    check_splits,
    label_doubts,
    refuse_doubts,
    unknown_labels,
)
from savs.datasets.splits.leaks import find_leaks
from savs.datasets.splits.shared_media import (
    content_table,
    digests_of,
    media_names,
    recurring_digests,
)
from savs.foundation.files import is_utf8
from savs.pipeline.extraction.line.assembly import NOT_FINITE
from savs.pipeline.extraction.recorded_options import CREDENTIALS
from savs.pipeline.extraction.rows.appending import (
    WantedExamples,
    as_examples,
    other_kinds_of,
    stored_rows,
)
from savs.pipeline.extraction.rows.reconciliation import (
    Contents,
    GivenRow,
    Reconciled,
    StoredRow,
    outcome_text,
    reconcile,
)
from savs.pipeline.inputs.input_options import FileOfRows
from savs.pipeline.inputs.source import Source, Splits
from savs.pipeline.inputs.stored_rows import planned_rows
from savs.pipeline.names import ICL
from savs.pipeline.running.formatting import counted
from savs.stores import FeatureStore, StoreIncompleteError, StoreMismatchError
from savs.stores.format.layout import SPLITS, UNLABELLED
from savs.stores.format.manifest import LateLabel, LateLabels, PlacedRow
from savs.stores.format.plan import SplitPlan, segment_of
from savs.stores.format.revision import Revision

FOLLOWED = (*SPLITS, UNLABELLED)
"""Splits whose rows come from sources."""
NAMED = 3
"""Examples that a line names."""
PLACED = ("id", "split", "label", "group", "category", "extra")
"""What a source says of a row, next to where its media lie."""


def follow_examples(
    store: FeatureStore | None, source: Source, *, allow_removed: bool
) -> WantedExamples:
    """Return the examples of a store that follows a source, and what that changes in it.

    SourceError if the source has lost a class, or more than half of its rows, and `allow_removed`
    is not set. StoreIncompleteError if examples of another run are still to be read.
    StoreMismatchError if the store asks another question, or two sources have an example of the
    same id. DatasetError if the input has a fault, or the splits as they would be do not fit each
    other.
    """
    follower = _Follower(store, source)
    follower.read()
    follower.compare()
    if not allow_removed:
        follower.require_most()
    follower.plan_rows()
    return follower.wanted()


@dataclass
class _Stored:
    """What a store has of a split."""

    examples: dict[str, Example]
    """Id as planned -> the planned example, of those with a shard."""
    contents: dict[str, Contents]
    reasons: dict[str, str]
    """Id of a skipped row -> why."""
    unread: list[str]
    """Ids of planned rows without a shard."""


@dataclass(frozen=True, slots=True)
class _RowNow:
    """An example as it counts after the run."""

    example: Example
    digests: tuple[str, ...]
    """SHA-256 of each medium."""
    is_late: bool
    """Whether its label came after its features."""


@dataclass
class _Follower:
    """A store and its source while they are compared, step by step."""

    store: FeatureStore | None
    source: Source
    given: Splits = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    """Split -> name of a medium -> SHA-256."""
    stored: dict[str, _Stored] = field(default_factory=dict)
    plans: dict[str, SplitPlan] = field(default_factory=dict)
    """Those of the store, with the names of sources now."""
    placed: dict[tuple[str, str], PlacedRow] = field(default_factory=dict)
    """Split and id as planned -> what its source says of it now, of all rows in the store."""
    before: dict[str, list[StoredRow]] = field(default_factory=dict)
    """Given source -> its rows in the store, as they were the last time."""
    of_source: dict[str, Reconciled] = field(default_factory=dict)
    """Given source -> what became of them."""
    todo: Splits = field(default_factory=dict)
    """Planned examples that are still to be read."""
    went: list[tuple[str, str]] = field(default_factory=list)
    """Rows whose label goes."""
    renamed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Notes that matter when all is done, too."""

    def files(self) -> dict[str, str]:
        """Return split -> the source of its rows, for the splits that it may have rows of."""
        splits = dict.fromkeys(["train", *self.given])
        return {split: _source_name(self.source.given(split)) for split in splits}

    def shown(self, split: str = "train") -> str:
        """Return what messages call the source of a split."""
        file = self.source.given(split)
        return "the rows" if isinstance(file, FileOfRows) else str(file)

    def read(self) -> None:
        """Read the given rows, and what the store has."""
        source = self.source
        source.require_files()
        folder = Path(source.given("train"))
        is_folder = source.benchmark.read_folder is not None
        if self.store is None or not (is_folder and is_empty(folder)):
            self.given = source.given_splits()
        self.notes += source.survey(self.given)  # media at URLs are fetched by then
        for split, rows in self.given.items():
            media = source.media(split)
            new = self.store is None  # then only equal files are looked for
            self.digests[split] = (
                recurring_digests(rows, media) if new else digests_of(media_names(rows), media)
            )
        if self.store is None:
            return
        _require_same_question(self.store, source)
        manifest, bare = self.store.manifest, self.store.as_extracted()
        for split, plan in manifest.plan.splits.items():
            self.stored[split] = stored = _stored(bare, split)
            self.plans[split] = plan
            for name, example in stored.examples.items():
                now = manifest.rows.get(split, {}).get(name)
                self.placed[split, name] = GivenRow(example, None).placed if now is None else now

    def compare(self) -> None:
        """Compare the rows of each given source, and see which labels that came later stay."""
        files = self.files()
        for name in dict.fromkeys(files.values()):
            given = [
                GivenRow(row, self._contents(split, row))
                for split, rows in self.given.items()
                if files[split] == name
                for row in rows
            ]
            self._adopt(name, given, others=set(files.values()) - {name})
            rows = self.before[name] = self._rows_of(name)
            outputs = {} if self.store is None else self.store.manifest.identity.outputs
            reconciled = self.of_source[name] = reconcile(
                rows,
                given,
                in_split=ICL in outputs,  # demonstrations stand before test examples alone
                has_classes=self.source.benchmark.read_folder is not None,
                fails_again=self._fails_again,
            )
            self._note_conflicts(reconciled)
            self._keep_labels(reconciled)
            self.placed |= reconciled.placed

    def _contents(self, split: str, row: Example) -> Contents | None:
        if self.store is None:  # names stand for files that no other one equals in size
            digests = [self.digests[split].get(name, f"\0{split} {name}") for name in row.media]
        else:
            digests = [self.digests[split].get(name, "") for name in row.media]
        known = all(digests)
        return Contents(tuple(digests), row.prompt, row.subtask) if known else None

    def _adopt(self, name: str, given: Sequence[GivenRow], others: set[str]) -> None:
        """Give rows of the same contents, that another path had brought, to a source.

        A source whose path is not known yet is one that is, if most of what that had is there: its
        folder was moved. So are rows that no source brought, segment by segment.
        """
        sources = {s.source for plan in self.plans.values() for s in plan.segments}
        contents = {row.contents for row in given}
        shares: dict[str, float] = {}
        if name not in sources:
            for other in sorted(filter(None, sources - others)):
                rows = [row for row in self._rows_of(other) if row.last.split is not None]
                share = sum(row.contents in contents for row in rows) / max(len(rows), 1)
                shares[other] = share
        best = max(shares, key=lambda other: shares[other], default=None)
        if best is not None and shares[best] <= 1 / 2:
            best = None
        splits = {row.example.split for row in given} | {UNLABELLED}
        for split, plan in self.plans.items():
            if split not in FOLLOWED:
                continue
            places = iter(plan.order or range(len(plan.ids)))
            segments = []
            for segment in plan.segments:
                ids = [plan.ids[next(places)] for _ in range(segment.rows)]
                contents_of_rows = [self.stored[split].contents.get(n) for n in ids]
                count = sum(one is not None and one in contents for one in contents_of_rows)
                is_ours = segment.source is None and split in splits and 2 * count > segment.rows
                is_ours |= best is not None and segment.source == best
                segments.append(replace(segment, source=name) if is_ours else segment)
            self.plans[split] = replace(plan, segments=tuple(segments))

    def _rows_of(self, name: str) -> list[StoredRow]:
        return [
            StoredRow(
                split, row, stored.contents[row], row in stored.reasons, self.placed[split, row]
            )
            for split, stored in self.stored.items()
            for row, source in self.plans[split].sources().items()
            if source == name and row in stored.examples
        ]

    def _fails_again(self, stored: StoredRow, given: GivenRow) -> bool:
        """Return whether media of the same bytes cannot be decoded still: a decoder may be new."""
        if NOT_FINITE in self.stored[stored.split].reasons[stored.id]:
            return True
        example = given.example
        media = self.source.media(example.split)
        try:
            for name, column in zip(example.media, example.columns, strict=True):
                media.decode(name, column)
        except MediaError:
            return True
        return False

    def _note_conflicts(self, reconciled: Reconciled) -> None:
        """Say which files are in several class folders; RowError if the options are strict."""
        lines = []
        for rows in reconciled.conflicts:
            once = {row.example.media[0]: row.example.label for row in rows}
            lines.append(
                f"{' and '.join(once)} have the same bytes and different classes, so"
                f" {'neither' if len(once) == 2 else 'none'} is used; remove the wrong one"
            )
        self.warnings += refuse_doubts(
            list(dict.fromkeys(lines)), strict=self.source.options.strict
        )

    def _keep_labels(self, reconciled: Reconciled) -> None:
        """See which labels that came later stay: not those of rows that moved to another class."""
        if self.store is None:
            return
        late = self.store.manifest.labels
        renamed = reconciled.renamed_classes() if self.source.labels.kind.are_classes else {}
        lost: dict[str, str] = {}
        edited = {stored.key for stored, _ in reconciled.edited}
        for stored, given in (*reconciled.matches, *reconciled.edited):
            label = late.get(stored.split, {}).get(stored.id)
            before, now = stored.last.label, given.example.label
            if label is None:
                continue
            what = "was edited"  # the label stays with what it was given to
            if stored.key not in edited:
                if now in (before, renamed.get(before or "", before)):
                    continue
                what = f"has moved to {now or given.example.split}"
                self.went.append(stored.key)
            if (label.label, label.split) != (now, given.example.split):
                is_prompted = bool(self.source.benchmark.prompts)
                name = stored.last.id.rpartition("#")[0] if is_prompted else stored.last.id
                lost[name] = f"{name} {what}, and was corrected to {label.label}"
        if lost:
            self.warnings.append(
                f"{counted(len(lost), 'correction')} dropped: {first_few(lost.values(), NAMED)}"
            )
        self.renamed |= renamed

    def require_most(self) -> None:
        """Raise SourceError if a class is gone, or more than half of the rows."""
        split_of = {name: split for split, name in reversed(self.files().items())}
        for name, reconciled in self.of_source.items():
            before = [row for row in self.before[name] if row.last.split is not None]
            gone = reconciled.gone_classes(before) if self.source.labels.kind.are_classes else {}
            what = ""
            if 2 * len(reconciled.removed) > len(before):
                first = reconciled.removed[0].last.id
                what = f"{len(reconciled.removed):,} of {len(before):,} examples, {first!r} first,"
            elif gone:
                label, lost = next(iter(gone.items()))
                what = f"all {len(lost):,} examples of class {label!r}, {lost[0].last.id!r} first,"
            if what and self.store is not None:
                raise SourceError(
                    f"{self.shown(split_of[name])} lacks {what} that {self.store.path} has; the"
                    " store is unchanged: mount the disk or finish the copy, or pass"
                    " `allow_removed` if they were removed on purpose"
                )

    def plan_rows(self) -> None:
        """Plan what is to be read: rows that an earlier run did not come to, and new ones."""
        names = list(self.of_source)
        left = {
            (row.example.split, row.example.id): row.example
            for reconciled in self.of_source.values()
            for row in reconciled.unread
        }
        for split, plan in self.plans.items():
            if self.store is not None and split in FOLLOWED:
                self._go_on(split, plan, left, names, self.store)
        planned = {split: set(plan.ids) for split, plan in self.plans.items()}
        for (split, _), example in left.items():
            ids = planned.setdefault(split, set())
            name, number = example.id, 2
            while name in ids:
                name, number = f"{example.id}@{number}", number + 1
            ids.add(name)
            self.todo.setdefault(split, []).append(replace(example, id=name))
            if name != example.id:
                self.placed[split, name] = GivenRow(example, None).placed

    def _go_on(
        self,
        split: str,
        plan: SplitPlan,
        left: dict[tuple[str, str], Example],
        names: Sequence[str],
        store: FeatureStore,
    ) -> None:
        """Take over the rows that an earlier run planned and did not read, if they are as then.

        If they are not, their shards are dropped, and what is left of them is planned anew.
        """
        manifest, stored, sources = store.manifest, self.stored[split], plan.sources()
        missing = [spec for spec in store.missing(split) if spec.split == split]
        if not missing:
            return
        rows = manifest.rows.get(split, {})
        dropped: list[int] = []
        for source in dict.fromkeys(sources[name] for name in stored.unread):
            if source is None:
                raise StoreIncompleteError(
                    f"{store.path}: shard {missing[0].name} is missing, and {self.shown()}"
                    " does not have its examples; run the same `savs extract` command again to"
                    " finish it first"
                )
        places = list(plan.order or range(len(plan.ids)))
        start = 0
        for segment in plan.segments:
            ids = [plan.ids[place] for place in places[start : start + segment.rows]]
            specs = [s for s in missing if start <= s.start < start + segment.rows]
            start += segment.rows
            if not specs:
                continue
            unread = [name for spec in specs for name in manifest.plan.planned_ids(spec)]
            again: dict[str, Example] = {}
            for name in unread:
                given_id = rows[name].id if name in rows else name
                if segment.source in names and (split, given_id) in left:
                    again[name] = replace(left[split, given_id], id=name)
            examples = [stored.examples.get(name) or again.get(name) for name in ids]
            whole = [example for example in examples if example is not None]
            if len(whole) == len(ids) and segment_of(planned_rows(whole)).agrees(segment):
                self.todo.setdefault(split, []).extend(again.values())
                for name, example in again.items():
                    given_id = rows[name].id if name in rows else name
                    self.placed[split, name] = GivenRow(left.pop((split, given_id)), None).placed
                    if name == example.id == given_id:
                        del self.placed[split, name]
            else:
                dropped += [spec.number for spec in specs]
                if segment.source not in names:
                    self.notes.append(
                        f"{counted(len(unread), f'{split} example')} of {segment.source} that"
                        " were not read yet are left out; train on it again to add them"
                    )
        self.plans[split] = replace(plan, dropped=(*plan.dropped, *dropped))

    def wanted(self) -> WantedExamples:
        """Return the examples of the run, with what changes in the store."""
        sources = self.files()
        revision = Revision(sources=sources)
        if self.store is not None:
            revision = self._revision(self.store, sources)
        labels = {} if self.store is None else revision.labels_of(self.store.manifest)
        stored_rows = {
            split: list(stored.examples.values()) for split, stored in self.stored.items()
        }
        examples: Splits = {}
        begun = self.stored or ("train",)  # a new store has that split, even without an example
        for split in dict.fromkeys([*begun, *self.given]):
            stored_by_id = {example.id: example for example in stored_rows.get(split, [])}
            to_read = {example.id: example for example in self.todo.get(split, [])}
            plan = self.plans.get(split, SplitPlan((), ()))
            names = dict.fromkeys([*plan.ids, *to_read])
            planned = [stored_by_id.get(name) or to_read.get(name) for name in names]
            examples[split] = [row for row in planned if row is not None]
        now = self._rows_now(labels)
        self._check(now)
        outcomes = [one for reconciled in self.of_source.values() for one in reconciled.outcomes]
        first = f"{self.shown()}: {outcome_text(outcomes, len(self.source.benchmark.prompts))}"
        readable = frozenset(
            (split, name)
            for reconciled in self.of_source.values()
            for row, given in reconciled.matches
            for split, name in [row.key]
            if self.stored[split].examples[name].media == given.example.media
            and split == given.example.split
        )
        kinds = self.source.other_kinds(self.given)
        return WantedExamples(
            examples=examples,
            todo=self.todo,
            readable=readable,
            notes=[first, *self.notes, *self.warnings],
            other_kinds=kinds if self.store is None else kinds | other_kinds_of(self.store),
            labelled=[row.example for row in now.get("train", ())],
            revision=revision,
            warnings=self.warnings,
        )

    def _revision(self, store: FeatureStore, sources: Mapping[str, str]) -> Revision:
        rows: dict[str, dict[str, PlacedRow]] = {}
        for (split, name), placed in self.placed.items():
            example = self.stored[split].examples.get(name)
            if example is None or GivenRow(example, None).placed != placed:
                rows.setdefault(split, {})[name] = placed
        classes = {row.label for row in self.placed.values() if row.split is not None}
        classes |= {example.label for examples in self.todo.values() for example in examples}
        return Revision(
            before=store.manifest,
            plan=replace(store.manifest.plan, splits=self.plans),
            rows=rows,
            dropped_labels=frozenset(self.went),
            # a name that another class took says nothing of the class that had it before
            renamed_labels={
                before: now
                for before, now in self.renamed.items()
                if before not in classes or before in self.renamed.values()
            },
            sources=sources,
        )

    def _rows_now(self, labels: LateLabels) -> dict[str, list[_RowNow]]:
        """Return split -> the examples that the store will have, as they count then."""
        now: dict[str, list[_RowNow]] = {}
        for split, stored in self.stored.items():
            for name, example in stored.examples.items():
                placed = self.placed[split, name]
                if placed.split is not None and name not in stored.reasons:
                    said = {field: getattr(placed, field) for field in PLACED}
                    row = replace(example, **said, media=tuple(placed.media))
                    late = labels.get(split, {}).get(name)
                    _add(now, row, stored.contents[name].media, late)
        for split, rows in self.todo.items():
            for example in rows:
                placed = self.placed.get((split, example.id))
                row = example if placed is None else replace(example, id=placed.id)
                digests = tuple(self.digests[split].get(n, f"{split} {n}") for n in row.media)
                _add(now, row, digests, labels.get(split, {}).get(example.id))
        return now

    def _check(self, now: Mapping[str, Sequence[_RowNow]]) -> None:
        """Check the splits as they will be, and note what is doubtful about them."""
        for split, rows in now.items():
            ids = Counter(row.example.id for row in rows)
            if twice := next((name for name, count in ids.items() if count > 1), None):
                raise StoreMismatchError(
                    f"{self.shown()} has the {split} example {twice!r}, and so has another source"
                    " of the store; give it another id (a column `id`, or another file name)"
                )
        train, test = (now.get(split, []) for split in SPLITS)
        examples = [row.example for row in train]
        tested = [row.example for row in test if not row.is_late]
        if train or UNLABELLED not in now:  # else labels make the training examples
            check_splits(examples, tested, self.source.labels)
            self.notes += unknown_labels(examples, tested, self.source.labels.kind)
        tables = [_table(rows) for rows in (train, test)]
        if self.todo.get("test"):
            once = under_one_prompt(tables[1], self.source.benchmark.prompts)
            self.notes += label_doubts(once, "test", kind=self.source.labels.kind)
        self.notes += self.source.doubts(tables[0])
        if train and test:
            self.notes += find_leaks(*tables).summary()


def _require_same_question(store: FeatureStore, source: Source) -> None:
    before = store.manifest.identity.benchmark.get("options", {})
    now = source.benchmark.options
    for option in ("question", "questions"):
        if before.get(option) != now.get(option):
            raise StoreMismatchError(
                f"{store.path} asks {before.get(option)!r}, and now it is {now.get(option)!r}; ask"
                " the same, or pass another `out`"
            )


def _stored(bare: FeatureStore, split: str) -> _Stored:
    planned = bare.ids(split)
    table = stored_rows(bare, split)
    if table is None:
        return _Stored({}, {}, {}, list(planned))
    examples = as_examples(table, split)
    columns = table.select("id", "media_sha256", "prompt", "subtask").iter_rows()
    contents = {name: Contents(tuple(d), text, task) for name, d, text, task in columns}
    reasons = dict(bare.skipped(split).select("id", "reason").iter_rows())
    unread = [name for name in planned if name not in examples]
    return _Stored(examples, contents, reasons, unread)


def _source_name(file: str | Path) -> str:
    """Return what a store records of a source: its path, or of rows in memory what they are."""
    if isinstance(file, FileOfRows):
        return f"rows {sha256(Path(file).read_bytes())}"
    text = str(file)
    if "://" in text:
        return CREDENTIALS.sub("", text)
    path = os.path.abspath(text)  # noqa: PTH100 - a link stays the link that it is
    return path if is_utf8(path) else ascii(path)


def _add(
    now: dict[str, list[_RowNow]], row: Example, digests: tuple[str, ...], late: LateLabel | None
) -> None:
    if late is not None:
        row = replace(row, label=late.label, split=late.split)
    now.setdefault(row.split, []).append(_RowNow(row, digests, late is not None))


def _table(rows: Sequence[_RowNow]) -> pl.DataFrame:
    """Return examples as `content_table` does, with the digests that are known of each."""
    table = content_table([row.example for row in rows], {})
    digests = [list(row.digests) for row in rows]
    return table.with_columns(pl.Series("media_sha256", digests, dtype=pl.List(pl.String)))
