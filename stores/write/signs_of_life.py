"""Signs of life: files that the processes of a store renew, and look at."""

import json
import os
import re
import secrets
import socket
import time
from bisect import bisect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from threading import Event, Lock, Thread
from typing import Any

import msgspec

from savs.foundation.files import process_has_ended, process_space, process_start
from savs.stores.format.layout import decode_json
from savs.stores.write.claim_files import NEW, ClaimStorage

STALE_S = 90.0
"""A process that shows no sign for so long is taken for dead."""
BEAT_S = 15.0
"""How often a process shows a sign."""
LOOK_EVERY_S = 1.0
"""How often a sign is looked at that is waited for."""
WATCHED = 8
"""Living processes that each one watches; an idle process finds out later about the others."""
SIGN = ".rank"
"""What the name of a sign ends in, after the id of its process."""
_ID = re.compile(r"[A-Za-z0-9_]{1,255}-[0-9]{1,20}-[0-9a-f]{8}")
"""The form of an id: it becomes the name of a file, and anyone may have written it."""


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
    """Return the process that a file names; None if it names none, or is not written yet."""
    try:
        process = msgspec.convert(decode_json(data or b""), Process)
    except ValueError:
        return None
    is_one = _ID.fullmatch(process.id) and 0 < process.pid < 2**31
    return process if is_one else None


def is_here(process: Process) -> bool:
    """Return whether a process is, or was, one of this host and container."""
    return process.space == process_space()


def has_ended(process: Process) -> bool:
    """Return whether a process is known to have ended; of other hosts that is never known."""
    return is_here(process) and process_has_ended(process.pid, process.started)


class Signs:
    """The sign of this process, renewed from `start` to `stop`, and what it knows of others."""

    def __init__(self, storage: ClaimStorage) -> None:
        self.process = this_process()
        self.gone: set[str] = set()
        """Processes that were watched and are gone."""
        self._storage = storage
        self._stale_s = STALE_S
        self._beat_s = BEAT_S
        self._buried: set[str] = set()
        """Signs of processes that are gone: they stay until the seal, and are not watched on."""
        self._looks: dict[str, tuple[bytes | None, float]] = {}
        """Holder -> its sign, and when that was first seen, on this process's own clock."""
        self._facts: dict[str, Any] = {}
        self._beats = 0
        self._last_beat_s = time.monotonic()
        self._lock = Lock()
        self._closing, self._awake = Event(), Event()
        self._thread = Thread(target=self._beat_until_closed, name="savs-signs", daemon=True)

    def start(self) -> None:
        """Show the first sign; OSError if it cannot be written."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Show no more signs; the last one stays."""
        self._closing.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join()

    def remove(self, process: Process | None = None) -> None:
        """Remove the sign of a process, by default of this one."""
        self._storage.remove((process or self.process).id + SIGN)

    def note(self, state: str, **facts: Any) -> None:
        """Show what this process does: a new state at once, other facts with the next beat."""
        with self._lock:
            is_new = self._facts.get("state") != state
            self._facts |= facts | {"state": state}
        if is_new:
            self._awake.set()

    def _beat_until_closed(self) -> None:
        while True:
            self._awake.wait(self._beat_s)
            self._awake.clear()
            if self._closing.is_set():
                return
            with suppress(OSError):  # a disk that is full may have room at the next beat
                self._beat()
                self._watch()

    def _beat(self) -> None:
        with self._lock:
            self._beats += 1
            sign = self.process.to_json() | {"beat": self._beats} | self._facts
            sign["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            if time.monotonic() - self._last_beat_s > self._stale_s / 2:
                self._looks.clear()  # this process was stopped: it cannot say what others did
            self._last_beat_s = time.monotonic()
        self._storage.put(self.process.id + SIGN, json.dumps(sign).encode())

    def _watch(self) -> None:
        """Look whether some other processes still live: together all watch all."""
        ring = sorted(name for name in self._storage.names() if name.endswith(SIGN))
        after = bisect(ring, self.process.id + SIGN)
        known = self._buried | {self.process.id + SIGN}
        others = (name for name in [*ring[after:], *ring[:after]] if name not in known)
        living = 0
        while living < WATCHED and (name := next(others, None)) is not None:
            process = parse_process(self._storage.read(name))
            if process is None or process.id + SIGN != name:
                self._buried.add(name)  # nobody's
            elif self.is_gone(process):
                self._buried.add(name)
                self.gone.add(process.id)
            else:
                living += 1

    def is_gone(self, process: Process) -> bool:
        """Return whether a process has ended, or shows no sign for too long."""
        return has_ended(process) or self.is_silent(process.id, process)

    def is_silent(self, key: str, process: Process | None) -> bool:
        """Return whether a process shows no sign for too long, since this one first looked."""
        sign = self._storage.read(process.id + SIGN) if process else None
        now = time.monotonic()
        with self._lock:
            asleep = now - self._last_beat_s > self._stale_s / 2  # this process itself was stopped
            seen, since_s = self._looks.get(key, (None, now))
            if key not in self._looks or seen != sign or asleep:
                self._looks[key] = (sign, now)
                return False
        return now - since_s >= self._stale_s

    def lives(self, process_id: str | None) -> bool:
        """Return whether another process works on the store.

        Of one on another host that is known once it has shown a sign, or none for `STALE_S`: this
        waits for the one or the other.
        """
        processes = {process.id: process for process, _ in read_signs(self._storage)}
        process = processes.get(process_id or "")
        if process is None or process.id == self.process.id:
            return False
        if is_here(process):
            return not has_ended(process)
        first = self._storage.read(process.id + SIGN)
        while not self.is_silent(process.id, process):
            if self._storage.read(process.id + SIGN) not in (first, None):
                return True
            time.sleep(LOOK_EVERY_S)
        return False


def read_signs(storage: ClaimStorage) -> list[tuple[Process, Mapping[str, Any]]]:
    """Return the processes that show, or showed, signs of life, and what their signs say.

    One that was killed before its first sign got its name has left it next to that name.
    """
    signs: dict[str, tuple[Process, Mapping[str, Any]]] = {}
    for name in sorted(storage.names()):  # so that NAME is before NAME.new
        data = storage.read(name) if name.removesuffix(NEW).endswith(SIGN) else None
        process = parse_process(data)
        is_own = process is not None and name.removesuffix(NEW) == process.id + SIGN
        if data is not None and process is not None and is_own:
            signs.setdefault(process.id, (process, decode_json(data)))
    return list(signs.values())
