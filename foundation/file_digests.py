"""SHA-256 of large files that seldom change, computed once by a user on a host.

A digest is kept under the path together with what the file system says of the file: size, both
times, device and inode. A file that was written to, replaced or renamed is read again. The time of
change is among them because no program can set it back, as it can the time of modification.

The folder of the cache may be shared or edited: only regular files of a bounded size are opened in
it, no link is followed, and nothing is written into a file that is there. What is no digest counts
as absent.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from savs.foundation.files import file_sha256, open_regular, real_path, whole_file
from savs.foundation.progress import track

KEPT_BYTES = 2**26
"""Digests of smaller files are not kept: reading them takes less than a tenth of a second."""
SETTLED_S = 2.0
"""Digests of files that changed less long ago are not kept: the clock of a file system may tick
slowly, and a later change would have the same time."""
ENTRY_BYTES = 2**16
"""Most bytes of a kept digest: a path has a few thousand."""
WAIT_S, SLOW_BYTES_S = 30, 2**26
"""How long a process waits for another that reads the same file: some seconds, and what a slow disk
takes for its bytes. The other may have been stopped, so this one then reads the file itself."""
LOOKS_A_SECOND = 10
"""How often it looks meanwhile whether the other is done."""
THREADS = 4
"""Files that are read at the same time; each needs a core."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What the file system says of a file; another content has another state."""

    size: int
    modified_ns: int
    changed_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Return the state of a file; OSError if it cannot be looked at."""
        status = path.stat()
        return cls(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
        )

    @property
    def is_settled(self) -> bool:
        """Whether the file has not changed for a while."""
        return time.time() - max(self.modified_ns, self.changed_ns) / 1e9 > SETTLED_S


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The SHA-256 of a file, and the state that the file had."""

    path: str
    state: FileState
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


def cache_folder() -> Path:
    """Return the folder of the user in which savs keeps what can be computed again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "savs"


def file_digests(paths: Sequence[Path]) -> list[FileDigest]:
    """Return the digest of each file, in their order; several are read at the same time.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(file_digest, paths))


def bytes_to_read(paths: Sequence[Path]) -> int:
    """Return how many bytes `file_digests` must read."""
    states = {real_path(path): FileState.of(real_path(path)) for path in paths}
    return sum(state.size for path, state in states.items() if _cached(path, state) is None)


def file_digest(path: Path) -> FileDigest:
    """Return the digest of a file: from the cache if it did not change since, else by reading it.

    Processes of a host that need the same file wait for the one that reads it, up to a deadline;
    the listener of `savs.foundation.progress` gets each second.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    path = real_path(path)
    state = FileState.of(path)
    if state.size < KEPT_BYTES:
        return _read(path, state)
    if (cached := _cached(path, state)) is not None:
        return cached
    with _turn(path, WAIT_S + state.size // SLOW_BYTES_S):
        if (cached := _cached(path, state)) is not None:  # another process has read it meanwhile
            return cached
        digest = _read(path, state)
        if state.is_settled:
            _IN_PROCESS[path] = digest
            # a name that is not UTF-8 cannot be written as JSON
            with suppress(OSError, UnicodeEncodeError), whole_file(_cache_file(path)) as partial:
                partial.write_bytes(msgspec.json.encode(digest))
        return digest


_IN_PROCESS: dict[Path, FileDigest] = {}
"""For processes that can write no cache."""


def _read(path: Path, state: FileState) -> FileDigest:
    return FileDigest(str(path), state, file_sha256(path))


def _cached(path: Path, state: FileState) -> FileDigest | None:
    digest = _IN_PROCESS.get(path)
    if digest is None:
        try:
            digest = msgspec.json.decode(_entry(_cache_file(path)), type=FileDigest)
        except (OSError, ValueError, RecursionError):  # what is no digest counts as absent
            return None
    return digest if (digest.path, digest.state) == (str(path), state) else None


def _cache_file(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return cache_folder() / "digests" / f"{name}.json"


def _entry(file: Path) -> bytes:
    with os.fdopen(open_regular(file, os.O_RDONLY), "rb") as entry:
        content = entry.read(ENTRY_BYTES + 1)
    if len(content) > ENTRY_BYTES:
        raise ValueError(f"it has more than {ENTRY_BYTES:,} bytes")
    return content


@contextmanager
def _turn(path: Path, most_s: int) -> Iterator[None]:
    """Wait until no other process reads a file, but not longer than some seconds.

    Continue at once if that cannot be known: no cache, or a file system without locks.
    """
    lock = _cache_file(path).with_suffix(".lock")
    descriptor = None
    try:
        with suppress(OSError, ValueError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = open_regular(lock, os.O_RDWR | os.O_CREAT)
            _wait_for(descriptor, path.name, most_s)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _wait_for(descriptor: int, name: str, most_s: int) -> None:
    """Take a lock; return without it at the deadline, OSError if the file system has no locks."""
    has_lock = _try_lock(descriptor)
    if has_lock:
        return
    for _ in track(range(most_s), f"seconds of waiting for the process that reads {name}"):
        for _ in range(LOOKS_A_SECOND):
            has_lock = has_lock or _try_lock(descriptor)
            time.sleep(0 if has_lock else 1 / LOOKS_A_SECOND)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def changed_files(digests: Mapping[str, FileDigest]) -> list[str]:
    """Return the names of the files that were written to, replaced or removed since."""
    return [name for name, digest in digests.items() if _now(digest) != digest.state]


def _now(digest: FileDigest) -> FileState | None:
    try:
        return FileState.of(Path(digest.path))
    except OSError:
        return None
