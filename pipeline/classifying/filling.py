"""New images into their store: the model of a classifier reads the chosen heads, and no others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from savs.datasets import Example
from savs.datasets.label_kinds import MANY
from savs.datasets.splits.shared_media import picture_names
from savs.pipeline.classifying.classified_store import StoreExamples
from savs.pipeline.classifying.model_match import decoding_of, require_match
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.chosen_heads import ChosenHeads
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model_run import ModelRun, Outcome, RunExamples
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.sinks import Identities, StoreSink
from savs.pipeline.inputs.source import find_video
from savs.pipeline.running.launchers import Rank
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores import Identity, StoreMismatchError
from savs.stores.format.manifest import read_manifest
from savs.stores.format.plan import default_shard_rows
from savs.stores.write.opening import Reservation

FEWEST = 64
"""Images of a shard, at least: a killed run loses one at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """Reads new images by the model of a classifier."""

    selection: SelectionConfig
    loading: ModelOptions
    run: RunOptions
    reporting: Reporting
    question: str | None
    """The prompt of all images, if the user gave one: a part of the store's identity."""
    allow_other_prompt: bool
    rank: Rank
    """Which of several processes this is."""
    resumes: str = ""
    """What the same command goes on with after an interruption; nothing if nothing is kept."""

    def fill(
        self,
        place: Reservation,
        wanted: StoreExamples,
        *,
        is_known: bool,
        on_begun: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Write what the store of new images lacks, with the other processes that work on it.

        Parameters
        ----------
        place
            Its folder.
        wanted
            Its examples.
        is_known
            Whether the store is known to be of this classifier and model, so that the processor
            need not be loaded where nothing is to be done.
        on_begun
            Called when the store is there.

        Raises
        ------
        SelectionError
            The model that runs is not that of the classifier.
        StoreMismatchError
            The store belongs to another model, other heads or another question.
        OutputError
            Another process has added other images meanwhile.
        """
        say = self.reporting.say
        run = self.run
        if place.manifest is None and run.shard_rows is None:
            # Batches end with their shard: smaller shards would make small batches of few images.
            run = replace(run, shard_rows=max(FEWEST, default_shard_rows(len(wanted.examples))))
        sink = NewMediaSink(
            {self.selection.source.site: place},
            {"train": [], "test": wanted.examples},
            wanted.media_of,
            run,
            say=say,
            rank=self.rank,
            can_redo=wanted.can_redo,
        )
        sink.on_begun = on_begun
        sink.resumes = self.resumes
        stored = sink.recorded
        if is_known and stored and not sink.rows_left(stored) and sink.is_complete(stored):
            return Outcome()
        reader = ModelRun(self.loading, self.run, self.reporting, rank=self.rank)
        many = self.selection.labels == MANY
        if (number := self.selection.tasks[0].number) is not None:
            if number.reach is None:
                say("the classifier is not calibrated: numbers have no intervals")
        elif any((t.label_rule if many else t.calibration) is None for t in self.selection.tasks):
            say("the classifier is not calibrated: probability is only the share of the scores")
        decoding = decoding_of(self.selection)
        tried = wanted.todo or [e for e in wanted.examples if e.id in wanted.folders]
        notes = [] if "video" in decoding else _video_notes(tried, wanted)
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
            decoding=decoding,
            todo={"test": tried},
        )
        heads = ChosenHeads(self.selection, self._check, of_classifier=True)
        outcome = reader.read(examples, sink, heads)
        return replace(outcome, notes=(*outcome.notes, *notes))

    def _check(self, identity: Identity) -> Sequence[str]:
        return require_match(
            self.selection, identity.source(), allow_other_prompt=self.allow_other_prompt
        )


class NewMediaSink(StoreSink):
    """The store of new images."""

    on_begun: Callable[[], None]
    """Called when the store is there."""
    resumes: str
    """What the same command goes on with."""

    def is_complete(self, identities: Identities) -> bool:
        """Seal a store that lacks no shard, unless skipped examples are to be tried again."""
        is_complete = super().is_complete(identities)
        self.on_begun()
        return is_complete

    def begin(self, identities: Identities, answers: Answers) -> int:
        """Make the store, or extend the one that is there.

        Raises
        ------
        StoreMismatchError
            The store belongs to another model, other heads or another question.
        OutputError
            Another process has added other images meanwhile.
        StoreWriteError
            The disk is too small.
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


def _video_notes(examples: Sequence[Example], wanted: StoreExamples) -> list[str]:
    """Return a note if a classifier of images gets a video."""
    folders = {id(media): media for media in wanted.folders.values()}
    for key, media in folders.items():
        of_folder = [example for example in examples if id(wanted.media_of(example)) == key]
        video = find_video(picture_names(of_folder), media)
        if video is not None:
            return [f"the training examples had no videos, and {video} is one"]
    return []
