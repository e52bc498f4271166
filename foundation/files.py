"""Files of this host: written whole or not at all, taken back, read with care.

A writer works on an unfinished file whose name tells the host, the process and its start; the
finished one gets its name in one step. So a reader never sees half a file, and what a killed writer
left is known to be nobody's. A file that is read must be one that ends, and errors of the disk are
those that Python raises, whichever library met them.
"""

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

PARTIAL = ".partial"
"""What the name of an unfinished file ends in; its writer removes it, or left it when it died."""
_UNFINISHED = re.compile(
    r"(?P<name>.+?)\.\w*-(?P<pid>\d+)-(?P<started>\d*)-(?P<space>[0-9a-f]{8})-[0-9a-f]{8}"
    rf"{re.escape(PARTIAL)}",
    re.DOTALL | re.ASCII,
)


@contextmanager
def whole_file(
    path: Path,
    *,
    replace: bool = True,
    before_naming: Callable[[], None] = lambda: None,
) -> Iterator[Path]:
    """Yield a new path next to `path` to write to; when the block ends it gets the path's name.

    The content is on the disk before the name is. Where the block raises, nothing is left.

    `before_naming` is called when the content is there and the name is not; what it raises prevents
    the name.

    Raises
    ------
    FileExistsError
        The file exists, and `replace` is not set; it stays as it is.
    OSError
        The disk cannot be written.
    """
    partial = path.with_name(f"{path.name}.{_tag()}{PARTIAL}")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    try:
        yield partial
        before_naming()
        make_durable(partial)
        note(path, partial)
        publish(partial, path, replace=replace)
    finally:
        partial.unlink(missing_ok=True)


READY = ".new"
"""Folder of files that are whole, and about to take their places in the folder around it."""


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; when the block ends, its files take their places in `folder` together.

    An empty file removes the one of its name. Where the block raises, or the process is killed
    before its end, `folder` stays as it was. From the renaming to `READY` on, all files are on the
    disk: `finish_files` ends what a killed writer left between then and the last name. A folder
    that others use, a mounted one, or that of the user's shell thus stays the same folder.

    Raises
    ------
    OSError
        The disk cannot be written.
    """
    was_there = folder.exists()
    make_folder(folder)
    finish_files(folder)
    for left in left_overs(folder, READY):
        shutil.rmtree(left, ignore_errors=True)
    new = folder / f"{READY}.{_tag()}{PARTIAL}"
    try:
        new.mkdir()
        yield new
        for file in new.iterdir():
            make_durable(file)
            note(folder / READY / file.name, file)
        _keep_names(new)
        _rename_in_turn(new, folder / READY)
        _keep_names(folder)
        finish_files(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if not was_there:
            with suppress(OSError):  # it has files
                folder.rmdir()


def _rename_in_turn(new: Path, ready: Path) -> None:
    """Rename a folder; what other writers have renamed in the same moment is finished before."""
    for tries in range(100):
        try:
            new.rename(ready)
            return
        except OSError as error:  # by now the other folder may be gone
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or tries == 99:
                raise
            finish_files(ready.parent)


def finish_files(folder: Path) -> None:
    """Give whole files their places, if a writer of `whole_files` was killed after its last one.

    Several processes may do it at once. Where we may not write, all stays as it is.
    """
    ready = folder / READY
    if not ready.is_dir():
        return
    with suppress(OSError):
        for file in ready.iterdir():
            with suppress(FileNotFoundError):  # another process was faster
                if file.stat().st_size:
                    note(folder / file.name, file)
                    file.replace(folder / file.name)
                else:
                    (folder / file.name).unlink(missing_ok=True)
                    file.unlink()
        _keep_names(folder)
        ready.rmdir()


@contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """Keep an empty unfinished file of a path while the block runs, and where it is killed.

    Of a folder that gets several files, `left_overs` then says that it did not get all.
    """
    mark = path.with_name(f"{path.name}.{_tag()}{PARTIAL}")
    try:
        mark.touch()
        _keep_names(path.parent)
        yield
    finally:
        mark.unlink(missing_ok=True)


def left_overs(folder: Path, name: str | None = None) -> list[Path]:
    """Return the unfinished files in a folder, or of one name, of writers known to have ended.

    Those of other hosts and containers may live, so their files are not among them.
    """
    pattern = "*" if name is None else glob.escape(name)
    left = []
    for partial in folder.glob(f"{pattern}.*{PARTIAL}"):
        tag = _UNFINISHED.fullmatch(partial.name)
        if (
            tag is not None
            and name in (None, tag["name"])
            and tag["space"] == _space_digest()
            and process_has_ended(int(tag["pid"]), tag["started"])
        ):
            left.append(partial)
    return left


def remove_left_overs(folder: Path, name: str | None = None) -> None:
    """Remove what `left_overs` returns."""
    for partial in left_overs(folder, name):
        with suppress(OSError):  # it is in nobody's way
            partial.unlink()


def _tag() -> str:
    """Return what no other writer has: equal process numbers may run on several hosts."""
    host, pid = re.sub(r"\W", "_", socket.gethostname()), os.getpid()
    return f"{host}-{pid}-{process_start(pid) or ''}-{_space_digest()}-{secrets.token_hex(4)}"


def _space_digest() -> str:
    return hashlib.sha256(process_space().encode()).hexdigest()[:8]


def publish(partial: Path, path: Path, *, replace: bool) -> None:
    """Give a finished file its final name, and make the name durable, where that can be done.

    FileExistsError if the name is taken, and `replace` is not set.
    """
    if replace:
        os.replace(partial, path)
    else:
        _name_once(partial, path)
    _keep_names(path.parent)


def _name_once(partial: Path, path: Path) -> None:
    """Name a file by a hard link, which fails if the name is taken, even in a race."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        partial.rename(path)
    else:
        partial.unlink()


