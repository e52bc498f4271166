"""One run of a classifier: the model is checked and loaded, the engine runs, predictions go out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import polars as pl

from savs.datasets.media.video_containers import is_video_name
from savs.pipeline.classifying.classifier_model import ClassifierModel
from savs.pipeline.classifying.kept_heads import KeptHeads
from savs.pipeline.classifying.model_match import as_identity, decoding_of, require_match
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.classifying.prediction_file import open_predictions
from savs.pipeline.classifying.result import Classification
from savs.pipeline.classifying.scoring import ScoredShards, schema_of
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.batches.feed import prompts_of
from savs.pipeline.extraction.batches.worker_process import start_server
from savs.pipeline.extraction.batches.workers import count_workers
from savs.pipeline.extraction.checks.preflight import preflight, sample
from savs.pipeline.extraction.checks.sharing import UNTRIED, images_recur
from savs.pipeline.extraction.engine import Engine, ShardRows
from savs.pipeline.extraction.make_engine import make_engine, run_notes
from savs.pipeline.extraction.model.identity import identity_before_loading
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import find_scale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder, load_encoder
from savs.pipeline.extraction.model.prompts import Pieces
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.selection import Selection
from savs.stores import ShardSpec
from savs.stores.format.layout import Facts, digest

ROWS = 64
"""Examples whose predictions are written together: what a killed run can lose."""
LISTED = ("id", "prediction", "unsure", "atypical", "reason")
"""Columns that are kept in memory of predictions that are in a file."""


@dataclass(frozen=True, slots=True)
class ClassifiedRun:
    """Puts new images to a classifier."""

    selection: Selection
    groups: Sequence[Group]
    loading: ModelOptions
    run: RunOptions
    reporting: Reporting
    allow_other_prompt: bool
    risk: float | None

    def to_file(
        self, out: Path, *, question: str | None, retry_skipped: bool, force: bool
    ) -> Classification:
        """Write predictions into a file; what it has already is not made again."""
        made: Facts = {
            "classifier": digest(self.selection.to_json()),
            "model": str(self.loading.model),
            "dtype": self.loading.dtype,
            "question": question,
            "risk": self.risk,
        }
        schema = schema_of(self.selection)
        with open_predictions(out, schema, made, retry_skipped=retry_skipped, force=force) as file:
            groups = [_todo(group, file.done, out) for group in self.groups]
            new: list[pl.DataFrame] = []

            def take(number: int, rows: pl.DataFrame) -> None:
                file.take(number, rows)
                new.append(rows.select(LISTED))

            rows, seconds, notes = self._fill(groups, take, out)
            file.finish()
        listed = pl.concat([file.done.select(LISTED), *new])
        return Classification(listed, out, rows, seconds, notes)

    def in_memory(self) -> Classification:
        """Return predictions, and write nothing."""
        found: dict[int, pl.DataFrame] = {}
        rows, seconds, notes = self._fill(self.groups, found.__setitem__, None)
        predictions = pl.concat([found[number] for number in sorted(found)])
        return Classification(predictions, None, rows, seconds, notes)

    def _fill(
        self,
        groups: Sequence[Group],
        take: Callable[[int, pl.DataFrame], None],
        out: Path | None,
    ) -> tuple[int, float, tuple[str, ...]]:
        """Predict all examples; return how many, the seconds they took, and notes."""
        say = self.reporting.say
        total = sum(len(group.examples) for group in groups)
        if not total:
            say("0 examples to do: the model is not loaded")
            return 0, 0.0, ()
        encoder = load_encoder(self.loading)
        loading = replace(self.loading, revision=encoder.revision or self.loading.revision)
        self._match_before_loading(loading, encoder)
        largest = max(groups, key=lambda group: len(group.examples))
        tried = sample(encoder, largest.examples, largest.media)
        workers = count_workers(self.run, loading.device, tried.seconds * total)
        if workers:
            start_server()
        if any(task.calibration is None for task in self.selection.tasks):
            say("the classifier is not calibrated: probability is only the share of the scores")
        say(f"loading {loading.model}")
        held = ClassifierModel(self.selection, loading, encoder, say)
        model = held.load(tried.prompts)
        notes = [*self._match(model), *_video_notes(groups, decoding_of(self.selection))]
        for note in notes:
            say(f"note: {note}")
        with KeptHeads(
            *(model.grid, self.selection.heads, model.dtype),
            folder=None if out is None else out.absolute().parent,
        ) as kept:
            engine, batch_tokens = self._engine(
                held.chosen(model), loading, tried.prompts, groups, workers, kept, take
            )
            seconds = self._run(engine, groups, total, out)
        for line in run_notes(engine.cuts, engine.unshared, batch_tokens):
            say(line)
        return total, seconds, tuple(notes)

    def _engine(
        self,
        model: LoadedModel,
        loading: ModelOptions,
        prompts: Sequence[Pieces],
        groups: Sequence[Group],
        workers: int,
        kept: KeptHeads,
        take: Callable[[int, pl.DataFrame], None],
    ) -> tuple[Engine, int]:
        """Return the engine and the tokens of its batches, after a few prompts were tried."""
        scale = find_scale(model.encoder, prompts)
        asked = prompts_of(chain.from_iterable(group.examples for group in groups))
        batching = preflight(model, prompts, scale, self.run, shared=images_recur(asked))
        for line in batching.notes():
            self.reporting.say(line)
        engine = make_engine(
            model,
            batching.limits,
            scale if batching.raw_pixels else None,
            self.run,
            workers=workers,
            rules=groups[0].media.rules,
            answers={},
            loading=loading,
            sharing=batching.sharing or UNTRIED,
            asked=asked,
            files=ScoredShards(*(self.selection, model.grid, model.dtype, kept, take, self.risk)),
        )
        return engine, batching.batch_tokens

    def _run(self, engine: Engine, groups: Sequence[Group], total: int, out: Path | None) -> float:
        started = time.monotonic()
        try:
            with self.reporting.progress(total) as engine.on_rows:
                engine.run(_shards(groups))
        except KeyboardInterrupt:
            if out is not None:
                interruption.explain(
                    self.reporting.say,
                    f"what was predicted is kept; run the same command again to go on with {out}",
                )
            raise
        return time.monotonic() - started

    def _match_before_loading(self, loading: ModelOptions, encoder: PromptEncoder) -> None:
        """Refuse what can be refused without the model's weights."""
        recorded = as_identity(self.selection.source, {})
        decoding = decoding_of(self.selection)
        running = identity_before_loading(recorded, loading, encoder, {}, {}, decoding)
        require_match(self.selection, running.source(), allow_other_prompt=self.allow_other_prompt)

    def _match(self, model: LoadedModel) -> list[str]:
        running = model.identity({}, media=decoding_of(self.selection))
        return require_match(
            self.selection, running.source(), allow_other_prompt=self.allow_other_prompt
        )


