"""One run of a classifier: the model is checked and loaded, the engine runs, predictions go out."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.classifying.classification import Classification
from savs.pipeline.classifying.classifier_model import ClassifierModel
from savs.pipeline.classifying.example_parts import (
    by_folder,
    in_parts,
    numbered,
    still_to_do,
)
from savs.pipeline.classifying.kept_heads import KeptHeads
from savs.pipeline.classifying.model_match import as_identity, decoding_of, require_match
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.classifying.prediction_file import open_predictions
from savs.pipeline.classifying.scoring import ScoredShards, schema_of
from savs.pipeline.classifying.shared_predictions import SharedPredictions, share_predictions
from savs.pipeline.extraction.batches.feed import prompts_of
from savs.pipeline.extraction.batches.worker_process import start_server
from savs.pipeline.extraction.batches.workers import count_workers
from savs.pipeline.extraction.checks.preflight import preflight, sample
from savs.pipeline.extraction.checks.sharing import UNTRIED, images_recur
from savs.pipeline.extraction.engine import Engine, ShardRows
from savs.pipeline.extraction.make_engine import make_engine, run_notes
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.pipeline.extraction.model.identity import identity_before_loading
from savs.pipeline.extraction.model.load_encoder import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.pixel_scale import find_scale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.video_media import find_video
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.launchers import ALONE, Rank
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.selection import Selection
from savs.stores.format.layout import Facts, digest

LISTED = ("id", "prediction", "unsure", "atypical", "reason")
"""Columns that are kept in memory of predictions that are in a file."""
Take = Callable[[int, pl.DataFrame], None]
"""Is given the number and the predictions of each shard."""


@dataclass(frozen=True, slots=True)
class ClassifiedRun:
    """Puts new images to a classifier."""

    selection: Selection
    groups: Sequence[Group]
    loading: ModelOptions
    run: RunOptions
    reporting: Reporting
    allow_other_prompt: bool
    risk: float | None = None
    """Of prediction sets; None for none."""
    rank: Rank = ALONE
    """Which of several processes this is."""

    def to_file(
        self, out: Path, *, question: str | None, retry_skipped: bool, force: bool
    ) -> Classification:
        """Write predictions into a file; what it has already is not made again."""
        made, schema = self._made(question), schema_of(self.selection)
        with open_predictions(out, schema, made, retry_skipped=retry_skipped, force=force) as file:
            shards = still_to_do(in_parts(self.groups), file.done, out)
            new: list[pl.DataFrame] = []

            def take(number: int, rows: pl.DataFrame) -> None:
                file.take(number, rows)
                new.append(rows.select(LISTED))

            rows, seconds, notes = self._fill(numbered(shards), take, out)
            file.finish()
        listed = pl.concat([file.done.select(LISTED), *new])
        return Classification(listed, out, rows, seconds, notes)

    def to_shared_file(
        self, out: Path, *, question: str | None, retry_skipped: bool
    ) -> Classification:
        """Write predictions into a file together with other processes, see `SharedPredictions`."""
        made, schema = self._made(question), schema_of(self.selection)
        named = [
            [example.id, example.subtask, example.prompt, list(example.media)]
            for group in self.groups
            for example in group.examples
        ]
        with share_predictions(out, schema, made, named, retry_skipped=retry_skipped) as shared:
            shards = still_to_do(in_parts(self.groups), shared.done, out)
            _, seconds, notes = self._fill(shards, shared.take, out, shared)
            listed = shared.finish(LISTED)
        return Classification(listed, out, shared.rows, seconds, notes)

    def _made(self, question: str | None) -> Facts:
        """Return of what predictions are, so that a file has those of one classifier alone."""
        return {
            "classifier": digest(self.selection.to_json()),
            "model": str(self.loading.model),
            "dtype": self.loading.dtype,
            "question": question,
            "risk": self.risk,
        }

    def in_memory(self) -> Classification:
        """Return predictions, and write nothing."""
        found: dict[int, pl.DataFrame] = {}
        rows, seconds, notes = self._fill(in_parts(self.groups), found.__setitem__, None)
        predictions = pl.concat([found[number] for number in sorted(found)])
        return Classification(predictions, None, rows, seconds, notes)

    def _fill(
        self,
        shards: Sequence[ShardRows],
        take: Take,
        out: Path | None,
        shared: SharedPredictions | None = None,
    ) -> tuple[int, float, tuple[str, ...]]:
        """Predict all examples, or this process's share; return how many, seconds, and notes."""
        say = self.reporting.say
        total = sum(shard.spec.rows for shard in shards)
        if not total:
            say("0 examples to do: the model is not loaded")
            return 0, 0.0, ()
        encoder = load_encoder(self.loading)
        loading = replace(self.loading, revision=encoder.revision or self.loading.revision)
        self._match_before_loading(loading, encoder)
        tried = sample(encoder, *max(by_folder(shards), key=lambda group: len(group[0])))
        workers = count_workers(self.run, loading.device, tried.seconds * total, self.rank)
        if workers:
            start_server()
        if any(task.calibration is None for task in self.selection.tasks):
            say("the classifier is not calibrated: probability is only the share of the scores")
        held = ClassifierModel(self.selection, loading, encoder, self.rank, say)
        model = held.load(tried.prompts)
        notes = [*self._match(model), *_video_notes(shards, decoding_of(self.selection))]
        for note in notes:
            say(f"note: {note}")
        with KeptHeads(
            *(model.grid, self.selection.heads, model.dtype),
            folder=None if out is None else out.absolute().parent,
        ) as kept:
            make, batch_tokens = self._maker(
                held.chosen(model), loading, tried.prompts, shards, workers, kept, take
            )
            started = time.monotonic()
            cuts, unshared = self._run(make, shards, out, shared)
        for line in run_notes(cuts, unshared, batch_tokens):
            say(line)
        return total, time.monotonic() - started, tuple(notes)

    def _maker(
        self,
        model: LoadedModel,
        loading: ModelOptions,
        prompts: Sequence[Pieces],
        shards: Sequence[ShardRows],
        workers: int,
        kept: KeptHeads,
        take: Take,
    ) -> tuple[Callable[[], Engine], int]:
        """Return what makes an engine, and the tokens of its batches, after prompts were tried."""
        scale = find_scale(model.encoder, prompts)
        shown = chain.from_iterable(shard.examples for shard in shards)
        asked = prompts_of(shown, model.encoder)
        batching = preflight(model, prompts, scale, self.run, shared=images_recur(asked))
        for line in batching.notes():
            self.reporting.say(line)
        make = partial(
            make_engine,
            model,
            batching.limits,
            scale if batching.raw_pixels else None,
            self.run,
            workers=workers,
            rules=shards[0].media.rules,
            answers=NO_ANSWERS,
            loading=loading,
            sharing=batching.sharing or UNTRIED,
            asked=asked,
            files=ScoredShards(*(self.selection, model.grid, model.dtype, kept, take, self.risk)),
        )
        return make, batching.batch_tokens

    def _run(
        self,
        make: Callable[[], Engine],
        shards: Sequence[ShardRows],
        out: Path | None,
        shared: SharedPredictions | None,
    ) -> tuple[int, str]:
        """Run all shards; return how often memory was short, and why less was shared."""
        cuts, unshared = 0, ""
        try:
            with self.reporting.progress(sum(shard.spec.rows for shard in shards)) as show:
                for part in self._passes(shards, shared, show):
                    engine = make()
                    engine.on_rows = show
                    engine.run(part)
                    cuts, unshared = cuts + engine.cuts, unshared or engine.unshared
        except KeyboardInterrupt:
            if out is not None:
                interruption.explain(
                    self.reporting.say,
                    f"what was predicted is kept; run the same command again to go on with {out}",
                )
            raise
        return cuts, unshared

    def _passes(
        self,
        shards: Sequence[ShardRows],
        shared: SharedPredictions | None,
        show: Callable[[int], None],
    ) -> Iterator[Iterable[ShardRows]]:
        """Yield all shards at once, or those that this process claims until all are done."""
        if shared is None:
            yield shards
            return
        by_spec = {shard.spec: shard for shard in shards}
        parts = shared.open([*by_spec], self.rank.rank / self.rank.ranks)
        told = 0
        while parts.wait():
            yield (by_spec[spec] for spec in parts.claimed())
            others, told = parts.others_rows - told, parts.others_rows
            show(others)

    def _match_before_loading(self, loading: ModelOptions, encoder: PromptEncoder) -> None:
        """Refuse what can be refused without the model's weights."""
        recorded = as_identity(self.selection.source, {})
        decoding = decoding_of(self.selection)
        running = identity_before_loading(recorded, loading, encoder, {}, NO_ANSWERS, decoding)
        require_match(self.selection, running.source(), allow_other_prompt=self.allow_other_prompt)

    def _match(self, model: LoadedModel) -> list[str]:
        running = model.identity({}, media=decoding_of(self.selection))
        return require_match(
            self.selection, running.source(), allow_other_prompt=self.allow_other_prompt
        )


def _video_notes(shards: Sequence[ShardRows], decoding: Mapping[str, Any]) -> list[str]:
    if "video" in decoding:
        return []
    for examples, media in by_folder(shards):
        found = find_video((name for example in examples for name in example.media), media)
        if found is not None:
            return [f"the training examples had no videos, and {found} is one"]
    return []
