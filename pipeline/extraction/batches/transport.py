"""How jobs and inputs pass between processes: in shared memory, or in files where that is short.

What goes through the pipes of the loader stays small: a process that dies in the middle of a large
message would leave its receiver waiting for the rest.
"""

import shutil
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from savs.pipeline.extraction.batches.jobs import Done, Job, Medium, Prepared

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
    found = job.media.values()
    data = bytearray().join(medium.data for medium in found) or bytearray(1)
    bare = {digest: Medium(medium.name, b"") for digest, medium in job.media.items()}
    sizes = tuple(len(medium.data) for medium in found)
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
    return _convert(done, lambda value: _sent(value, spill, files=files))


def receive_done(done: Done) -> Done:
    """Return what was sent, in the process of the model."""
    return _convert(done, _received)


def _convert(done: Done, change: Any) -> Done:
    parts = [part.converted(change) if isinstance(part, Prepared) else part for part in done.parts]
    return replace(done, parts=parts)


def _sent(value: Any, spill: Path, *, files: bool) -> Any:
    """Return a tensor in shared memory, or in a file where there is none left."""
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
