"""Worker processes that prepare jobs, by torch's DataLoader; a worker that dies names its row.

The loader ends when a worker dies and does not say what that held. So each worker notes in shared
memory what it works on; jobs that have not come back go to a new loader, and what was being worked
on is tried once more by itself.
"""

import multiprocessing
import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch.utils.data import DataLoader

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.jobs import Done, Job, Refused
from savs.pipeline.extraction.batches.prepare import PrepareSettings, prepare
from savs.pipeline.extraction.batches.transport import SentJob, receive_done, send_job
from savs.pipeline.extraction.batches.worker_process import (
    CONTEXT,
    IDLE,
    WorkerJobs,
    WorkerSettings,
    hidden_main,
    start_server,
)
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions

AHEAD = 2
"""Jobs that each worker may be ahead."""
START_S = 10.0
"""With less to prepare than this, workers take longer to start than they save."""
MOST_WORKERS = 16
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
            with hidden_main():
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
            WorkerJobs(self.settings, self.notes, self.spill),
            sampler=self._given(jobs),  # type: ignore[arg-type]
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=self.settings.workers,
            multiprocessing_context=CONTEXT,
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


def _as_it_is(done: Any) -> Any:
    return done