def _shards(groups: Sequence[Group]) -> list[ShardRows]:
    """Return the examples of each group, `ROWS` at a time."""
    parts = [
        (group.examples[start : start + ROWS], group.media)
        for group in groups
        for start in range(0, len(group.examples), ROWS)
    ]
    return [
        ShardRows(ShardSpec("test", number, 0, len(part), ""), part, media)
        for number, (part, media) in enumerate(parts)
    ]


def _todo(group: Group, done: pl.DataFrame, out: Path) -> Group:
    """Return the examples of a group that a file does not have yet.

    Raises
    ------
    OutputError
        The file has an example of this id with other media.
    """
    subtasks = done["subtask"] if "subtask" in done.columns else [None] * done.height
    media = {
        (identifier, subtask): tuple(names)
        for identifier, subtask, names in zip(done["id"], subtasks, done["media"], strict=True)
    }
    kept = []
    for example in group.examples:
        found = media.get((example.id, example.subtask))
        if found is None:
            kept.append(example)
        elif found != example.media:
            raise OutputError(
                f"{out} has id {example.id!r} with {', '.join(found)}, and now it is of"
                f" {', '.join(example.media)}; pass another --out, or --force to replace it"
            )
    return Group(kept, group.media)


def _video_notes(groups: Sequence[Group], decoding: Mapping[str, int]) -> list[str]:
    if "video_frames" in decoding:
        return []
    names = (name for group in groups for example in group.examples for name in example.media)
    found = next(filter(is_video_name, names), None)
    return [f"the training examples had no videos, and {found} is one"] if found else []
