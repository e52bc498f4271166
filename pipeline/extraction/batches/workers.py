"""Worker processes that prepare jobs, by torch's DataLoader; a worker that dies names its row.

First how jobs and inputs pass between processes: in shared memory, or in files where that is short.
What goes through the pipes of the loader stays small, since a process that dies in the middle of a
large message would leave its receiver waiting for the rest. Then what a worker process does.

Last how a death is survived. The loader ends when a worker dies and does not say what that held. So
each worker notes in shared memory what it works on; jobs that have not come back go to a new
loader, and what was being worked on is tried once more by itself.
"""

import ctypes
import multiprocessing
import os
import shutil
import sys
import types
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from uuid import uuid4
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.jobs import Done, Job, Medium, Refused, Request
from savs.pipeline.extraction.batches.prepare import PrepareSettings, prepare
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import AUTO, BALANCED, ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.launchers import ALONE, Rank

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_BYTES = 2**30
"""With less of it, as in containers, everything goes through files."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file, which its receiver removes."""

    path: Path
    dtype: torch.dtype
    shape: torch.Size

    def pin_memory(self) -> torch.Tensor:
        """Return it in page-locked memory; the loader calls this, in a thread."""
        return _received(self).pin_memory()


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job on its way to a worker."""

    job: Job
    """Without the bytes of its media."""
    media: torch.Tensor | Stored
    """The media's bytes, one after the other."""
    sizes: tuple[int, ...]


def needs_files() -> bool:
    """Return whether this machine's shared memory is limited, and small."""
    if not SHARED_MEMORY.is_dir():
        return False
    return shutil.disk_usage(SHARED_MEMORY).free < LEAST_SHARED_BYTES


def send_job(job: Job, spill: Path, *, files: bool) -> SentJob:
    """Return a job as it is put into a worker's queue; `spill` is the folder of files."""
    contents = job.media.values()
    data = bytearray().join(medium.data for medium in contents) or bytearray(1)
    bare = {digest: Medium(medium.name, b"") for digest, medium in job.media.items()}
    sizes = tuple(len(medium.data) for medium in contents)
    media = _sent(torch.frombuffer(data, dtype=torch.uint8), spill, files=files)
    return SentJob(replace(job, media=bare), media, sizes)


def receive_job(sent: SentJob) -> Job:
    """Return what was sent, in the worker."""
    data = _received(sent.media).numpy()
    places = pairwise(accumulate(sent.sizes, initial=0))
    media = {
        digest: replace(medium, data=data[start:stop].tobytes())
        for (digest, medium), (start, stop) in zip(sent.job.media.items(), places, strict=True)
    }
    return replace(sent.job, media=media)


def send_done(done: Done, spill: Path, *, files: bool) -> Done:
    """Return a job's inputs as a worker puts them into its queue."""
    return done.converted(lambda value: _sent(value, spill, files=files))


def receive_done(done: Done) -> Done:
    """Return what was sent, in the process of the model."""
    return done.converted(_received)


def _sent(value: Any, spill: Path, *, files: bool) -> Any:
    """Return a tensor in shared memory, or in a file if there is none left."""
    if not torch.is_tensor(value):
        return value
    if not files:
        try:
            return value.share_memory_()
        except RuntimeError:  # it is full
            pass
    stored = Stored(spill / uuid4().hex, value.dtype, value.shape)
    value.contiguous().flatten().view(torch.uint8).numpy().tofile(stored.path)
    return stored


def _received(value: Any) -> Any:
    if not isinstance(value, Stored):
        return value
    data = np.fromfile(value.path, np.uint8)
    value.path.unlink()
    return torch.from_numpy(data).view(value.dtype).view(value.shape)


CONTEXT = multiprocessing.get_context("forkserver")
"""A fork of a process with threads may hang; this one is forked from a server that has none."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, by their numbers in malloc.h."""
IDLE = -1
"""In place of a job's number: none yet."""


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


def start_server() -> None:
    """Start the process that workers are forked from; it imports what they need meanwhile."""
    CONTEXT.set_forkserver_preload([__name__])
    with hidden_main():
        forkserver.ensure_running()


def keep_freed_memory() -> None:
    """Let this process keep the memory of an image or a batch for the next one.

    Else glibc gives each back to the system, and every page of it costs a fault again: 6 % of the
    time of HD photos, a third of the time that features take to their shard. Settings of the user
    (MALLOC_TRIM_THRESHOLD_) stay, and other C libraries keep their way.
    """
    if sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(MMAP_THRESHOLD, 2**25)
            mallopt(TRIM_THRESHOLD, 2**30)


