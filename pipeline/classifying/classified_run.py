"""One run of a classifier: new images into their store, and predictions out of it.

The model of the classifier reads the chosen heads, and no others.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from savs.datasets import Example, MediaError
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind
from savs.datasets.splits.shared_media import names_read_as
from savs.foundation.files import file_sha256
from savs.pipeline.classifying.classified import Classification
from savs.pipeline.classifying.classified_store import (
    RECORD,
    StoreExamples,
    TableRecord,
    digests_in,
    read_record,
    remove_store,
    store_beside,
    store_examples,
)
from savs.pipeline.classifying.feature_cache import features_key, pinned
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.classifying.prediction_table import (
    Output,
    Predicted,
    predictions_of,
    write_predictions,
)
from savs.pipeline.classifying.reused_features import Prompt, ReusedFeatures, find_features
from savs.pipeline.classifying.sorted_files import SortedFolder
from savs.pipeline.errors import OutputError
from savs.pipeline.evaluation.results import Results
from savs.pipeline.extraction.chosen_heads import ChosenHeads
from savs.pipeline.extraction.line.sinks import Identities, StoreSink
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.sites import parse_site
from savs.pipeline.extraction.model_run import ModelRun, Outcome, RunExamples
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import find_others
from savs.pipeline.running.formatting import counted, listed
from savs.pipeline.running.launchers import Rank
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.compatibility import require_match
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_file import save_selection
from savs.stores import Identity, StoreMismatchError, reserve, store_of
from savs.stores.format.layout import Facts, digest
from savs.stores.format.manifest import read_manifest
from savs.stores.format.plan import default_shard_rows
from savs.stores.write.opening import Reservation

LISTED = ("id", "subtask", "prediction", "labels", "value", "unsure", "atypical", "reason")
"""Columns that are kept in memory of predictions that are in a file."""
FEWEST = 64
"""Images of a shard, at least: a killed run loses one at most."""
TABLE = "table"
"""What a process claims while it writes the table of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedRun:
    """Puts new images to a classifier."""

    selection: Selection
    groups: Sequence[Group]
    decoding: Facts
    """How their media are decoded."""
    loading: ModelOptions
    options: RunOptions
    reporting: Reporting
    question: str | None
    """The prompt of all images, if the user gave one: a part of the store's identity."""
    allow_other_prompt: bool
    rank: Rank
    """Which of several processes this is."""
    risk: float | None
    """Risk of prediction sets; None for no sets."""
    outputs: Sequence[Output]
    """Files, each with its form; none to keep nothing."""
    sort_into: Path | None
    """The folder of the classes' folders; None for no copies."""

    def run(self, *, force: bool) -> Classification:
        """Return predictions, and notes of the runs; write the outputs, sort the files.

        The model runs for the first output, whose features the others take.
        """
        folder = None
        if self.sort_into is not None:
            folder = SortedFolder(self.sort_into, self.selection, self.groups, self._facts)
            folder.begin()
        for output in self.outputs:  # all are checked before the model runs
            self._earlier(output.path, force=force)
        tried: list[Path] = []
        done: list[tuple[pl.DataFrame, Outcome]] = []
        for output in self.outputs:
            done.append(self.to_file(output, tried, force=force))
            tried.append(store_beside(output.path))
        tables, outcomes = zip(*(done or [self.in_memory()]), strict=True)
        heights = [table.height for table in tables]
        return Classification(
            predictions=tables[0],
            outs={o.path: n for o, n in zip(self.outputs, heights, strict=False)},
            rows=sum(outcome.rows for outcome in outcomes),
            seconds=sum(outcome.seconds for outcome in outcomes),
            notes=tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
            target=self.selection.target,
            sorted_files=folder.fill(tables[0]) if folder else None,
        )

    def in_memory(self) -> tuple[pl.DataFrame, Outcome]:
        """Return predictions, and keep nothing."""
        with TemporaryDirectory(prefix="savs-") as folder, reserve(Path(folder, "store")) as place:
            wanted = store_examples(place.path, None, self.groups, self.selection)
            place, wanted, is_reused = self._reuse(place, wanted)
            filled = self._fill(place, wanted, is_known=is_reused)
            store = store_of(place.path, read_manifest(place.path))
            return predictions_of(store, self.selection, self.risk).collect(), filled

    def _earlier(self, out: Path, *, force: bool) -> TableRecord | None:
        """Return the record of an output's earlier runs; OutputError if it is not ours to write."""
        begun = None if force else read_record(out)
        if begun is not None:
            begun.require_ours(out, self._facts)
        return begun

    def to_file(
        self, output: Output, tried: Sequence[Path], *, force: bool
    ) -> tuple[pl.DataFrame, Outcome]:
        """Write predictions into a file; return the columns `LISTED` of all its rows.

        Those of earlier runs are in it, too: it is made of the store, whose features stay. `tried`
        are the stores that this run has filled. Other processes may do the same.
        """
        out = output.path
        path = store_beside(out)
        if force:
            remove_store(path)
        begun = self._earlier(out, force=force)
        record = begun or TableRecord(self._facts, tables=_digests_of(out))

        with _named_by(out), reserve(path) as place:

            def on_begun() -> None:
                key = self._features_key()
                with place.claims.hold(TABLE):  # a late process may find a record, even a table
                    if (path / RECORD).exists():
                        known = read_record(out) or record
                        known.require_ours(out, self._facts)
                        if known.features not in ("", key):
                            replace(known, features="").write(path)
                    else:
                        replace(record, features=key).write(path)
                result = Results(path).place(self.selection.readout)
                # a saved selection has one readout; several classifiers may have several
                readouts = {type(task.fitted) for task in self.selection.tasks}
                if len(readouts) == 1 and not result.is_selected:
                    save_selection(self.selection, result.folder)

            store = None if place.manifest is None else store_of(path, place.manifest)
            wanted = store_examples(out, store, self.groups, self.selection)
            place, wanted, is_reused = self._reuse(place, wanted, tried, on_begun)
            is_known = begun is not None or is_reused
            filled = self._fill(place, wanted, out, is_known=is_known, on_begun=on_begun)
            return self._write(place, output), filled

    def _reuse(
        self,
        place: Reservation,
        wanted: StoreExamples,
        tried: Sequence[Path] = (),
        on_begun: Callable[[], None] = lambda: None,
    ) -> tuple[Reservation, StoreExamples, bool]:
        """Copy features that the stores of other outputs have; return what is left, and if any.

        Examples with such features come before those without, in the order of the store.
        """
        retries = self.options.retry_skipped
        found = self._other_features(place, tried) if wanted.todo or retries else None
        if found is None:
            return place, wanted, False
        prompts = self._prompts(wanted)
        if not retries and not any(prompts(example) in found.rows for example in wanted.todo):
            return place, wanted, False
        there = 0 if place.manifest is None else len(place.manifest.plan.splits["test"].ids)
        begun, new = wanted.examples[:there], wanted.examples[there:]
        known, unknown = list[Example](), list[Example]()
        for example in new:
            (unknown if found.row_of(prompts(example)) is None else known).append(example)
        examples = [
            example if example.index == n else replace(example, index=n)
            for n, example in enumerate([*begun, *known, *unknown])
        ]
        copied = found.copy_into(
            place,
            examples[: there + len(known)],
            self._shard_rows(place, len(known)),
            prompts,
            on_begun=on_begun,
            can_redo=wanted.can_redo if retries else None,
        )
        if copied.rows:
            self.reporting.say(
                f"{copied.rows:,} of {counted(len(examples), 'example')} have features in"
                f" {listed(copied.stores)}: the model does not run them again"
            )
        todo = {example.id for example in wanted.todo} - copied.ids
        left = [example for example in examples if example.id in todo]
        place = replace(place, manifest=read_manifest(place.path))
        return place, StoreExamples(examples, left, wanted.folders), True

    def _other_features(self, place: Reservation, tried: Sequence[Path]) -> ReusedFeatures | None:
        """Return what the stores next to the outputs have, or those in the working folder."""
        key = self._features_key()
        if not key:
            return None
        files = [*(output.path for output in self.outputs), self.sort_into]
        folders = {file.absolute().parent for file in files if file is not None} or {Path.cwd()}
        counted_skips = tried if self.options.retry_skipped else None
        return find_features(folders, key, place.path, counted_skips)

    def _prompts(self, wanted: StoreExamples) -> Callable[[Example], Prompt | str]:
        """Return what gives an example's prompt, or why its media cannot be read."""
        known = digests_in((example, wanted.media_of(example)) for example in wanted.todo)

        def prompt_of(example: Example) -> Prompt | str:
            folder = wanted.media_of(example)
            digests = []
            for name in example.media:
                if (id(folder), name) not in known:  # it cannot be read, or an earlier run had it
                    try:
                        known[id(folder), name] = folder.digest(name)
                    except MediaError as error:
                        return str(error)
                digests.append(known[id(folder), name])
            return tuple(digests), example.prompt, example.subtask

        return prompt_of

    def _features_key(self) -> str:
        """Return a digest of all that the features of an image depend on, in addition to it.

        Empty where that is not known: code or an adapter of others may have changed.
        """
        options = pinned(self.loading)
        is_known = options.adapter is None or Path(options.adapter).is_dir()
        if options.model_code or options.model_kwargs or not is_known:
            return ""
        sites = [parse_site(self.selection.source.site)]
        facts = {
            "features": features_key(options, "", self.decoding, sites),
            "classifier": digest(self.selection.to_json()),
            "question": self.question,
            "most_pixels": sorted({group.media.rules.max_pixels for group in self.groups}),
        }
        return digest(facts)

    def _shard_rows(self, place: Reservation, rows: int) -> int | None:
        """Return the rows of a shard; None for those that the store has."""
        if place.manifest is not None or self.options.shard_rows is not None:
            return self.options.shard_rows
        # Batches end with their shard: smaller shards would make small batches of few images.
        return max(FEWEST, default_shard_rows(rows))

    def _fill(
        self,
        place: Reservation,
        wanted: StoreExamples,
        out: Path | None = None,
        *,
        is_known: bool = False,
        on_begun: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Write what the store of new images lacks, with the other processes that work on it.

        Where the store `is_known` to be of this classifier and model, the processor need not be
        loaded if nothing is to be done. `on_begun` is called when the store is there.

        SelectionError if the model that runs is not that of the classifier; for others, see
        `NewMediaSink.begin`.
        """
        say = self.reporting.say
        run = replace(self.options, shard_rows=self._shard_rows(place, len(wanted.examples)))
        site = self.selection.source.site
        sink = NewMediaSink(
            site,
            {site: place},
            {"train": [], "test": wanted.examples},
            wanted.media_of,
            run,
            say=say,
            rank=self.rank,
            can_redo=wanted.can_redo,
        )
        sink.on_begun = on_begun
        sink.resumes = "" if out is None else str(out)
        stored = sink.recorded
        if is_known and stored and not sink.rows_left(stored) and sink.is_complete(stored):
            return Outcome()
        target, tasks = self.selection.target, self.selection.tasks
        answers = self.selection.answers
        options = replace(self.options, answers=answers)
        reader = ModelRun(self.loading, options, self.reporting, rank=self.rank)
        decisions = [task.decision for task in tasks]
        if any(decision is None or not decision.is_fitted for decision in decisions):
            say(f"the classifier is not calibrated: {target.uncalibrated}")
        tried = wanted.todo or [e for e in wanted.examples if e.id in wanted.folders]
        notes = _notes_of_others(tried, wanted, self.decoding)
        for note in notes:
            say(f"note: {note}")
        examples = RunExamples(
            examples={"train": [], "test": wanted.examples},
            media=wanted.media_of,
            rules=next(iter(wanted.folders.values())).rules,
            benchmark={
                "name": "general",
                "options": {} if self.question is None else {"question": self.question},
            },
            decoding=self.decoding,
            todo={"test": tried},
            labels=self.selection.answer_labels,
        )

        def check(identity: Identity) -> Sequence[str]:
            return require_match(
                self.selection, identity.source(), allow_other_prompt=self.allow_other_prompt
            )

        # the model's own answers come from all of its layers
        heads = ChosenHeads(self.selection, check, of_classifier=answers is None)
        outcome = reader.read(examples, sink, heads)
        return replace(outcome, notes=(*outcome.notes, *notes))

    @property
    def _facts(self) -> Facts:
        """The origin of predictions, so that a table has those of one classifier alone."""
        return {
            "classifier": digest(self.selection.to_json()),
            "model": str(self.loading.model),
            "dtype": self.loading.dtype,
            "question": self.question,
            "risk": self.risk,
        }

    def _write(self, place: Reservation, output: Output) -> pl.DataFrame:
        """Write the table of a store, unless another process did.

        One process writes at a time, and looks at the store when it is its turn. So the last table
        is of all shards that are there, whoever made them, and no table replaces a longer one.
        """
        out = output.path
        with place.claims.hold(TABLE):
            manifest = read_manifest(place.path)
            store = store_of(place.path, manifest, partial=True)
            table = predictions_of(store, self.selection, self.risk)
            folders = {
                example.id: group.media for group in self.groups for example in group.examples
            }
            predicted = Predicted(table, self.selection, store, folders)
            record = read_record(out) or TableRecord(self._facts)
            record.require_ours(out, self._facts)
            shards = [[shard.name, shard.sha256] for shard in manifest.shards]
            source = {"shards": shards, "form": output.form.settings}
            content = digest(source) if manifest.sealed else ""
            if not (content and content == record.content and out.exists()):

                def before_naming(partial: Path) -> None:  # killed now, it has one or the other
                    both = (*record.tables[-1:], file_sha256(partial))
                    replace(record, content="", tables=both).write(place.path)

                write_predictions(output, predicted, before_naming)
                replace(record, content=content, tables=_digests_of(out)).write(place.path)
        return table.select(c for c in LISTED if c in table.collect_schema()).collect()


class NewMediaSink(StoreSink):
    """The store of new images."""

    on_begun: Callable[[], None]
    """Called when the store is there."""
    resumes: str
    """What the same command goes on with after an interruption; nothing if nothing is kept."""

    def is_complete(self, identities: Identities) -> bool:
        """Seal a store that lacks no shard, unless skipped examples are to be tried again."""
        is_complete = super().is_complete(identities)
        self.on_begun()
        return is_complete

    def begin(self, identities: Identities, answers: Answers) -> int:
        """Make the store, or extend the one that is there.

        StoreMismatchError if the store belongs to another model, other heads or another question;
        OutputError if another process has added other images meanwhile; StoreWriteError if the disk
        is too small.
        """
        try:
            rows = super().begin(identities, answers)
        except StoreMismatchError as error:
            before, now = self._place.manifest, read_manifest(self._place.path)
            is_same_plan = before is not None and now.plan == before.plan
            (identity,) = identities.values()
            if is_same_plan or now.identity.differences(identity):
                raise
            raise OutputError(
                f"another process has added other images to {self._place.path} meanwhile; run the"
                " same command again"
            ) from error
        self.on_begun()
        return rows

    @property
    def left_behind(self) -> str:
        """How to go on; nothing if nothing is kept."""
        if not self.resumes:
            return ""
        return f"what was read is kept; run the same command again to go on with {self.resumes}"


def _notes_of_others(
    examples: Sequence[Example], wanted: StoreExamples, decoding: Container[str]
) -> list[str]:
    """Return a note of each kind of media, such as videos, that a classifier of images gets."""
    folders = {id(media): media for media in wanted.folders.values()}
    others: dict[MediumKind, str] = {}
    for key, media in folders.items():
        of_folder = [example for example in examples if id(wanted.media_of(example)) == key]
        others = find_others(names_read_as(IMAGE_COLUMN, of_folder), media) | others
    return [
        f"the training examples had no {kind.noun}s, and {name} is one"
        for kind, name in others.items()
        if kind.recorded and next(iter(kind.recorded)) not in decoding
    ]


def _digests_of(out: Path) -> tuple[str, ...]:
    return (file_sha256(out),) if out.exists() else ()


@contextmanager
def _named_by(out: Path) -> Iterator[None]:
    """Report which output a store with other features belongs to."""
    try:
        yield
    except StoreMismatchError as error:
        raise OutputError(f"{out}: {error}, or pass `force` to begin again") from error
