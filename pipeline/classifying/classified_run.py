"""One run of a classifier: new images into their store, and predictions out of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from savs.datasets import MediaFolder
from savs.pipeline.classifying.classified_store import (
    RECORD,
    TableRecord,
    read_record,
    remove_store,
    store_beside,
    store_examples,
)
from savs.pipeline.classifying.filling import Filling
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.classifying.prediction_table import (
    OutputForm,
    Predicted,
    predictions_of,
    write_predictions,
)
from savs.pipeline.classifying.sorted_files import SortedFiles, SortedFolder
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.model_run import Outcome
from savs.pipeline.running.result_files import CONFIG, file_sha256, results_folder
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_file import save_selection
from savs.stores import StoreMismatchError, reserve, store_of
from savs.stores.format.layout import Facts, digest
from savs.stores.format.manifest import read_manifest
from savs.stores.write.opening import Reservation

LISTED = ("id", "subtask", "prediction", "labels", "value", "unsure", "atypical", "reason")
"""Columns that are kept in memory of predictions that are in a file."""
TABLE = "table"
"""What a process claims while it writes the table of a store."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a run made."""

    predictions: pl.DataFrame
    """Columns `CLASSIFIED_SCHEMA`; of an output file only those that are in `LISTED`."""
    outcome: Outcome
    sorted_files: SortedFiles | None = None
    """The copies in the folders of classes, if there is a `sort_into`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedRun:
    """Puts new images to a classifier."""

    selection: Selection
    groups: Sequence[Group]
    filling: Filling
    risk: float | None
    """Risk of prediction sets; None for no sets."""
    form: OutputForm
    """What the output file is."""
    sort_into: Path | None
    """The folder of the classes' folders; None for no copies."""

    def run(self, out: Path | None, *, force: bool) -> Filled:
        """Return predictions; with `out`, its table has all columns; sort the files."""
        folder = None
        if self.sort_into is not None:
            folder = SortedFolder(self.sort_into, self.selection, self.groups, self._facts)
            folder.begin()
        predictions, outcome = self.in_memory() if out is None else self.to_file(out, force=force)
        return Filled(predictions, outcome, folder and folder.fill(predictions))

    def in_memory(self) -> tuple[pl.DataFrame, Outcome]:
        """Return predictions, and keep nothing."""
        with TemporaryDirectory(prefix="savs-") as folder, reserve(Path(folder, "store")) as place:
            wanted = store_examples(place.path, None, self.groups, self.selection)
            filled = self.filling.fill(place, wanted, is_known=False)
            store = store_of(place.path, read_manifest(place.path))
            return predictions_of(store, self.selection, self.risk).collect(), filled

    def to_file(self, out: Path, *, force: bool) -> tuple[pl.DataFrame, Outcome]:
        """Write predictions into a file; return the columns `LISTED` of all its rows.

        Those of earlier runs are in it, too: it is made of the store, whose features stay. Other
        processes may do the same.
        """
        self.form.require_name(out)
        path = store_beside(out)
        if force:
            remove_store(path)
        begun = None if force else read_record(out)
        record = begun or TableRecord(self._facts, tables=_digests_of(out))
        record.require_same(out, self._facts)
        record.require_unchanged(out)

        with _named_by(out), reserve(path) as place:

            def on_begun() -> None:
                with place.claims.hold(TABLE):  # a late process may find a record, even a table
                    if (path / RECORD).exists():
                        (read_record(out) or record).require_same(out, self._facts)
                    else:
                        record.write(path)
                folder = results_folder(path, self.selection.readout)
                # a saved selection has one readout; several classifiers may have several
                readouts = {type(task.fitted) for task in self.selection.tasks}
                if len(readouts) == 1 and not (folder / CONFIG).exists():
                    save_selection(self.selection, folder)

            store = None if place.manifest is None else store_of(path, place.manifest)
            wanted = store_examples(out, store, self.groups, self.selection)
            filled = self.filling.fill(place, wanted, is_known=begun is not None, on_begun=on_begun)
            return self._write(place, out), filled

    @property
    def _facts(self) -> Facts:
        """The origin of predictions, so that a table has those of one classifier alone."""
        return {
            "classifier": digest(self.selection.to_json()),
            "model": str(self.filling.loading.model),
            "dtype": self.filling.loading.dtype,
            "question": self.filling.question,
            "risk": self.risk,
        }

    @property
    def _folders(self) -> Mapping[str, MediaFolder]:
        """The folder of each image's media, by its id."""
        return {example.id: group.media for group in self.groups for example in group.examples}

    def _write(self, place: Reservation, out: Path) -> pl.DataFrame:
        """Write the table of a store, unless another process did.

        One process writes at a time, and looks at the store when it is its turn. So the last table
        is of all shards that are there, whoever made them, and no table replaces a longer one.
        """
        with place.claims.hold(TABLE):
            manifest = read_manifest(place.path)
            store = store_of(place.path, manifest, partial=True)
            table = predictions_of(store, self.selection, self.risk)
            predicted = Predicted(table, self.selection, store, self._folders)
            record = read_record(out) or TableRecord(self._facts)
            record.require_same(out, self._facts)
            record.require_unchanged(out)
            shards = [[shard.name, shard.sha256] for shard in manifest.shards]
            source = {"shards": shards, "form": self.form.settings}
            content = digest(source) if manifest.sealed else ""
            if not (content and content == record.content and out.exists()):

                def before_naming(partial: Path) -> None:  # killed now, it has one or the other
                    both = (*record.tables[-1:], file_sha256(partial))
                    replace(record, content="", tables=both).write(place.path)

                write_predictions(self.form, predicted, out, before_naming)
                replace(record, content=content, tables=_digests_of(out)).write(place.path)
        return table.select(c for c in LISTED if c in table.collect_schema()).collect()


def _digests_of(out: Path) -> tuple[str, ...]:
    return (file_sha256(out),) if out.exists() else ()


@contextmanager
def _named_by(out: Path) -> Iterator[None]:
    """Report which output a store with other features belongs to."""
    try:
        yield
    except StoreMismatchError as error:
        raise OutputError(f"{out}: {error}, or pass `force` to begin again") from error
