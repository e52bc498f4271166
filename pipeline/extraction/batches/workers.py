"""Worker processes that prepare jobs, by torch's DataLoader; a worker that dies names its row.

The loader ends when a worker dies and does not say what that held. So each worker notes in shared
memory what it works on; jobs that have not come back go to a new loader, and what was being worked
on is tried once more by itself.
"""

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch.utils.data import DataLoader

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.jobs import Done, Job, Refused, Request
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
from savs.pipeline.extraction.model.model_options import AUTO, BALANCED
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.launchers import ALONE, Rank

AHEAD = 2
"""Jobs that each worker may be ahead."""
START_S = 10.0
"""With less to prepare than this, workers take longer to start than they save."""
SHARE_S = 5.0
"""A worker of one rank of several has at least so much to do."""
MOST_WORKERS = 16
MOST_FRUITLESS = 6
"""Deaths in a row, with nothing prepared between them, that end the run."""
PATIENCE_S = 5.0
"""A dead worker is known by then: what it had sent may fail before its death is seen."""


def count_workers(run: RunOptions, device: str, seconds: float, rank: Rank = ALONE) -> int:
    """Return how many worker processes a run has.

    By default that is the cores of this process, shared by the ranks of this machine. There are
    none without a GPU, where the model takes all cores itself, and none where one process would
    prepare its share of all examples within a few seconds. Ranks have no more than their share
    needs: what workers are ahead is claimed, and other ranks could do it.

    Parameters
    ----------
    run
        Has the number, if the user gave one.
    device
        Where the model runs.
    seconds
        What one process would need to prepare all examples.
    rank
        Which of how many processes this is.
    """
    if run.workers is not None:
        return run.workers
    has_gpu = torch.cuda.is_available() if device in (AUTO, BALANCED) else device != "cpu"
    share_s = seconds / rank.ranks
    if share_s < START_S or not has_gpu:
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    most = MOST_WORKERS if rank.ranks == 1 else int(share_s / SHARE_S)
    return max(1, min(cores // rank.local_ranks, MOST_WORKERS, most))


def prepared_jobs(
    jobs: Iterable[Job], encoder: PromptEncoder, settings: WorkerSettings
) -> Iterator[tuple[Job, Done]]:
    """Yield each job with what was made of it.

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
        while ended := (yield from crew.work(remaining)):
            yield from crew.bury(ended)


def _in_thread(
    jobs: Iterable[Job], encoder: PromptEncoder, settings: PrepareSettings
) -> Iterator[tuple[Job, Done]]:
    """Yield each job with what was made of it, one of them ahead of the model."""
    with ThreadPoolExecutor(1, thread_name_prefix="savs-prepare") as pool:
        waiting: deque[tuple[Job, Future[Done]]] = deque()
        for job in jobs:
            waiting.append((job, pool.submit(prepare, encoder, job, settings)))
            if len(waiting) > 1:
                first, future = waiting.popleft()
                yield first, future.result()
        for last, future in waiting:
            yield last, future.result()


@dataclass(eq=False)
class _Crew:
    """The worker processes, and what they were given and have not given back."""

    settings: WorkerSettings
    spill: Path
    """Folder of what does not fit into shared memory."""
    out: dict[int, Job] = field(default_factory=dict)
    again: deque[Job] = field(default_factory=deque)
    """What goes to the next workers before new jobs."""
    fruitless: int = 0
    """Deaths since a job was prepared."""
    failure: Exception | None = None
    """What went wrong where jobs come from."""

    def __post_init__(self) -> None:
        self.notes = torch.full((self.settings.workers, 2), IDLE).share_memory_()

    def work(self, jobs: Iterator[Job]) -> Generator[tuple[Job, Done], None, set[int]]:
        """Let workers prepare jobs; return the processes that died, none at the end of all jobs."""
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
                self.fruitless = 0
                yield self.out.pop(done.job), receive_done(done)
                if self.out and _dead(workers, wait_s=0):
                    raise RuntimeError("a worker exited unexpectedly")  # others still deliver
        except BaseException as error:
            workers |= set(multiprocessing.active_children()) - others
            ended: set[int] = set()
            if isinstance(error, RuntimeError | OSError | EOFError):
                ended = _dead(workers, wait_s=PATIENCE_S)
            for worker in workers:
                worker.terminate()
                worker.join(PATIENCE_S)
            if not ended:
                raise
            return ended
        if self.failure is not None:
            raise self.failure
        return set()

    def _loader(self, jobs: Iterator[Job]) -> DataLoader[Done]:
        return DataLoader(
            WorkerJobs(self.settings, self.notes, self.spill),
            sampler=self._given(jobs),  # type: ignore[arg-type]
            batch_size=None,
            num_workers=self.settings.workers,
            multiprocessing_context=CONTEXT,
            prefetch_factor=AHEAD,
            pin_memory=self.settings.pin,
        )

    def _given(self, jobs: Iterator[Job]) -> Iterator[SentJob]:
        """Yield what workers shall do; where jobs fail to come, those before are finished first."""
        try:
            while job := self.again.popleft() if self.again else next(jobs, None):
                self.out[job.number] = job
                yield send_job(job, self.spill, files=self.settings.files)
        except Exception as error:
            self.failure = error

    def bury(self, ended: set[int]) -> Iterator[tuple[Job, Done]]:
        """Take back what dead workers held; yield what is refused because of it.

        The requests of such a job are tried once more, each by itself, and are refused if a worker
        dies on that.
        """
        self.fruitless += 1
        if self.fruitless >= MOST_FRUITLESS:
            raise ModelError(
                "worker processes end by themselves, killed for memory or by their libraries;"
                " give fewer --workers, or --workers 0 to see why"
            )
        held = {job for pid, job in self.notes.tolist() if pid in ended}
        for number, job in self.out.items():
            if number not in held:
                self.again.append(job)
            elif number < IDLE:  # its second try
                yield job, Done(number, [_killed(request) for request in job.requests], {})
            else:
                self.again += [
                    replace(alone, number=IDLE - 1 - alone.requests[0].number)
                    for alone in job.alone()
                ]
        self.out.clear()
        self.notes.fill_(IDLE)


def _dead(workers: Iterable[BaseProcess], *, wait_s: float) -> set[int]:
    """Return the numbers of the processes that have ended, or that end within some time."""
    running: dict[Any, int] = {worker.sentinel: worker.pid or 0 for worker in workers}
    return {running[sentinel] for sentinel in wait(running, timeout=wait_s)}


def _killed(request: Request) -> Refused:
    return Refused(
        request.number,
        f"worker processes were killed while they prepared {request.example}, twice: it may need"
        " more memory than there is; scale it down, or give fewer --workers",
    )
