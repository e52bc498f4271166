"""Claims in object storage: an object is made on condition that it is not there."""

import time
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from savs.stores.errors import StoreWriteError
from savs.stores.files.object_store import (
    attempted,
    create_object,
    object_names,
    put_object,
    read_object,
)
from savs.stores.files.paths import is_remote
from savs.stores.format.layout import CLAIMS
from savs.stores.write.claim_files import ClaimFiles, ClaimStorage


def claim_storage(place: Any) -> ClaimStorage:
    """Return where the claims of a store lie, a folder or a URL."""
    return ClaimObjects(place) if is_remote(place) else ClaimFiles(place)


class ClaimObjects:
    """Claims below a URL. Writing an object is one step there, so nothing is left unfinished."""

    def __init__(self, store: Any) -> None:
        self._folder = store / CLAIMS

    def require_conditions(self, name: str) -> None:
        """Raise StoreWriteError unless the storage makes an object only where there is none."""
        probe = self._folder / name
        try:
            kept = create_object(probe, b"1") and not create_object(probe, b"2")
        except (TypeError, NotImplementedError):
            kept = False
        finally:
            self.remove(name)
        if not kept:
            raise StoreWriteError(
                f"{self._folder.parent}: this storage does not write on condition, so processes"
                " cannot share a store in it; extract into a folder and copy that"
            )

    def create(self, name: str, data: bytes) -> bool:
        """Make an object that is not there; False where it is."""
        return create_object(self._folder / name, data)

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whether it is there or not."""
        put_object(self._folder / name, data)

    def read(self, name: str) -> bytes | None:
        """Return what is in an object; None where it is not there."""
        return read_object(self._folder / name)

    def written_s(self, name: str) -> float | None:
        """Return when an object was written, by the server's clock; None where it is not there."""
        place = self._folder / name

        def look() -> datetime | None:
            try:
                return place.fs.modified(place.path)
            except FileNotFoundError:
                return None

        try:
            found = attempted(place, look)
        except StoreWriteError:
            return None
        return found.timestamp() if found else None

    def now_s(self) -> float:
        """Return the time of an object that is made now, and removed again."""
        name, found = f"{uuid4().hex}.clock", None
        with suppress(OSError):  # StoreWriteError, too
            self.put(name, b"")
            found = self.written_s(name)
            self.remove(name)
        return time.time() if found is None else found

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
