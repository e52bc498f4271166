"""Which process this is, and whether another one is known to have ended."""

import os
import re
import secrets
import socket
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from savs.foundation.files import process_has_ended, process_space, process_start


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
    return Process(host, process_space(), pid, process_start(pid) or "", name)


def parse_process(data: bytes | None) -> Process | None:
    """Return the process that a file names; None where it names none, or is not written yet."""
    try:
        return msgspec.json.decode(data or b"", type=Process)
    except msgspec.MsgspecError:
        return None


def is_here(process: Process) -> bool:
    """Return whether a process is, or was, one of this host and container."""
    return process.space == process_space()


def has_ended(process: Process) -> bool:
    """Return whether a process is known to have ended; of other hosts that is never known."""
    return is_here(process) and process_has_ended(process.pid, process.started)
