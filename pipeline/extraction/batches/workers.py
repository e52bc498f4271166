"""Worker processes that prepare jobs, by torch's DataLoader; a worker that dies names its row.

The loader ends when a worker dies and does not say what that held. So each worker notes in shared
memory what it works on; jobs that have not come back go to a new loader, and what was being worked
on is tried once more by itself.
"""

import multiprocessing
import os
import sys
import types
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.jobs import Done, Job, Refused
from savs.pipeline.extraction.batches.prepare import PrepareSettings, prepare
from savs.pipeline.extraction.batches.transport import (
    SentJob,
    receive_done,
    receive_job,
    send_done,
    send_job,
)
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder, load_encoder
from savs.pipeline.extraction.run_options import RunOptions

_CONTEXT = multiprocessing.get_context("forkserver")
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""Settings of glibc: workers keep the memory of an image for the next one. Else each is given back
to the system, and every page of it costs a fault again: a tenth of the time of HD photos."""
AHEAD = 2
"""Jobs that each worker may be ahead."""
START_S = 10.0
"""With less to prepare than this, workers take longer to start than they save."""
MOST_WORKERS = 16
IDLE = -1
"""In place of a request's number: none."""
DEATHS = 2
"""A request that this many workers died on is refused, and so are workers that die on nothing."""
MOST_FRUITLESS = 6
"""Deaths in a row, with nothing prepared between them, that end the run."""
PATIENCE_S = 5.0
"""A dead worker is known by then: what it had sent may fail before its death is seen."""


