"""One writer a rank: a lock file that a dead process cannot keep."""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from savs.stores.errors import StoreLockedError

_PARTIAL_SHARD = re.compile(r".+-\d+\.h5\.(\d+)\.")
"""Name of an unfinished shard, with the rank of its writer."""


def lock_name(rank: int) -> str:
    """Return the name of a rank's lock file."""
    return f"writer-{rank}.lock"


@contextmanager
def writer_lock(folder: Path, rank: int) -> Iterator[str | None]:
    """Hold a rank's lock; yields a message where a dead writer's lock was taken over, else None.

    The kernel frees the lock when its process ends, however it ends, so a process number that
    another program bears by now is not mistaken for a live writer.

    Raises
    ------
    StoreLockedError
        A live process holds the lock; the message names its host and process.
    """
    path = folder / lock_name(rank)
    with _locked(path, rank) as file:
        file.seek(0)
        before = file.read()
        file.truncate(0)
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "rank": rank}
        file.write(json.dumps(holder) + "\n")
        file.flush()
        try:
            yield f"took over the lock of {_who(before)}, which is gone" if before else None
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, rank: int) -> Iterator[IO[str]]:
    import fcntl  # not on Windows, where stage 2 alone runs

    while True:
        with path.open("a+", encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise StoreLockedError(
                    f"{path.parent} is being written as rank {rank} by {_who(file.read())}; wait"
                    " for it, stop it, or give this process another --rank"
                ) from error
            # The holder before us may have removed the name between our open and our lock.
            if _is_at(path, file):
                yield file
                return


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _who(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def left_overs(folder: Path) -> list[Path]:
    """Return the lock files and partial files in a store whose writers are gone.

    A rank's files are left alone while a process holds its lock, and those of no rank while any
    process holds one.
    """
    names = filter(Path.is_file, sorted(folder.glob("writer-*.lock")))
    locks = {path: _is_held(path) for path in names}
    live = {path.name for path, held in locks.items() if held}
    found = [path for path, held in locks.items() if not held]
    for path in filter(Path.is_file, sorted(folder.glob("*.partial"))):
        shard = _PARTIAL_SHARD.match(path.name)
        if not (live & {lock_name(int(shard[1]))} if shard else live):
            found.append(path)
    return found


def remove_partial_shards(folder: Path, rank: int) -> None:
    """Remove the unfinished shards of a rank whose lock this process holds: their writer died."""
    for path in folder.glob("*.partial"):
        shard = _PARTIAL_SHARD.match(path.name)
        if shard and int(shard[1]) == rank:
            path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # held, or another user's: whoever may not look leaves it alone
        return True
    return False
