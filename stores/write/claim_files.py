"""Where claims lie: small files in the folder `claims` of a store."""

import errno
import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from savs.foundation.files import PARTIAL
from savs.stores.errors import StoreWriteError
from savs.stores.files.addresses import is_remote
from savs.stores.files.object_store import (
    attempted,
    create_object,
    object_names,
    put_object,
    read_object,
)
from savs.stores.format.layout import CLAIMS

NEW = ".new"
"""What the name of a file ends in that is to replace another one."""
MOST_BYTES = 2**16
"""Of a claim or a sign no more is read."""
ATTEMPTS = 5
"""How often a file is opened anew that another host replaced or removed while it was read."""

T = TypeVar("T")


class ClaimFiles:
    """Claims on a disk. Nothing but exclusive creation is asked of it: no locks, no clock."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._folder = store / CLAIMS
        if self._folder.is_symlink():
            raise StoreWriteError(
                f"{self._folder} is a link to {self._folder.readlink()}; move it away"
            )

    def create(self, name: str, data: bytes) -> bool:
        """Make a file that is not there; False if it is."""
        try:
            self._write(name, data, os.O_EXCL)
        except FileExistsError:
            return False
        return True

    def put(self, name: str, data: bytes) -> None:
        """Write a file, or replace it as a whole: only one thread may do that."""
        self._write(name + NEW, data, os.O_TRUNC)
        os.replace(self._folder / (name + NEW), self._folder / name)

    def _write(self, name: str, data: bytes, how: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how
        while True:
            try:
                descriptor = os.open(self._folder / name, flags, 0o666)
                break
            except FileNotFoundError:  # the folder goes with the last claim in it
                self._folder.mkdir(exist_ok=True)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    def read(self, name: str) -> bytes | None:
        """Return what is in a file; None if it is not there, nothing of a link or a pipe."""
        return _opened_anew(lambda: self._read(name))

    def _read(self, name: str) -> bytes | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self._folder / name, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return b""
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return b""
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MOST_BYTES)

    def written_s(self, name: str) -> float | None:
        """Return when a file was written, by the disk's clock; None if it is not there."""
        try:
            return (self._folder / name).lstat().st_mtime
        except FileNotFoundError:
            return None

    def now_s(self) -> float:
        """Return the time of a file that is made now, which goes again at once."""
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; a folder, which no process makes, stays."""
        for path in (self._folder / name, self._folder / (name + NEW)):
            if not path.is_dir() or path.is_symlink():
                path.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all files."""
        return _opened_anew(self._names)

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._folder) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

    def remove_unfinished(self, target: str) -> None:
        """Remove what earlier claimers have not published, so that they no longer can."""
        for path in self._store.iterdir():
            if path.name.startswith(f"{target}.") and path.name.endswith(PARTIAL):
                path.unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Remove the folder, if nothing is in it."""
        with suppress(OSError):
            self._folder.rmdir()


def _opened_anew(read: Callable[[], T]) -> T:
    """Return what `read` finds; where NFS has lost the file meanwhile, it is called again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()


class ClaimObjects:
    """Claims below a URL. Writing an object is one step there, so nothing is left unfinished."""

    def __init__(self, store: Any) -> None:
        self._folder = store / CLAIMS

    def require_conditions(self, name: str) -> None:
        """Raise StoreWriteError unless the storage makes an object only if there is none."""
        probe = self._folder / name
        try:
            is_conditional = create_object(probe, b"1") and not create_object(probe, b"2")
        except (TypeError, NotImplementedError):
            is_conditional = False
        finally:
            self.remove(name)
        if not is_conditional:
            raise StoreWriteError(
                f"{self._folder.parent}: this storage does not write on condition, so processes"
                " cannot share a store in it; extract into a folder and copy that"
            )

    def create(self, name: str, data: bytes) -> bool:
        """Make an object that is not there; False if it is."""
        return create_object(self._folder / name, data)

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whether it is there or not."""
        put_object(self._folder / name, data)

    def read(self, name: str) -> bytes | None:
        """Return what is in an object; None if it is not there."""
        return read_object(self._folder / name)

    def written_s(self, name: str) -> float | None:
        """Return when an object was written, by the server's clock; None if it is not there."""
        place = self._folder / name

        def look() -> datetime | None:
            try:
                return place.fs.modified(place.path)
            except FileNotFoundError:
                return None

        try:
            modified = attempted(place, look)
        except StoreWriteError:
            return None
        return modified.timestamp() if modified else None

    def now_s(self) -> float:
        """Return the time of an object that is made now, and removed again."""
        name, written_s = f"{uuid4().hex}.clock", None
        with suppress(OSError):  # StoreWriteError, too
            self.put(name, b"")
            written_s = self.written_s(name)
            self.remove(name)
        return time.time() if written_s is None else written_s

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        place = self._folder / name

        def remove() -> None:
            with suppress(FileNotFoundError):
                place.fs.rm_file(place.path)

        attempted(place, remove)

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return object_names(self._folder)

    def remove_unfinished(self, target: str) -> None:
        """Do nothing: an object that was not written whole is not there."""

    def remove_if_empty(self) -> None:
        """Do nothing: there are no folders."""


ClaimStorage = ClaimFiles | ClaimObjects
"""What claims need of a store's place: files that one process alone can make, and their times."""


def claim_storage(place: Any) -> ClaimStorage:
    """Return the storage of a store's claims, a folder or a URL."""
    return ClaimObjects(place) if is_remote(place) else ClaimFiles(place)
