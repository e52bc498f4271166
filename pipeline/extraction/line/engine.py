"""The engine of stage 1: a thread plans, processes prepare, the model runs, a thread writes."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from savs.pipeline.extraction.line.assembly import Assembly, find_faults
from savs.pipeline.extraction.line.feed import PlannedWindow, Planner, ahead
from savs.pipeline.extraction.line.forward import Forward, Started
from savs.pipeline.extraction.line.in_context import Demonstrations
from savs.pipeline.extraction.line.jobs import Done, Job, Refused
from savs.pipeline.extraction.line.prepare import prepare
from savs.pipeline.extraction.line.shared_forward import SharedForward
from savs.pipeline.extraction.line.sinks import Recalled, ShardRows, Sink, StoredPrompt
from savs.pipeline.extraction.line.workers import WorkerSettings, keep_freed_memory, prepared_jobs
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.running import signals as interruption
from savs.stores import ShardSpec
from savs.stores.format.layout import SECONDS

UNWRITTEN = 1
"""Complete shards that may wait for the disk while the next one is computed."""
AHEAD = 2
"""Shards that may be prepared, next to one that is planned, before the model begins them."""
RECALLED = 4
"""Reads of earlier shards that may be on their way before more rows are planned."""


@dataclass
class Engine:
    """Runs the rows of shards through a model and writes the shards, each as soon as it is whole.

    A pass is taken from the device after the next was started, so that the device does not wait.
    """

    model: LoadedModel
    planner: Planner
    workers: WorkerSettings
    answers: Answers
    scale: PixelScale | None
    """Normalises pixels that workers leave as bytes."""
    contexts: Sequence[Demonstrations]
    """The demonstrations of each subtask, if there are any."""
    sink: Sink
    """Where shards are written and read; used in a thread of its own."""
    records: Mapping[str, Mapping[str, Any]]
    """Site -> what each of its shards records about how it was made."""
    on_rows: Callable[[int], None] = lambda rows: None
    """Is told how many rows are done, batch by batch."""
    _owners: dict[int, list[Assembly]] = field(default_factory=dict)
    """Request -> the shards whose rows wait for it."""
    _in_memory: dict[int, Assembly] = field(default_factory=dict)
    """Request -> shard in memory that has its features, until these are on the disk."""
    _on_disk: dict[int, tuple[ShardSpec, int]] = field(default_factory=dict)
    """Request -> shard on the disk, and row in it; also of those that are read back."""
    _reasons: dict[int, str] = field(default_factory=dict)
    """Request -> reason of refusal."""
    _untouched: set[int] = field(default_factory=set)
    """First requests of prepared shards of which the model has run nothing yet."""
    _recalls: deque[tuple[Sequence[int], Future[Recalled]]] = field(default_factory=deque)
    """Requests whose features are read from earlier shards."""
    _started: deque[tuple[Started, Mapping[int, bytes]]] = field(default_factory=deque)
    """Passes that are on the device, with thumbnails of their requests."""
    _writing: deque[Future[object]] = field(default_factory=deque)
    cut_sounds: set[str] = field(default_factory=set)
    """SHA-256 of the sounds that were cut."""
    _since: float = 0.0
    """When the last shard was whole."""

    def __post_init__(self) -> None:
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="savs-writer")
        settings = self.workers.passes
        self.forward = Forward(
            self.model,
            settings,
            self.answers,
            self.scale,
            SharedForward(self.model, self.scale, settings),
            prepare=lambda job: prepare(self.model.encoder, job, settings),
            drain=lambda: self._harvest(leave=0),
            contexts=self.contexts,
        )

    def recall(self, prompts: Iterable[StoredPrompt]) -> None:
        """Take prompts that have features in earlier shards from there, and run none of them."""
        for stored in prompts:
            prompt = self.model.encoder.text_read(stored.prompt, stored.digests)
            key = self.planner.key(stored.digests, prompt, stored.spec.split, stored.subtask)
            request = self.planner.known.setdefault(key, len(self.planner.known))
            self._on_disk[request] = stored.spec, stored.row

    def run(self, shards: Iterable[ShardRows]) -> None:
        """Make and write shards. Whatever ends the run, those that are whole by then are written.

        ModelError if the model, or the processes that prepare for it, cannot run at all. StoreError
        if a shard cannot be written.
        """
        keep_freed_memory()
        self._since = time.monotonic()
        planned = ahead(self._plan(shards))
        jobs = self._taken(planned)
        try:
            for job, done in prepared_jobs(jobs, self.model.encoder, self.workers):
                interruption.raise_if_interrupted()
                self._run_job(job, done)
            self._harvest(leave=0)
            self._take_recalled(leave=0)
            if self._owners:
                raise RuntimeError(f"{len(self._owners)} requests did not come back")
        finally:
            planned.close()
            try:
                self._await_disk(leave=0)
            finally:
                self._disk.shutdown()

    def _plan(self, shards: Iterable[ShardRows]) -> Iterator[PlannedWindow]:
        for shard in shards:
            assembly = Assembly(
                shard.spec,
                shard.examples,
                self.model.hook_points,
                self.model.dtype,
                answers=self.answers,
                thumbnails=self.workers.passes.run.thumbnails,
            )
            yield from self.planner.plan(assembly, shard.media)

    def _taken(self, windows: Iterator[PlannedWindow]) -> Iterator[Job | None]:
        """Take windows over, in the thread of the model, and yield their jobs.

        None says that shards enough are ahead of the model.
        """
        while True:
            while len(self._untouched) >= AHEAD:
                yield None
            if (window := next(windows, None)) is None:
                return
            assembly = window.assembly
            assembly.take(window.skipped, window.digests, is_last=window.is_last)
            rows = len(window.skipped)
            recalled: dict[ShardSpec, dict[int, int]] = {}
            for request, place in window.waiting:
                assembly.wait_for(request, place)
                # A request runs once, whichever shards have its rows. Either it is on its way and
                # gets one more owner; or it ended, refused or with features; or it is new. One that
                # is read back from the disk has owners like one that runs.
                if request in self._owners:
                    if assembly not in self._owners[request]:
                        self._owners[request].append(assembly)
                elif reason := self._reasons.get(request):
                    rows += assembly.refuse(request, reason)
                elif shard := self._in_memory.get(request):
                    rows += assembly.fill({request: 0}, *shard.of(request))
                else:
                    self._owners[request] = [assembly]
                    if request in self._on_disk:
                        spec, row = self._on_disk[request]
                        recalled.setdefault(spec, {})[request] = row
            for spec, places in recalled.items():
                task = self._disk.submit(self.sink.read, spec, list(places.values()))
                self._recalls.append((list(places), task))
            self._take_recalled(leave=RECALLED)
            self.on_rows(rows)
            self._finish(assembly)
            self._untouched.update(j.requests[0].number for j in window.jobs if j.is_first)
            yield from window.jobs

    def _run_job(self, job: Job, done: Done) -> None:
        self._untouched.difference_update(request.number for request in job.requests)
        self.cut_sounds |= done.cut
        self.forward.unshared = self.forward.unshared or done.unshared
        if self.forward.unshared:
            self.planner.shares_images = False
        for part in done.parts:
            for piece in [part] if isinstance(part, Refused) else self.forward.run(part, job):
                if isinstance(piece, Refused):
                    self._refuse(piece)
                else:
                    # The new pass is left on the device: while it runs, this thread takes the
                    # values of the one before, and gives shards that are whole to the disk.
                    self._started.append((piece, done.thumbnails))
                    self._harvest(leave=1)

    def _harvest(self, *, leave: int) -> None:
        """Take passes from the device until only some are left there."""
        while len(self._started) > leave:
            (requests, launched), thumbnails = self._started.popleft()
            read = launched.result()
            faults = find_faults(read, self.model.hook_points, self.model.dtype)
            for column, reason in faults.items():
                self._refuse(Refused(requests[column], reason))
            columns = {r: column for column, r in enumerate(requests) if column not in faults}
            self._fill(columns, read, thumbnails)

    def _take_recalled(self, *, leave: int) -> None:
        """Take features that were read from earlier shards, until only some are left."""
        while len(self._recalls) > leave or (self._recalls and self._recalls[0][1].done()):
            requests, task = self._recalls.popleft()
            stored = task.result()
            thumbnails = zip(requests, stored.thumbnails, strict=True)
            columns = {r: column for column, r in enumerate(requests)}
            self._fill(columns, stored.read, {r: small for r, small in thumbnails if small})

    def _fill(
        self, columns: Mapping[int, int], read: Read, thumbnails: Mapping[int, bytes]
    ) -> None:
        """Give the features of requests to all shards whose rows wait for them."""
        waiting: dict[Assembly, dict[int, int]] = {}
        for request, column in columns.items():
            owners = self._owners.pop(request)
            if request not in self._on_disk:
                self._in_memory[request] = owners[0]
            for assembly in owners:
                waiting.setdefault(assembly, {})[request] = column
        for assembly, columns_here in waiting.items():
            self.on_rows(assembly.fill(columns_here, read, thumbnails))
        for assembly in waiting:
            self._finish(assembly)

    def _refuse(self, refused: Refused) -> None:
        self._reasons[refused.request] = refused.reason
        for assembly in self._owners.pop(refused.request):
            self.on_rows(assembly.refuse(refused.request, refused.reason))
            self._finish(assembly)

    def _finish(self, assembly: Assembly) -> None:
        """Give a shard to the disk if it is whole."""
        if assembly.is_ready:
            took = time.monotonic() - self._since
            self._since += took
            now = {"cut": self.forward.cuts > 0, SECONDS: round(took, 3)}
            records = {site: {**record, **now} for site, record in self.records.items()}
            contents = assembly.contents(records)
            self._writing.append(self._disk.submit(self.sink.write, assembly.spec, contents))
            for request, row in assembly.rows().items():
                if self._in_memory.get(request) is assembly:
                    del self._in_memory[request]
                    self._on_disk[request] = assembly.spec, row
            self._await_disk(leave=UNWRITTEN)

    def _await_disk(self, *, leave: int) -> None:
        while len(self._writing) > leave:
            self._writing.popleft().result()
