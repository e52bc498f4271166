"""Whether a process of this host has ended, whichever process asks."""

import os
import socket
import uuid
from pathlib import Path

PROC = Path("/proc")


def process_space() -> str:
    """Return boot and process namespace: containers may have equal names and numbers."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {uuid.getnode():x}"


def process_start(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; None where that is not shown.

    Of one that has ended and was not waited for yet it is empty.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]  # of the 52 fields state is the third


def process_has_ended(pid: int, started: str) -> bool:
    """Return whether the process of this space with a number and a start has ended.

    A number may be given out again, so the start is compared where it is shown.
    """
    found = process_start(pid)
    if found is None:  # not Linux, or /proc hides the processes of other users
        return not _answers(pid)
    return found != started


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
