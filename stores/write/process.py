"""Which process this is, and whether another one is known to have ended."""

import os
import re
import secrets
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process, so that no other one on any host is taken for it."""

    host: str
    space: str
    """Boot and process namespace: containers may share a host's name, and have equal numbers."""
    pid: int
    started: str
    """When it started, in the host's own count; a number may be given out again."""
    id: str
    """Host, number and random digits: the name of its files."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def to_json(self) -> dict[str, Any]:
        """Return the form that files hold."""
        return asdict(self)


def this_process() -> Process:
    """Return what names this process; each call gives another id, as two writers in it have."""
    host, pid = socket.gethostname(), os.getpid()
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', host)}-{pid}-{secrets.token_hex(4)}"
    return Process(host, _space(), pid, _started(pid) or "", name)


def parse_process(data: bytes | None) -> Process | None:
    """Return the process that a file names; None where it names none, or is not written yet."""
    try:
        return msgspec.json.decode(data or b"", type=Process)
    except msgspec.MsgspecError:
        return None


def is_here(process: Process) -> bool:
    """Return whether a process is, or was, one of this host and container."""
    return process.space == _space()


def has_ended(process: Process) -> bool:
    """Return whether a process is known to have ended; of other hosts that is never known."""
    if not is_here(process):
        return False
    started = _started(process.pid)
    if started is None:  # not Linux, or /proc hides the processes of other users
        return not _answers(process.pid)
    return started != process.started


def _space() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {uuid.getnode():x}"


def _started(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; None where that is not shown.

    Of one that has ended and was not waited for yet it is empty.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]  # of the 52 fields state is the third


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