class WorkerJobs(Dataset[Done | None]):
    """What a worker process does, as the loader calls it."""

    def __init__(self, settings: WorkerSettings, notes: torch.Tensor, spill: Path) -> None:
        self._settings = settings
        self._notes = notes
        """Each worker's process number, and the number of the job that it prepares."""
        self._spill = spill
        self._encoder: PromptEncoder | None = None

    def __getitem__(self, sent: SentJob | None) -> Done | None:
        if sent is None:  # there was no job to be given
            return None
        job = receive_job(sent)
        info: Any = get_worker_info()
        note = self._notes[info.id]
        if self._encoder is None:
            note[0] = os.getpid()
            keep_freed_memory()
            sys.stdout = sys.stderr  # stdout is the command's: what a user's code prints is no data
            Thread(target=_end_with_parent, daemon=True).start()
            self._encoder = load_encoder(self._settings.model)
        note[1] = job.number
        done = prepare(self._encoder, job, self._settings.prepare)
        return send_done(done, self._spill, files=self._settings.files)


def _end_with_parent() -> None:
    """Wait until the process of the model has ended, however it did, and end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def hidden_main() -> Iterator[None]:
    """Hide the program that runs: a worker needs nothing of it, and would run it if it saw it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


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

    `seconds` is what one process would need to prepare all examples.
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
    jobs: Iterable[Job | None], encoder: PromptEncoder, settings: WorkerSettings
) -> Iterator[tuple[Job, Done]]:
    """Yield each job with what was made of it.

    None among the jobs says that there are no more before one of those that are out is back.

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
    jobs: Iterable[Job | None], encoder: PromptEncoder, settings: PrepareSettings
) -> Iterator[tuple[Job, Done]]:
    """Yield each job with what was made of it, one of them ahead of the model."""
    with ThreadPoolExecutor(1, thread_name_prefix="savs-prepare") as pool:
        waiting: deque[tuple[Job, Future[Done]]] = deque()
        for job in jobs:
            if job is not None:
                waiting.append((job, pool.submit(prepare, encoder, job, settings)))
            if len(waiting) > 1 or (waiting and job is None):
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

    def work(self, jobs: Iterator[Job | None]) -> Generator[tuple[Job, Done], None, set[int]]:
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
                if done is None:
                    continue
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

    def _loader(self, jobs: Iterator[Job | None]) -> DataLoader[Done | None]:
        return DataLoader(
            WorkerJobs(self.settings, self.notes, self.spill),
            sampler=self._sent_jobs(jobs),  # type: ignore[arg-type]
            batch_size=None,
            num_workers=self.settings.workers,
            multiprocessing_context=CONTEXT,
            prefetch_factor=AHEAD,
            pin_memory=self.settings.pin,
        )

    def _sent_jobs(self, jobs: Iterator[Job | None]) -> Iterator[SentJob | None]:
        """Yield what workers shall do; where jobs fail to come, those before are finished first.

        The next one is copied meanwhile, which the model does not wait for. None goes to a worker
        too, and comes back at once: the loader keeps its workers ahead.
        """
        ahead: Future[SentJob] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="savs-sender") as pool:
            try:
                for job in self._again_first(jobs):
                    before, ahead = ahead, None
                    if job is not None:
                        self.out[job.number] = job
                        ahead = pool.submit(send_job, job, self.spill, files=self.settings.files)
                    if before is not None:
                        yield before.result()
                    if job is None:
                        yield None
            except Exception as error:
                self.failure = error
            if ahead is not None:
                yield ahead.result()

    def _again_first(self, jobs: Iterator[Job | None]) -> Iterator[Job | None]:
        while self.again:
            yield self.again.popleft()
        yield from jobs

    def bury(self, ended: set[int]) -> Iterator[tuple[Job, Done]]:
        """Take back what dead workers held; yield what is refused because of it.

        The requests of such a job are tried once more, each by itself, and are refused if a worker
        dies on that.
        """
        self.fruitless += 1
        if self.fruitless >= MOST_FRUITLESS:
            raise ModelError(
                "worker processes end by themselves, killed for memory or by their libraries;"
                " give fewer `workers`, or `workers` 0 to see why"
            )
        # A worker notes a job before it begins, so a dead one's note is the job that it died on, or
        # one that it had finished. All others are innocent, and go to the next workers as they are.
        # The number of a single request's second try is below IDLE, where no first try's is.
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
        " more memory than there is; scale it down, or give fewer `workers`",
    )
