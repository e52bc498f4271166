"""The bytes of a file on disk or at a URL, read in pieces."""

from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import SavsError, reason_of
from savs.foundation.files import regular_size
from savs.stores.errors import REPAIR, AnswerError, StoreCorruptError, StoreReadError
from savs.stores.files.addresses import is_remote, open_bytes, reason, underlying

FORBIDDEN = 403
"""What a bucket says of a file that is not there, to those who may not list it."""


class RawFile:
    """A file that is open for reading; StoreReadError, StoreCorruptError if it is not regular."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self.where = str(path)
        self._is_remote = is_remote(path)
        try:
            if not self._is_remote:
                self._require_regular()
            self.file = open_bytes(path)
            self.size_bytes: int = self.file.seek(0, 2)
        except Exception as error:
            cause = underlying(error, path) if self._is_remote else error
            raise self._refused(cause) from cause

    def __enter__(self) -> "RawFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def fill(self, values: Array, offset: int) -> None:
        """Fill a C-contiguous array; StoreReadError, StoreCorruptError at an early end."""
        if not values.nbytes:
            return
        try:
            self.file.seek(offset)
            done = self.file.readinto(values.data)
            while done < values.nbytes:  # the kernel gives two gigabytes at once at most
                rest = values.reshape(-1).view(np.uint8)[done:]
                count = self.file.readinto(rest.data)
                if not count and self._is_remote:
                    raise AnswerError(
                        f"the server sent {len(rest):,} bytes fewer than were asked for"
                    )
                if not count:
                    raise StoreCorruptError(
                        f"{self.where} ends {len(rest):,} bytes early; {REPAIR}"
                    )
                done += count
        except Exception as error:
            raise self._refused(error) from error

    def read_all(self, most: int) -> bytes:
        """Return all bytes of the file; StoreCorruptError if they are more than `most`."""
        if self.size_bytes > most:
            raise StoreCorruptError(
                f"{self.where} has {self.size_bytes:,} bytes, more than {most:,}, so it is not of a"
                " feature store; get it again"
            )
        values = np.empty(self.size_bytes, np.uint8)
        self.fill(values, 0)
        return values.tobytes()

    def _require_regular(self) -> None:
        try:
            regular_size(self.path)
        except (IsADirectoryError, ValueError) as error:
            what = "a folder" if isinstance(error, OSError) else "not a regular file"
            raise StoreCorruptError(
                f"{self.where} is {what}, expected a file; move it away"
            ) from error

    def _refused(self, error: Exception) -> Exception:
        """Return what to raise for an error: a network's have many types, a disk's have one."""
        known = isinstance(error, SavsError | MemoryError)
        if known or not (self._is_remote or isinstance(error, OSError)):
            return error
        what = reason(error) if self._is_remote else reason_of(error)
        return StoreReadError(
            f"{self.where} cannot be read: {what}; check its permissions and the"
            f" {'network' if self._is_remote else 'disk'}"
        )


def size_bytes(path: Any) -> int | None:
    """Return how large a file is, None if it is not there; a server that fails is an error."""
    if not is_remote(path):
        return path.stat().st_size if path.exists() else None
    try:
        with RawFile(path) as file:
            return file.size_bytes
    except StoreReadError as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) == FORBIDDEN:
            return None
        raise
