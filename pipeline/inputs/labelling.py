"""`savs label`: labels for examples whose features a store has already. No model runs."""

import difflib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from savs.datasets.asked import asked_questions
from savs.datasets.benchmarks.general import image_names
from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.datasets.example import first_few, of_subtask
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.label_kinds import LabelKind
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import LabelError
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.options import Option
from savs.pipeline.targets import labels_of
from savs.stores import FeatureStore
from savs.stores.format.layout import SPLITS, UNLABELLED
from savs.stores.format.manifest import LateLabel, LateLabels
from savs.stores.maintain.labels import Changes, give_labels
from savs.stores.read.store import AnyStore, as_store

NAMED = 3
"""Examples that a message names."""
LABELLED_SPLITS = (UNLABELLED, "test", "train")
"""The splits whose examples may get a label."""
CHANGES_SCHEMA: dict[str, Any] = dict.fromkeys(
    ("id", "split", "label", "old_split", "old_label", "subtask"), pl.String
)
ROW_SCHEMA: dict[str, Any] = dict.fromkeys(("id", "split", "label", "subtask"), pl.String) | {
    "media": pl.List(pl.String)
}
TABLE = "`savs suggest STORE --out FILE` writes such a table"
LABEL = "label"
State = tuple[str, str | None]
"""The split and the label of an example."""
Labels = str | Path | Mapping[str, Any] | pl.DataFrame
"""Id -> label, or a file or frame with the columns `id` (or `image`) and `label`. Of many labels a
list, or an object of `true` and `null`."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What `label` did."""

    store: FeatureStore
    """The store as it is now."""
    changes: pl.DataFrame
    """One row an example that changed: `id`, `split` and `label` as they are now, `old_split`,
    `old_label`, `subtask`."""
    unchanged: int
    """Labels that the store had already."""
    taken: tuple[str, ...] = ()
    """Ids that were labelled before and were left as they are: without `replace`, or `seen`."""

    def __repr__(self) -> str:
        """Return a few lines: what changed, and what comes next."""
        return (
            f"Labelled({counted(self.changes.height, 'label')} changed, {self.unchanged:,} known)\n"
            f"  {self.store!r}\n  next: savs.select({str(self.store.path)!r})"
        )


def label(
    store: AnyStore,
    labels: Labels,
    *,
    split: Annotated[str | None, Option(metavar="train|test")] = None,
    new_classes: bool = False,
    take_back: bool = False,
    replace: Annotated[bool, Option(level="python")] = True,
) -> Labelled:
    """Give labels to examples of a store from what it holds: no model runs, no shard changes.

    An example without a label, or of the test split, becomes a training example; a training example
    gets another label. All labels are written at once, or none. Other processes may label, extract
    and read at the same time.

    Parameters
    ----------
    store
        Feature store: a folder.
    labels
        Table with the columns id (or image) and label: .csv, .jsonl or .parquet.

        Or a dictionary, id -> label; None takes back what was given before, so that the example is
        again as it was extracted. Or a frame with the columns of the table. An empty label in a
        table changes nothing. With several prompts, the id of an image stands for all of them.
    split
        Where the examples go (default: train).

        Of a store without training examples, which `classify` made, `test`.
    new_classes
        Allow labels that no example has yet.
    take_back
        Remove the labels that these examples were given before.

        Of all examples that a table names, whatever its labels.
    replace
        Also change labels that were given before.

    Raises
    ------
    LabelError
        An example is unknown, was skipped, or is in two splits; or a class is new.
    DatasetError
        The file cannot be read.
    StoreError
        The store cannot be read, or not be written.
    """
    if take_back and (split is not None or new_classes):
        name = "split" if split is not None else "new_classes"
        raise ParameterError(f"`{name}` has no meaning with `take_back`; omit it")
    labeller = Labeller(store)
    if take_back:
        is_mapping = isinstance(labels, Mapping)
        labels = dict.fromkeys(labels if is_mapping else labeller.ids_of(labels))
    return labeller.give(labels, split=split, new_classes=new_classes, replace=replace)


