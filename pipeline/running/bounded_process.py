"""A table made in a process of its own, with limits of memory and time: the caller lives on."""

import os
import pickle  # noqa: TID251  what a process and its own child send each other is no file
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.running.formatting import counted

MOST_BYTES = 2**32
"""Limit of memory if the machine has twice as much; else half of its memory."""
MOST_SECONDS = 600
NO_MEMORY = 3
"""Exit code of a process whose Python code, not polars, had no memory left."""
_FULL = (NO_MEMORY, -signal.SIGABRT, -getattr(signal, "SIGKILL", signal.SIGABRT))
"""Exit codes without memory: polars aborts, and the system kills where a container is full."""


class BoundError(Exception):
    """A process that went over its limits, or ended without an answer; the message says which."""


def frame_within_limits(make: Callable[..., pl.DataFrame], *arguments: Any) -> pl.DataFrame:
    """Return the frame that a function of a module makes in a process of its own.

    Memory is limited on Linux only. What the function raises is raised here; BoundError if the
    process needed too much memory or time, or crashed.
    """
    with tempfile.TemporaryDirectory(prefix="savs-") as folder:
        file, most = Path(folder) / "frame.arrow", _most_bytes()
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", __name__],
                input=pickle.dumps((make, arguments, file, most)),
                capture_output=True,
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            limit = counted(MOST_SECONDS, "second")
            raise BoundError(f"it takes more than the limit of {limit}") from error
        if done.returncode in _FULL:
            raise BoundError(f"it takes more memory than the limit of {most / 2**30:.1f} GiB")
        if done.returncode:
            lines = done.stderr.decode(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "no message")
            raise BoundError(f"its process ended with exit code {done.returncode}: {last:.300}")
        if done.stdout:
            raise pickle.loads(done.stdout)
        return pl.read_ipc(file)


def _most_bytes() -> int:
    if not hasattr(os, "sysconf"):
        return MOST_BYTES
    return min(MOST_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def _main() -> None:
    """Read a function and its arguments; write its frame to a file, or print what it raises."""
    make, arguments, file, most = pickle.load(sys.stdin.buffer)
    if sys.platform == "linux":
        import resource

        for kind, limit in (("DATA", most), ("FSIZE", most), ("CORE", 0)):
            number = getattr(resource, f"RLIMIT_{kind}")
            hard = resource.getrlimit(number)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(number, (limit, hard))
    code = 0
    try:
        make(*arguments).write_ipc(file)
    except MemoryError:
        code = NO_MEMORY
    except Exception as error:
        sys.stdout.buffer.write(pickle.dumps(error))  # the caller raises it
        sys.stdout.buffer.flush()
    # A thread of polars may still be in a scan, as after LIMIT: an interpreter that is taken down
    # around it aborts, as if memory were full.
    os._exit(code)


if __name__ == "__main__":
    _main()