def make_durable(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless they are there; their names are durable then."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in new:
        _keep_names(folder.parent)


def _keep_names(folder: Path) -> None:
    """Make the names in a folder durable, unless we may write in it, but not open it."""
    with suppress(OSError):
        make_durable(folder)


Noted = list[tuple[Path, os.stat_result]]
"""Names, and the files that have them, or were about to get them."""
_NOTED: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def noted_files() -> Iterator[Noted]:
    """Yield a list to which `whole_file` adds what it writes in the block, just before the name.

    So an interruption at any moment finds it, see `remove_noted`. A block around this one has what
    both wrote.
    """
    noted: Noted = []
    around = _NOTED.get()
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)
        if around is not None:
            around.extend(noted)


def note(path: Path, file: Path) -> None:
    """Add a file to the list of `noted_files`, as what has, or gets, a name."""
    if (noted := _NOTED.get()) is not None:
        noted.append((path, file.stat()))


def remove_noted(noted: Noted) -> None:
    """Remove files unless others have taken their place."""
    for path, ours in noted:
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), ours):
                path.unlink()


def remove_empty(folder: Path) -> None:
    """Remove the folders in a folder that are empty, and itself if nothing is left in it."""
    for place in sorted([folder, *filter(Path.is_dir, folder.rglob("*"))], reverse=True):
        with suppress(OSError):  # it has files of others
            place.rmdir()


def regular_size(path: Path, most_bytes: int = sys.maxsize) -> int:
    """Return a file's size in bytes.

    Raises
    ------
    ValueError
        It is a pipe or a device, or has more than `most_bytes`.
    OSError
        It is a folder, does not exist, or may not be looked at.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > most_bytes:
        raise ValueError(f"it has more than {most_bytes:,} bytes")
    return status.st_size


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file; errors as of `regular_size`."""
    regular_size(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file and return its descriptor; a link is not followed, a pipe not waited for.

    Raises
    ------
    ValueError
        It is a folder, a pipe or a device.
    OSError
        It is a link, does not exist, or may not be opened.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    return descriptor


def read_regular_text(path: Path, most_bytes: int = sys.maxsize) -> str:
    """Return the text of a file, without a byte order mark; ValueError if it is not UTF-8.

    Other errors are those of `regular_size`.
    """
    regular_size(path, most_bytes)
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error


def is_utf8(name: str) -> bool:
    """Return whether the name of a file is UTF-8, so that tables can hold it; others are bytes."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def real_path(path: Path) -> Path:
    """Return an absolute path without links; links that lead in a circle stay as they are.

    `Path.resolve` raises a RuntimeError for these up to Python 3.12.
    """
    return Path(os.path.realpath(path))


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors for no space, no quota, and a file that may not grow."""
UNUSABLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM)
"""Numbers of the errors for a path that cannot be looked at, whoever gave it."""
_CODE = re.compile(r"\(os\s+error\s+(\d+)\)", re.ASCII)


@contextmanager
def native_disk_errors() -> Iterator[None]:
    """Raise what Rust code reports of the operating system as the OSError that Python would raise.

    Polars and safetensors have errors of their own for a full disk. Other errors pass.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        code = _CODE.search(str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


PROC = Path("/proc")


def process_space() -> str:
    """Return boot and process namespace: containers may have equal names and numbers."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {uuid.getnode():x}"


def process_start(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; None if that is not shown.

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
    start = process_start(pid)
    if start is None:  # not Linux, or /proc hides the processes of other users
        return not _answers(pid)
    return start != started


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the second: no process has such a number
        return False
    except OSError:
        return True
    return True


def indented(value: Any) -> str:
    """Return a value as JSON with an indent of one space a level.

    Faster than `json.dumps(indent=1)`, which does without its C code then.

    Raises
    ------
    ValueError
        It holds NaN or infinity, which JSON has not, or text that is not Unicode.

    Examples
    --------
    >>> print(indented({"heads": [3, 1], "label": "Käse"}))
    {
     "heads": [
      3,
      1
     ],
     "label": "Käse"
    }
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return msgspec.json.format(text, indent=1)
