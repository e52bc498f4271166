"""One writer a rank, one change of store.json at a time: lock files that no dead process keeps."""

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from savs.stores.errors import StoreLockedError
from savs.stores.format.layout import MANIFEST

MANIFEST_LOCK = f"{MANIFEST}.lock"
"""Name of the file that is locked while store.json is changed."""
_LOCK = re.compile(rf"writer-\d+\.lock|{re.escape(MANIFEST_LOCK)}")
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
    busy = (
        f"{folder} is being written as rank {rank}",
        "wait for it, stop it, or give this process another --rank",
    )
    with _locked(folder / lock_name(rank), {"rank": rank}, busy) as before:
        yield f"took over the lock of {_who(before)}, which is gone" if before else None


@contextmanager
def manifest_lock(folder: Path) -> Iterator[None]:
    """Hold store.json for a change: to read it, and to write what follows from that.

    Waits for another process that holds it. Writers take it before their own lock, so that none
    starts while it is held.
    """
    with _locked(folder / MANIFEST_LOCK, {}, None):
        yield


@contextmanager
def _locked(path: Path, facts: Mapping[str, int], busy: tuple[str, str] | None) -> Iterator[str]:
    """Lock a file and write into it who holds it; yields what was in it, "" in a new one.

    `busy` is what to say, before and behind the holder, of a file that is locked; None waits.
    """
    import fcntl  # not on Windows, where stage 2 alone runs

    while True:
        with os.fdopen(_open_itself(path), "r+", encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError as error:
                assert busy is not None
                raise StoreLockedError(f"{busy[0]} by {_holder(path)}; {busy[1]}") from error
            # The holder before us may have removed the name between our open and our lock.
            if not _is_at(path, file):
                continue
            try:
                file.seek(0)
                before = file.read()
                file.seek(0)
                file.truncate()
                holder = {"host": socket.gethostname(), "pid": os.getpid(), **facts}
                file.write(json.dumps(holder) + "\n")
                file.flush()
                yield before
            finally:
                path.unlink(missing_ok=True)
            return


def _open_itself(path: Path) -> int:
    """Open or make a file, but not what a link of that name leads to: a lock is overwritten."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def require_no_writer(folder: Path) -> None:
    """Raise StoreLockedError while a live process writes to a store, as any rank."""
    for path in filter(Path.is_file, sorted(folder.glob("writer-*.lock"))):
        if _is_held(path):
            raise StoreLockedError(
                f"{folder} is being written by {_holder(path)}, which holds {path.name}; wait for"
                " it, or stop it"
            )


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return _who(path.read_text("utf-8", errors="replace"))
    except OSError:
        return _who("")


def _who(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def left_overs(folder: Path) -> list[Path]:
    """Return the lock files and partial files in a store whose writers are gone.

    Names of partial files never come twice, so a live writer is known by its lock alone: a rank's
    files are left alone while a process holds its lock, those of store.json while any holds one.
    """
    names = filter(Path.is_file, sorted(folder.glob("*.lock")))
    names = [path for path in names if _LOCK.fullmatch(path.name)]
    locks = {path: _is_held(path) for path in names}
    live = {path.name for path, held in locks.items() if held}
    found = [path for path, held in locks.items() if not held]
    for path in filter(Path.is_file, sorted(folder.glob("*.partial"))):
        shard = _PARTIAL_SHARD.match(path.name)
        owners = live & {lock_name(int(shard[1]))} if shard else live
        if not owners and (shard or path.name.startswith(MANIFEST)):
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
