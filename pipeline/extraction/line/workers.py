"""Jobs to processes that prepare them, and what they made of each, in order.

Each worker process has a socket and, in this process, a thread that sends it a job and waits for
the answer. Where the socket ends instead, the process has died on that job and on no other: its
rows run again, each alone, in a fresh process, and a row that ends that one, too, is refused. The
other workers never notice.
"""

import ctypes
import multiprocessing
import os
import queue
import signal
import socket
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from threading import Lock, Thread
from typing import Any

import torch

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.line.jobs import Done, Job, Refused
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.prepare import prepare
from savs.pipeline.extraction.line.transport import portable, receive, send
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import AUTO, BALANCED, ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.cores import count_cores
from savs.pipeline.running.launchers import ALONE, Rank

START_S = 10.0
"""With less to prepare than this, workers take longer to start than they save."""
SHARE_S = 5.0
"""A worker of one rank of several has at least so much to do."""
MOST_WORKERS = 16


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
    most = MOST_WORKERS if rank.ranks == 1 else int(share_s / SHARE_S)
    return max(1, min(count_cores() // rank.local_ranks, MOST_WORKERS, most))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How jobs are prepared, and by how many processes."""

    workers: int
    """0 prepares in this process."""
    model: ModelOptions
    """What a worker loads its prompt encoder by."""
    passes: PassSettings
    gpu: torch.device | None = None
    """The GPU that copies inputs; what workers prepare is put into page-locked memory for it."""


Results = Sequence[tuple[Job, Done]]
"""A job with what was made of it, or each of its rows by itself."""


def prepared_jobs(
    jobs: Iterable[Job | None], encoder: PromptEncoder, settings: WorkerSettings
) -> Iterator[tuple[Job, Done]]:
    """Yield each job with what was made of it, in their order.

    None among the jobs says that there are no more before one of those that are out is back. Where
    jobs fail to come, those before are finished first. ModelError if workers die whatever they are
    given.
    """
    place = Crew(settings) if settings.workers else Here(encoder, settings.passes)
    out: deque[Future[Results]] = deque()
    remaining = iter(jobs)
    failure = None
    try:
        while True:
            try:
                job = next(remaining)
            except StopIteration:
                break
            except Exception as error:
                failure = error
                break
            if job is not None:
                out.append(place.submit(job))
            if len(out) > place.ahead or (out and job is None):
                yield from out.popleft().result()
        while out:
            yield from out.popleft().result()
    finally:
        place.close()
    if failure is not None:
        raise failure


class Here:
    """Prepares in a thread of this process, one job ahead of the model."""

    ahead = 1
    """Jobs that may be with it, or be finished, while the model runs another."""

    def __init__(self, encoder: PromptEncoder, settings: PassSettings) -> None:
        self._encoder = encoder
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="savs-prepare")

    def submit(self, job: Job) -> Future[Results]:
        """Prepare a job after those before it."""
        return self._pool.submit(lambda: [(job, prepare(self._encoder, job, self._settings))])

    def close(self) -> None:
        """Wait for the job that is begun."""
        self._pool.shutdown(cancel_futures=True)


AHEAD = 2
"""Jobs that each worker may be ahead."""
MOST_FRUITLESS = 6
"""Deaths in a row, with nothing prepared between them, that end the run. As many more are allowed
as there are workers: one cause may end all of them once."""
PATIENCE_S = 5.0
"""A process whose socket has ended has ended itself by then, or is ended."""


class Crew:
    """Worker processes, and a thread for each."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.ahead = AHEAD * settings.workers
        self._fruitless = 0
        """Deaths since a job was prepared."""
        self._is_closed = False
        self._lock = Lock()
        """Held while processes are started and buried."""
        start_server()
        self._workers = [Worker(settings) for _ in range(settings.workers)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._pool = ThreadPoolExecutor(
            settings.workers, "savs-prepare", initializer=take_gpu, initargs=(settings.gpu,)
        )

    def submit(self, job: Job) -> Future[Results]:
        """Prepare a job in the next process that is free."""
        return self._pool.submit(self._results, job)

    def _results(self, job: Job) -> Results:
        worker = self._idle.get()
        try:
            return [(job, self._done(worker, job))]
        except DiedError:
            return [(alone, self._alone(worker, alone)) for alone in job.alone()]
        finally:
            self._idle.put(worker)

    def _alone(self, worker: "Worker", job: Job) -> Done:
        """Prepare a row by itself; refuse it if a process dies of it again."""
        try:
            return self._done(worker, job)
        except DiedError as death:
            return Done([Refused(r.number, _reason(r.example, death)) for r in job.requests], {})

    def _done(self, worker: "Worker", job: Job) -> Done:
        """Let a process prepare a job; DiedError if it dies of that, and a fresh one is ready."""
        try:
            answer = worker.ask(job)
        except (EOFError, OSError):
            raise self._replace(worker) from None
        if isinstance(answer, Exception):
            raise answer
        self._fruitless = 0
        return answer

    def _replace(self, worker: "Worker") -> "DiedError":
        """Start a process in place of one that has died, and return how that was."""
        with self._lock:
            death = DiedError(worker.end())
            if self._is_closed:
                return death
            most = MOST_FRUITLESS + len(self._workers)
            self._fruitless = min(self._fruitless + 1, most)
            if self._fruitless == most:
                raise ModelError(
                    f"worker processes end by themselves, {most} in a row, the last {death}; give"
                    " fewer (`workers`), or none (0) to see why"
                )
            worker.start()
            return death

    def close(self) -> None:
        """End all processes, and with them the threads that wait for them."""
        with self._lock:
            self._is_closed = True
        for worker in self._workers:
            worker.leave()
        self._pool.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()


class DiedError(Exception):
    """A worker process ended while it prepared a job."""

    def __init__(self, code: int) -> None:
        self.code = code
        """Its exit code; below 0, the signal that ended it."""

    def __str__(self) -> str:
        if self.code >= 0:
            return f"with exit code {self.code}"
        if self.code == -signal.SIGKILL:
            return "by SIGKILL, most likely for lack of memory"
        names = {number.value: number.name for number in signal.Signals}
        return f"by {names.get(-self.code, f'signal {-self.code}')}"


def _reason(example: str, death: DiedError) -> str:
    return (
        f"two worker processes ended while they prepared {example}, the second {death}; scale its"
        " media down, save them in another format, or give fewer workers (`workers`)"
    )


class Worker:
    """A process that prepares one job at a time, and another one after it has died."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start a process, with a wire to it."""
        self._is_busy = True
        """Whether it has something to finish: it loads its encoder, too, before its first job."""
        self._wire, theirs = socket.socketpair()
        with theirs:  # no process but that one keeps it, so that the wire ends when it does
            self._process = CONTEXT.Process(
                target=work, args=(theirs, self._settings), name="savs-worker", daemon=True
            )
            with hidden_main():
                self._process.start()

    def ask(self, job: Job) -> Done | Exception:
        """Return what the process makes of a job, or raises; EOFError or OSError if it dies."""
        self._is_busy = True
        send(self._wire, job)
        answer = receive(self._wire, pin=self._settings.gpu is not None)
        self._is_busy = False
        return answer

    def leave(self) -> None:
        """End the wire: a process without a job ends by that, and one that has a job is ended."""
        if self._is_busy:
            self._process.kill()
        with suppress(OSError):  # it has ended
            self._wire.shutdown(socket.SHUT_RDWR)

    def end(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        self._wire.close()
        self._process.join(PATIENCE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        return self._process.exitcode or 0


def take_gpu(gpu: torch.device | None) -> None:
    """Make a GPU that of this thread, which has the first one else and would open it, too."""
    if gpu is not None:
        torch.cuda.set_device(gpu)


CONTEXT = multiprocessing.get_context("forkserver")
"""A fork of a process with threads may hang; this one is forked from a server that has none."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, by their numbers in malloc.h."""
_hiding = Lock()


def start_server() -> None:
    """Start the process that workers are forked from; it imports what they need meanwhile."""
    CONTEXT.set_forkserver_preload([__name__])
    with hidden_main():
        forkserver.ensure_running()


@contextmanager
def hidden_main() -> Iterator[None]:
    """Hide the program that runs: a worker needs nothing of it, and would run it if it saw it."""
    with _hiding:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def work(wire: socket.socket, settings: WorkerSettings) -> None:
    """Prepare jobs, in a worker process, until its wire ends; what fails is the answer, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process of the model gets it and ends this
    Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    torch.set_num_threads(1)
    sys.stdout = sys.stderr  # stdout is the command's: what a user's code prints is no data
    encoder = _tried(load_encoder, settings.model)
    with suppress(EOFError, OSError):
        while True:
            job = receive(wire)
            failed = isinstance(encoder, Exception)
            send(wire, encoder if failed else _tried(prepare, encoder, job, settings.passes))


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


def _end_with_parent() -> None:
    """Wait until the process of the model has ended, however it did, and end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _tried(do: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or what it raises."""
    try:
        return do(*arguments)
    except Exception as error:
        return portable(error)