def count_workers(run: RunOptions, device: str, seconds: float) -> int:
    """Return how many worker processes a run has.

    By default that is the cores of this process, shared by the ranks. There are none without a GPU,
    where the model takes all cores itself, and none where one process would prepare all examples
    within a few `seconds`.
    """
    if run.workers is not None:
        return run.workers
    has_gpu = torch.cuda.is_available() if device == "auto" else device != "cpu"
    if seconds < START_S or not has_gpu:
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(cores // run.ranks, MOST_WORKERS))


def start_server() -> None:
    """Start the process that workers are forked from; it imports what they need meanwhile."""
    _CONTEXT.set_forkserver_preload([__name__])
    own = {name: os.environ.get(name) for name in MALLOC}
    os.environ.update({name: value for name, value in MALLOC.items() if own[name] is None})
    try:
        with _hidden_main():
            forkserver.ensure_running()
    finally:
        for name in [name for name, value in own.items() if value is None]:
            del os.environ[name]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How jobs are prepared, and by how many processes."""

    workers: int
    """0 prepares in this process."""
    model: ModelOptions
    """What a worker loads its prompt encoder by."""
    prepare: PrepareSettings
    pin: bool
    """Put inputs into page-locked memory."""
    files: bool
    """Send everything in files, see `needs_files`."""


def prepared_jobs(
    jobs: Iterable[Job], encoder: PromptEncoder, settings: WorkerSettings
) -> Iterator[Done]:
    """Yield each job prepared, in the order in which they get ready.

    Raises
    ------
    ModelError
        Workers die whatever they are given.
    """
    if settings.workers == 0:
        yield from _in_thread(jobs, encoder, settings.prepare)
        return
    with TemporaryDirectory(prefix="savs-") as folder:
        crew, remaining = _Crew(settings, Path(folder)), iter(jobs)
        while True:
            try:
                yield from crew.work(remaining)
                return
            except _WorkerDied as death:
                yield from crew.bury(death.pids)


def _in_thread(
    jobs: Iterable[Job], encoder: PromptEncoder, settings: PrepareSettings
) -> Iterator[Done]:
    """Yield each job prepared, in order, one of them ahead of the model."""
    with ThreadPoolExecutor(1, thread_name_prefix="savs-prepare") as pool:
        before: Future[Done] | None = None
        for job in jobs:
            upcoming = pool.submit(prepare, encoder, job, settings)
            if before is not None:
                yield before.result()
            before = upcoming
        if before is not None:
            yield before.result()


class _WorkerDied(Exception):  # noqa: N818 - a message between two functions
    def __init__(self, pids: set[int]) -> None:
        super().__init__()
        self.pids = pids


@dataclass(eq=False)
class _Crew:
    """The worker processes, and what they were given and have not given back."""

    settings: WorkerSettings
    spill: Path
    """Folder of what does not fit into shared memory."""
    out: dict[int, Job] = field(default_factory=dict)
    again: deque[Job] = field(default_factory=deque)
    """What goes to the next workers before new jobs."""
    deaths: Counter[int] = field(default_factory=Counter)
    """Request -> workers that died on it; `IDLE` counts those that worked on nothing."""
    fruitless: int = 0
    """Deaths since a job was prepared."""
    failure: BaseException | None = None
    """What went wrong where jobs come from."""

    def __post_init__(self) -> None:
        self.notes = torch.full((self.settings.workers, 3), IDLE).share_memory_()

    def work(self, jobs: Iterator[Job]) -> Iterator[Done]:
        start_server()
        with catch_warnings():
            simplefilter("ignore", UserWarning)  # that these are many workers is the user's choice
            loader = self._loader(jobs)
        others = set(multiprocessing.active_children())
        workers: set[BaseProcess] = set()
        try:
            with _hidden_main():
                ready = iter(loader)
            workers |= set(multiprocessing.active_children()) - others
            for done in ready:
                self.out.pop(done.job)
                self.fruitless = 0
                yield receive_done(done)
                if self.out and wait([worker.sentinel for worker in workers], timeout=0):
                    raise RuntimeError("a worker exited unexpectedly")  # others still deliver
        except BaseException as error:
            workers |= set(multiprocessing.active_children()) - others
            ended = set() if error is self.failure else _dead(workers, error)
            for worker in workers:
                worker.terminate()
                worker.join(PATIENCE_S)
            if ended:
                raise _WorkerDied(ended) from error
            raise
        if self.out:
            raise RuntimeError(f"{len(self.out)} jobs did not come back")

    def _loader(self, jobs: Iterator[Job]) -> DataLoader[Done]:
        return DataLoader(
            _Jobs(self.settings, self.notes, self.spill),
            sampler=self._given(jobs),  # type: ignore[arg-type]
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=self.settings.workers,
            multiprocessing_context=_CONTEXT,
            prefetch_factor=AHEAD,
            pin_memory=self.settings.pin,
            in_order=False,
        )

    def _given(self, jobs: Iterable[Job]) -> Iterator[SentJob]:
        try:
            for job in chain(iter(self._pop, None), jobs):
                self.out[job.number] = job
                yield send_job(job, self.spill, files=self.settings.files)
        except (RuntimeError, OSError, EOFError) as error:
            self.failure = error  # no worker's
            raise

    def _pop(self) -> Job | None:
        return self.again.popleft() if self.again else None

    def bury(self, pids: set[int]) -> Iterator[Done]:
        """Take back what dead workers held; yield what is refused because of it."""
        self.fruitless += 1
        held = {job: request for pid, job, request in self.notes.tolist() if pid in pids}
        for number, request in held.items():
            job = self.out.get(number)
            if job is None:
                self.deaths[IDLE] += 1
            elif len(job.requests) == 1:
                self.deaths[job.requests[0].number] += 1
            elif request != IDLE:
                self.deaths[request] += 1
        if self.deaths[IDLE] >= DEATHS or self.fruitless >= MOST_FRUITLESS:
            raise ModelError(
                "worker processes end by themselves, killed for memory or by their libraries;"
                " give fewer --workers, or --workers 0 to see why"
            )
        for number, job in self.out.items():
            if number not in held:
                self.again.append(job)
                continue
            refused: list[Refused] = []
            for alone in job.alone():
                (request,) = alone.requests
                if self.deaths[request.number] < DEATHS:
                    self.again.append(replace(alone, number=IDLE - 1 - request.number))
                else:
                    refused.append(Refused(request.number, _killed(request.example)))
            yield Done(number, refused, {}, 0)
        self.out.clear()
        self.notes.fill_(IDLE)


def _dead(workers: Iterable[BaseProcess], error: BaseException) -> set[int]:
    """Return which processes have ended, where an error may come from that."""
    running: dict[Any, int] = {worker.sentinel: worker.pid or 0 for worker in workers}
    if not isinstance(error, RuntimeError | OSError | EOFError):
        return set()
    return {running[sentinel] for sentinel in wait(running, timeout=PATIENCE_S)}


def _killed(example: str) -> str:
    return (
        f"worker processes were killed while they prepared {example}, twice: it may need more"
        " memory than there is; scale it down, or give fewer --workers"
    )


class _Jobs(Dataset[Done]):
    """What a worker process does, as the loader calls it."""

    def __init__(self, settings: WorkerSettings, notes: torch.Tensor, spill: Path) -> None:
        self._settings = settings
        self._notes = notes
        self._spill = spill
        self._encoder: PromptEncoder | None = None

    def __getitem__(self, sent: SentJob) -> Done:
        job = receive_job(sent)
        info = get_worker_info()
        note = self._notes[info.id] if info is not None else self._notes[0]
        if self._encoder is None:
            note[0] = os.getpid()
            Thread(target=_end_with_parent, daemon=True).start()
            self._encoder = load_encoder(self._settings.model)
        note[1:] = torch.tensor([job.number, IDLE])

        def on_request(number: int) -> None:
            note[2] = number

        done = prepare(self._encoder, job, self._settings.prepare, on_request)
        return send_done(done, self._spill, files=self._settings.files)


def _end_with_parent() -> None:
    """Wait until the process of the model has ended, however it did, and end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _as_it_is(done: Any) -> Any:
    return done


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the program that runs: a worker needs nothing of it, and would run it if it saw it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