def _rows(labels: str | Path | pl.DataFrame) -> Iterable[Row]:
    """Return the rows of a file or a frame."""
    if not isinstance(labels, pl.DataFrame):
        return read_rows(labels)
    frame = enumerate(labels.iter_rows(named=True))
    return [Row(f"row {number}", number, values) for number, values in frame]


class Labeller:
    """A store whose examples get labels one after the other; its examples are read once."""

    def __init__(self, store: AnyStore) -> None:
        self.store = as_store(store)
        """As it was when a label was last given."""
        self._unlabelled = self.store.without_labels()
        self._splits = [split for split in LABELLED_SPLITS if self._unlabelled.ids(split)]
        # what is finished of an extraction that runs can be labelled; thumbnails are not read
        rows = replace(self._unlabelled, partial=True).scan().select(*ROW_SCHEMA)
        self._table = rows.filter(pl.col("split").is_in(self._splits)).collect()
        self._places: dict[str, list[int]] = {}
        for place, name in enumerate(self._table["id"]):
            self._places.setdefault(name, []).append(place)
        self._of_media: dict[str, list[str]] = {}
        for name, media in self._table.select("id", "media").iter_rows():
            if len(media) == 1:
                self._of_media.setdefault(media[0], []).append(name)
        facts = self.store.manifest.identity.benchmark
        self._prompts = stored_prompts(facts)
        self._labels = labels_of(facts)
        """What labels are, and how rows spell them."""
        self._in_a_cell = replace(self._labels, form=self._labels.kind.cell(self._labels.form))
        """The same where a row has them in one cell."""
        self.classes = self._known_classes()
        """Subtask -> its classes."""

    def give(
        self,
        labels: Labels,
        *,
        split: str | None = None,
        new_classes: bool = False,
        replace: bool = True,
        seen: Mapping[str, State] | None = None,
    ) -> Labelled:
        """Give labels to examples of the store; parameters and errors as in `label`.

        An example whose split and label are not those that were `seen`, by its id, keeps them.
        """
        if split is not None and split not in SPLITS:
            raise ParameterError(f"`split` is {split!r}, expected {' or '.join(SPLITS)}")
        wanted = self._resolve(labels)
        self._require_classes(wanted, allow_new=new_classes)
        outcome = _Outcome()

        def changes(now: LateLabels) -> Changes:
            nonlocal outcome  # made again where another process was faster
            keeps = self._changed_since(seen or {}, now)
            outcome = self._outcome(wanted, split, now, keeps, replace=replace)
            return outcome.late

        self.store = give_labels(self.store, changes)
        table = pl.DataFrame(outcome.changes, schema=CHANGES_SCHEMA, orient="row")
        for subtask, text in table.select("subtask", "label").drop_nulls("label").iter_rows():
            self.classes.setdefault(subtask, {}).update(dict.fromkeys(self._kind.names(text)))
        return Labelled(self.store, table, outcome.unchanged, tuple(outcome.taken))

    def ids_of(self, labels: str | Path | pl.DataFrame) -> list[str]:
        """Return the ids that the rows of a file name, whatever their labels; errors as `give`."""
        places = [place for row in _rows(labels) for place in self._of_row(row)]
        return [self._table["id"][place] for place in dict.fromkeys(places)]

    def _known_classes(self) -> dict[str | None, dict[str, None]]:
        """Return the classes of each subtask that has labels, as they are now."""
        known: dict[str | None, dict[str, None]] = {
            one.subtask: dict.fromkeys(one.answers) for one in asked_questions(self.store.benchmark)
        }
        late = self.store.manifest.labels
        for name, split, extracted, subtask, _ in self._table.iter_rows():
            planned_in, planned = self._planned(split, name)
            since = late.get(planned_in, {}).get(planned)
            text = extracted if since is None else since.label
            if text is not None:
                known.setdefault(subtask, {}).update(dict.fromkeys(self._kind.names(text)))
        return known

    def _planned(self, split: str, name: str) -> tuple[str, str]:
        """Return the split and the id that a row was planned with, by which labels are kept."""
        return self.store.manifest.planned.get((split, name), (split, name))

    @property
    def _kind(self) -> LabelKind:
        return self._labels.kind

    def _resolve(self, labels: Labels) -> dict[int, str | None]:
        """Return place in the table -> label, of what a user names by id or image."""
        wanted: dict[int, str | None] = {}
        named = self._of_names(labels) if isinstance(labels, Mapping) else self._of_rows(labels)
        for where, places, text in named:
            for place in places:
                if wanted.setdefault(place, text) != text:
                    raise LabelError(
                        f"{where}: {self._table['id'][place]!r} gets two labels,"
                        f" {wanted[place]!r} and {text!r}; keep one"
                    )
        return wanted

    def _of_names(self, labels: Mapping[str, Any]) -> Iterator[tuple[str, list[int], str | None]]:
        """Yield the position of a label in its file, the places of its examples, and the label."""
        where = "the labels"
        for name, text in labels.items():
            if not self._kind.are_classes:
                row = Row(f"the label of {name!r}", 0, {LABEL: text})
                yield where, self._of_id(name, where), self._in_a_cell.read(row, LABEL)
                continue
            if text is not None and (not isinstance(text, str) or not text.strip()):
                raise LabelError(
                    f"the label of {name!r} is {text!r}, expected text, or None to take it back"
                )
            yield where, self._of_id(name, where), text

    def _of_rows(self, labels: str | Path | pl.DataFrame) -> Iterator[tuple[str, list[int], str]]:
        """Yield the same of the rows of a file or frame whose label is filled in."""
        for row in _rows(labels):
            label = self._column(row, LABEL)
            if label not in row.values and not self._kind.columns(self._labels.form):
                raise row.error(f"it has no field {label!r}, only {row.fields}", TABLE)
            if self._kind.are_classes:
                text = row.optional(label)
            else:  # in one cell as `savs select --suspects` writes them
                text = (self._in_a_cell if label in row.values else self._labels).read(row, label)
            if text is not None and not text.strip():
                raise row.error(f"the label is {text!r}", "write a class, or leave it empty")
            if text is not None:
                yield row.where, self._of_row(row), text

    def _column(self, row: Row, what: str) -> str:
        """Return the column of a field: its name in the input files, or the field itself."""
        columns = self.store.manifest.identity.benchmark.get("options", {}).get("columns", {})
        name = columns.get(what, what)
        return name if name in row.values else what

    def _of_row(self, row: Row) -> list[int]:
        """Return the places of the examples that a row names by its id, or by its image and box."""
        if (name := row.optional(self._column(row, "id"))) is not None:
            return self._of_id(name, row.where)
        images = image_names(row, {n: self._column(row, n) for n in ("image", "images", "box")})
        if len(images) == 1:
            return self._of_image(images[0], row.where)
        raise row.error(f"it has no `id` and no `image`, only the fields {row.fields}", TABLE)

    def _of_id(self, name: str, where: str) -> list[int]:
        """Return the places of an id; with several prompts those of its image under each of them.

        Else an image would be in two splits, or have two labels.
        """
        ids = [name]
        if self._prompts:
            is_image = f"{name}#1" in self._places or name not in self._places
            image = name if is_image else without_prompt(pl.Series([name])).item()
            ids = [f"{image}#{number}" for number in range(1, len(self._prompts) + 1)]
        places = [place for one in ids for place in self._places.get(one, ())]
        if not places:
            raise self._unknown(name, ids, where)
        splits = sorted({self._table["split"][place] for place in places})
        if len(splits) > 1:
            raise LabelError(
                f"{where}: {name!r} is in the splits {' and '.join(splits)}, so it is not clear"
                " which example gets the label; extract one under another name"
            )
        return places

    def _of_image(self, name: str, where: str) -> list[int]:
        """Return the places of the example whose only medium has a name."""
        ids = pl.Series("id", self._of_media.get(name, []), pl.String)
        names = (without_prompt(ids) if self._prompts else ids).unique()
        if len(names) != 1:
            what = f"{len(names)} examples have" if len(names) else "no example has"
            raise LabelError(f"{where}: {what} the image {name!r}; name examples by their `id`")
        return self._of_id(names[0], where)

    def _unknown(self, name: str, ids: list[str], where: str) -> LabelError:
        skipped = self._unlabelled.skipped().filter(pl.col("id").is_in(ids))
        if skipped.height:
            return LabelError(
                f"{where}: {name!r} has no features, it was skipped: {skipped['reason'][0]}; mend"
                " it, and extract again with `retry_skipped`"
            )
        if any(ids[0] in self._unlabelled.ids(split) for split in self._splits):
            return LabelError(
                f"{where}: {name!r} is not extracted yet; run the same `savs extract` command again"
            )
        near = difflib.get_close_matches(name, self._places, n=1, cutoff=0.6)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return LabelError(
            f"{where}: {self.store.path} has no example {name!r}{hint}; new images are added by"
            " savs extract --append"
        )

    def _require_classes(self, wanted: Mapping[int, str | None], *, allow_new: bool) -> None:
        """Raise LabelError if a label is no class of its subtask, unless new ones are allowed.

        The first labels of a subtask make its classes.
        """
        new: dict[tuple[str | None, str], list[str]] = {}
        for place, label in wanted.items():
            subtask = self._table["subtask"][place]
            classes = self.classes.get(subtask, {})
            for text in [] if label is None else self._kind.names(label):
                if text not in classes and classes:
                    new.setdefault((subtask, text), []).append(self._table["id"][place])
        for (subtask, text), ids in new.items():
            if not allow_new:
                classes = sorted(self.classes[subtask])
                near = difflib.get_close_matches(text, classes, n=1, cutoff=0.6)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                unknown = [repr(other) for of, other in new if (of, other) != (subtask, text)]
                others = f" (nor are {first_few(unknown, NAMED)})" if unknown else ""
                raise LabelError(
                    f"{first_few(ids, NAMED)}: {text!r} is no class{of_subtask(subtask)}{hint}; the"
                    f" classes are {first_few(classes, 10)}{others}: correct it, or pass"
                    " `new_classes` to add it"
                )

    def _state(self, place: int, now: LateLabels) -> State:
        """Return the split and the label of an example, given the labels that came late."""
        name, placed_in, extracted, *_ = self._table.row(place)
        planned_in, planned = self._planned(placed_in, name)
        late = now.get(planned_in, {}).get(planned)
        return (placed_in, extracted) if late is None else (late.split, late.label)

    def _changed_since(self, seen: Mapping[str, State], now: LateLabels) -> set[int]:
        """Return the places of examples that are not as they were seen; of an image all or none."""
        of_ids = [(self._of_id(name, "the labels"), state) for name, state in seen.items()]
        changed = [places for places, state in of_ids if self._state(places[0], now) != state]
        return {place for places in changed for place in places}

    def _outcome(
        self,
        wanted: Mapping[int, str | None],
        split: str | None,
        now: LateLabels,
        keeps: Container[int],
        *,
        replace: bool,
    ) -> "_Outcome":
        """Return what becomes of the labels that a store has now; those of `keeps` stay."""
        # the images that `classify` read have no training examples: labels tell how good it is
        trains = self.store.ids("train") or UNLABELLED in self._splits
        target = split or ("train" if trains else "test")
        outcome = _Outcome()
        for place, text in wanted.items():
            name, placed_in, extracted, subtask, _ = self._table.row(place)
            planned_in, planned = self._planned(placed_in, name)
            had, is_late = self._state(place, now), planned in now.get(planned_in, {})
            goes = "train" if split is None and had[0] == "train" else target
            gets = (placed_in, extracted) if text is None else (goes, text)
            if gets == had:
                outcome.unchanged += 1
            elif place in keeps or (is_late and text is not None and not replace):
                outcome.taken.append(name)
            else:
                late = None if text is None else LateLabel(text, goes)
                as_placed = gets == (placed_in, extracted)
                outcome.late.setdefault(planned_in, {})[planned] = None if as_placed else late
                outcome.changes.append((name, *gets, *had, subtask))
        return outcome


@dataclass(slots=True)
class _Outcome:
    """What becomes of the labels that are given, while store.json is held."""

    late: dict[str, dict[str, LateLabel | None]] = field(default_factory=dict)
    """Split as planned -> id as planned -> what the store notes of it."""
    changes: list[tuple[str | None, ...]] = field(default_factory=list)
    """Rows of `CHANGES_SCHEMA`."""
    unchanged: int = 0
    taken: list[str] = field(default_factory=list)
