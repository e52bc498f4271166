"""What a worker process is: how it is started, what it does with a job, when it ends."""

import multiprocessing
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from torch.utils.data import Dataset, get_worker_info

from savs.pipeline.extraction.batches.jobs import Done
from savs.pipeline.extraction.batches.prepare import PrepareSettings, prepare
from savs.pipeline.extraction.batches.transport import (
    SentJob,
    receive_job,
    send_done,
)
from savs.pipeline.extraction.model.load_encoder import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder

CONTEXT = multiprocessing.get_context("forkserver")
"""A fork of a process with threads may hang; this one is forked from a server that has none."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""Settings of glibc: workers keep the memory of an image for the next one. Else each is given back
to the system, and every page of it costs a fault again: 6 % of the time of HD photos."""
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
    own = {name: os.environ.get(name) for name in MALLOC}
    os.environ.update({name: value for name, value in MALLOC.items() if own[name] is None})
    try:
        with hidden_main():
            forkserver.ensure_running()
    finally:
        for name in [name for name, value in own.items() if value is None]:
            del os.environ[name]


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
