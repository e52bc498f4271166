"""Files that appear under their name whole, or not at all, and folders that stay."""

import errno
import glob
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from savs.foundation.noted_files import note
from savs.foundation.processes import process_has_ended, process_space, process_start

PARTIAL = ".partial"
"""What the name of an unfinished file ends in; its writer removes it, or left it when it died."""
_TAG = re.compile(
    rf"\w*-(?P<pid>\d+)-(?P<started>\d*)-(?P<space>[0-9a-f]{{8}})-[0-9a-f]{{8}}{re.escape(PARTIAL)}.*"
)


@contextmanager
def whole_file(
    path: Path,
    *,
    replace: bool = True,
    keep_suffix: bool = False,
    before_naming: Callable[[], None] = lambda: None,
) -> Iterator[Path]:
    """Yield a new path beside `path` to write to; when the block ends it gets the path's name.

    The content is on the disk before the name is. Where the block raises, nothing is left.

    Parameters
    ----------
    path
        The final name, in a folder that is there.
    replace
        Replace a file of that name.
    keep_suffix
        End the partial name in the suffix of `path`, for writers that go by it.
    before_naming
        Called when the content is there and the name is not; what it raises prevents the name.

    Raises
    ------
    FileExistsError
        The file exists, and `replace` is not set; it stays as it is.
    OSError
        The disk cannot be written.
    """
    name = f"{path.name}.{_tag()}{PARTIAL}"
    partial = path.with_name(name + path.suffix if keep_suffix else name)
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


@contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """Keep an empty unfinished file of a path while the block runs, and where it is killed.

    Of a folder that gets several files, `left_overs_of` then says that it did not get all.
    """
    mark = path.with_name(f"{path.name}.{_tag()}{PARTIAL}")
    try:
        mark.touch()
        _keep_names(path.parent)
        yield
    finally:
        mark.unlink(missing_ok=True)


def remove_left_overs(path: Path) -> None:
    """Remove what writers of a file left that were killed, as far as that is known of them.

    Those of other hosts and containers may live, so their unfinished files stay.
    """
    for partial in left_overs_of(path):
        with suppress(OSError):  # it is in nobody's way
            partial.unlink()


def left_overs_of(path: Path) -> list[Path]:
    """Return the unfinished files of a path whose writers are known to have ended."""
    space, left = _space_digest(), []
    for partial in path.parent.glob(f"{glob.escape(path.name)}.*{PARTIAL}*"):
        found = _TAG.fullmatch(partial.name, len(path.name) + 1)
        if (
            found is not None
            and found["space"] == space
            and process_has_ended(int(found["pid"]), found["started"])
        ):
            left.append(partial)
    return left


def _tag() -> str:
    """Return what no other writer has: equal process numbers may run on several hosts."""
    host, pid = re.sub(r"\W", "_", socket.gethostname()), os.getpid()
    return f"{host}-{pid}-{process_start(pid) or ''}-{_space_digest()}-{secrets.token_hex(4)}"


def _space_digest() -> str:
    return hashlib.sha256(process_space().encode()).hexdigest()[:8]


def publish(partial: Path, path: Path, *, replace: bool) -> None:
    """Give a finished file its final name, and make the name durable, where that can be done.

    Raises
    ------
    FileExistsError
        The name is taken, and `replace` is not set.
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
    """Make a folder, and those above it, unless they are there; their names are durable then.

    Raises
    ------
    OSError
        The disk cannot be written, or a file has the name.
    """
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in new:
        _keep_names(folder.parent)


def _keep_names(folder: Path) -> None:
    """Make the names in a folder durable, unless we may write in it, but not open it."""
    with suppress(OSError):
        make_durable(folder)
