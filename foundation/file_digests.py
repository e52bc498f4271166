"""SHA-256 of large files that seldom change, computed once by a user on a host.

A digest is kept under the path together with what the file system says of the file: size, both
times, device and inode. A file that was written to, replaced or renamed is read again. The time of
change is among them because no program can set it back, as it can the time of modification.
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

import msgspec

from savs.foundation.files import real_path, whole_file

KEPT_BYTES = 2**26
"""Digests of smaller files are not kept: reading them takes less than a tenth of a second."""
SETTLED_S = 2.0
"""Digests of files that changed less long ago are not kept: the clock of a file system may tick
slowly, and a later change would have the same time."""
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
    sha256: str


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

    Processes of a host that need the same file wait for the one that reads it.

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
    with _turn(path):
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
    with path.open("rb") as file:
        return FileDigest(str(path), state, hashlib.file_digest(file, "sha256").hexdigest())


def _cached(path: Path, state: FileState) -> FileDigest | None:
    digest = _IN_PROCESS.get(path)
    if digest is None:
        try:
            digest = msgspec.json.decode(_cache_file(path).read_bytes(), type=FileDigest)
        except (OSError, ValueError, RecursionError):  # damaged files count as absent
            return None
    return digest if (digest.path, digest.state) == (str(path), state) else None


def _cache_file(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return cache_folder() / "digests" / f"{name}.json"


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other process reads a file; continue at once if that cannot be known."""
    file = None
    with suppress(OSError):  # no cache, or a file system without locks: each reads for itself
        lock = _cache_file(path).with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if file is not None:
            file.close()


def changed_files(digests: Mapping[str, FileDigest]) -> list[str]:
    """Return the names of the files that were written to, replaced or removed since."""
    return [name for name, digest in digests.items() if _now(digest) != digest.state]


def _now(digest: FileDigest) -> FileState | None:
    try:
        return FileState.of(Path(digest.path))
    except OSError:
        return None
