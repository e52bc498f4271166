"""`extract --append`: examples that are added to a store, and what is known of them already.

The plan of the store is read as if all its examples were given again, those with features from the
store itself; so its segments are checked as in every other run, and the new examples make one more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from savs.datasets import Example
from savs.datasets.benchmarks.options import under_one_prompt
from savs.datasets.media.media import MediaFolder
from savs.datasets.media_kinds.catalogue import KIND_OF_COLUMN, KINDS
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind
from savs.datasets.splits.labels import check_splits, label_doubts, unknown_labels
from savs.datasets.splits.leaks import find_leaks
from savs.datasets.splits.shared_media import columns_read, content_table, digests_of, media_names
from savs.pipeline.inputs.source import Source, Splits
from savs.pipeline.running.formatting import counted
from savs.stores import FeatureStore, ShardSpec, StoreIncompleteError, StoreMismatchError
from savs.stores.format.layout import SPLITS
from savs.stores.format.plan import ROW_COLUMNS
from savs.stores.format.revision import UNREVISED, Revision

COMPARED = tuple(name for name in ROW_COLUMNS if name != "index")
"""What must be equal for a row to be the one that the store has: it may lie elsewhere in a file."""


@dataclass(frozen=True, slots=True)
class WantedExamples:
    """The examples of a run."""

    examples: Splits
    """All that the store will hold, in the order of its plan."""
    todo: Splits
    """Those whose media the run can read, and that have no features before it."""
    readable: frozenset[tuple[str, str]]
    """Split and id of each example that was given: their media can be read."""
    notes: Sequence[str]
    """What a user should know before the run."""
    other_kinds: frozenset[MediumKind]
    """Kinds of media that are read as images and are none, those of the store included."""
    labelled: Sequence[Example] | None = None
    """The training examples as they count after the run, where not as they were planned."""
    revision: Revision = UNREVISED
    """What else changes in the store."""
    warnings: Sequence[str] = ()
    """The notes that still matter after the run."""

    @property
    def kinds(self) -> frozenset[MediumKind]:
        """Kinds of all media."""
        columns = columns_read(self.examples)
        return self.other_kinds.union(KIND_OF_COLUMN[column] for column in columns)

    def can_redo(self, spec: ShardSpec, ids: Sequence[str]) -> bool:
        """Return whether a shard of these examples can be made again."""
        return all((spec.split, identifier) in self.readable for identifier in ids)


def wanted_examples(source: Source) -> WantedExamples:
    """Return the examples of a run that is given all of them."""
    examples = source.examples()
    notes = source.notes(examples)  # media at URLs are fetched by then
    return WantedExamples(examples, examples, _ids(examples), notes, source.other_kinds(examples))


def add_examples(store: FeatureStore, source: Source) -> WantedExamples:
    """Return the examples of a store and those that are given next to them.

    An example that the store has already, by its id and content, is left out. StoreMismatchError if
    the store has an example of the same id with other content. StoreIncompleteError if a shard is
    missing, and its examples are not among those given. DatasetError if the input has a fault, or
    the splits as they would be do not fit each other.
    """
    _require_none_out(store, source)
    store, input_splits = store.as_extracted(), source.given_splits()
    examples: Splits = {}
    todo: Splits = {}
    notes: list[str] = []
    stored = {split: stored_rows(store, split) for split in store.manifest.plan.splits}
    for split in dict.fromkeys([*stored, *input_splits]):
        table = stored.get(split)
        stored_by_id = {} if table is None else as_examples(table, split)
        new = input_splits.get(split, [])
        if table is not None:
            _require_same(store, source, split, stored_by_id, new)
        examples[split] = _joined(store, split, stored_by_id, new)
        todo[split] = [example for example in new if example.id not in stored_by_id]
        if split in input_splits:
            notes.append(_counted(split, len(todo[split]), len(new) - len(todo[split])))
    train, test = examples.get("train", []), examples.get("test", [])
    if train:  # else labels make the training examples, or names of classes take their place
        check_splits(train, test, source.labels)
        notes += unknown_labels(train, test, source.labels.kind)
    notes += source.survey(input_splits)
    whole = {
        split: _united(stored.get(split), todo[split], source.media(split))
        for split in SPLITS
        if split in examples
    }
    if todo.get("train"):
        notes += source.doubts(whole["train"])
    if todo.get("test"):
        once = under_one_prompt(whole["test"], source.benchmark.prompts)
        notes += label_doubts(once, "test", source.labels.kind)
    if len(whole) == len(SPLITS):
        notes += find_leaks(whole["train"], whole["test"]).summary()
    kinds = other_kinds_of(store) | source.other_kinds(input_splits)
    return WantedExamples(examples, todo, _ids(input_splits), notes, kinds)


def other_kinds_of(store: FeatureStore) -> frozenset[MediumKind]:
    """Return the kinds of media of a store that are read as images, as far as it records that."""
    # all facts are recorded if there are such media; one alone was only asked for
    facts = store.manifest.identity.processor.keys()
    return frozenset(
        kind
        for kind in KINDS
        if kind.column == IMAGE_COLUMN and kind.recorded and kind.recorded.keys() <= facts
    )


def _require_none_out(store: FeatureStore, source: Source) -> None:
    """Raise StoreMismatchError for an example that `savs train` has left out since."""
    out = {
        (split, name)
        for split, rows in store.manifest.rows.items()
        for name, row in rows.items()
        if (row.split, row.id) != (split, name)
    }
    for split, rows in (source.given_splits() if out else {}).items():
        if name := next((row.id for row in rows if (split, row.id) in out), None):
            raise StoreMismatchError(
                f"{store.path} has had the {split} example {name!r}, which its folder has no more;"
                " add it by `savs train`, or give it another id"
            )


def stored_rows(store: FeatureStore, split: str) -> pl.DataFrame | None:
    """Return the examples of a split that the store has, skipped ones too; None without any."""
    if not store.present(split):
        return None
    columns = ["id", "media_sha256", *ROW_COLUMNS]
    tables = store.examples(split).select(columns), store.skipped(split).select(columns)
    return pl.concat(tables)


def as_examples(rows: pl.DataFrame, split: str) -> dict[str, Example]:
    """Return id -> the example that a row of a split of the store is of."""
    names = [field.name for field in fields(Example) if field.name != "split"]
    examples = {}
    for row in rows.select(names).iter_rows(named=True):
        parsed: dict[str, Any] = {"media": tuple(row["media"]), "extra": json.loads(row["extra"])}
        examples[row["id"]] = Example(**row | parsed, split=split)
    return examples


def _joined(
    store: FeatureStore, split: str, stored_by_id: Mapping[str, Example], rows: Sequence[Example]
) -> list[Example]:
    """Return the planned examples of a split, then the new ones."""
    planned = store.ids(split)
    new = {example.id: example for example in rows}
    absent = next((name for name in planned if name not in stored_by_id and name not in new), None)
    if absent is not None:
        raise StoreIncompleteError(
            f"{store.path}: shard {store.missing(split)[0].name} is missing, and its {split}"
            f" example {absent!r} is not among those given; finish the run that was interrupted:"
            " give its files with `append`, then append others"
        )
    planned_ids = set(planned)
    return [
        *(stored_by_id.get(name) or new[name] for name in planned),
        *(example for example in rows if example.id not in planned_ids),
    ]


def _require_same(
    store: FeatureStore,
    source: Source,
    split: str,
    stored_by_id: Mapping[str, Example],
    rows: Sequence[Example],
) -> None:
    """Raise StoreMismatchError if an example has the id of another one that the store has.

    Media of skipped examples are not compared: they may have been repaired. Nor are any if a
    shard is missing: this run continues an earlier one.
    """
    again = [example for example in rows if example.id in stored_by_id]
    for example in again:
        for name in COMPARED:
            before, now = getattr(stored_by_id[example.id], name), getattr(example, name)
            if before != now and name == "prompt":
                raise StoreMismatchError(
                    f"{store.path} asks {before!r} about {split} example {example.id!r}, and now it"
                    f" is {now!r}; ask the same, or pass another `out`"
                )
            if before != now:
                raise _other(store, split, example.id, f"{name} {before!r} there, {now!r} now")
    if store.missing():
        return
    digests = digests_of(media_names(again), source.media(split)) if again else {}
    recorded = dict(store.examples(split).select("id", "media_sha256").iter_rows())
    for example in again:
        for name, before in zip(example.media, recorded.get(example.id, ()), strict=False):
            if digests.get(name, before) != before:
                raise _other(store, split, example.id, f"{name} with other bytes")


def _other(store: FeatureStore, split: str, identifier: str, what: str) -> StoreMismatchError:
    return StoreMismatchError(
        f"{split} example {identifier!r} is in {store.path} with other content: {what}; give the"
        " new example another id (a column `id`, or another file name), or leave it out"
    )


def _counted(split: str, new: int, repeated: int) -> str:
    """Return how many examples the model must still read."""
    if not new:
        return f"append: {counted(repeated, f'{split} example')}, already in the store"
    known = f"; {repeated:,} more {'is' if repeated == 1 else 'are'} in the store already"
    return f"append: {counted(new, f'{split} example')} to read" + (known if repeated else "")


def _united(
    stored: pl.DataFrame | None, new: Sequence[Example], media: MediaFolder
) -> pl.DataFrame:
    """Return the stored rows of a split and new ones, with the columns of `content_table`."""
    added = content_table(new, digests_of(media_names(new), media))
    return added if stored is None else pl.concat([stored.select(added.columns), added])


def _ids(examples: Splits) -> frozenset[tuple[str, str]]:
    return frozenset((split, example.id) for split, rows in examples.items() for example in rows)
