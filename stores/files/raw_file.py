"""The bytes of a file that is there or behind an address, read in pieces."""

import os
import stat
from types import TracebackType
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import REPAIR, StoreCorruptError, StoreError, StoreReadError
from savs.stores.files.paths import is_remote, open_bytes


class RawFile:
    """A file that is open for reading.

    Raises
    ------
    StoreReadError
        It may not or cannot be read.
    StoreCorruptError
        It is no file.
    """

    def __init__(self, path: Any) -> None:
        self.path = path
        self.where = str(path)
        self._is_remote = is_remote(path)
        try:
            if not self._is_remote:
                self._require_file()
            self.file = open_bytes(path)
            self.size_bytes: int = self.file.seek(0, 2)
        except Exception as error:
            raise self.refused(error) from error

    def __enter__(self) -> "RawFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def fill(self, values: Array, offset: int) -> None:
        """Fill a C-contiguous array with the bytes from `offset` on.

        Raises
        ------
        StoreReadError
            The disk or the network refuses.
        StoreCorruptError
            The file ends before.
        """
        if not values.nbytes:
            return
        try:
            self.file.seek(offset)
            done = self.file.readinto(values.data)
            while done < values.nbytes:  # the kernel gives two gigabytes at once at most
                rest = values.reshape(-1).view(np.uint8)[done:]
                count = self.file.readinto(rest.data)
                if not count:
                    raise StoreCorruptError(
                        f"{self.where} ends {len(rest):,} bytes early; {REPAIR}"
                    )
                done += count
        except Exception as error:
            raise self.refused(error) from error

    def require_same(self) -> None:
        """Raise StoreReadError where another file bears the name by now."""
        if self._is_remote:
            return
        if not os.path.samestat(os.fstat(self.file.fileno()), self.path.stat()):
            raise StoreReadError(f"{self.where} was replaced while it was read; read it again")

    def _require_file(self) -> None:
        mode = self.path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise StoreCorruptError(f"{self.where} is {what}, not a shard; move it away")

    def refused(self, error: Exception) -> Exception:
        """Return what to raise for an error: a network's have many types, a disk's have one."""
        known = isinstance(error, StoreError | MemoryError)
        if known or not (self._is_remote or isinstance(error, OSError)):
            return error
        what = getattr(error, "strerror", None) or error
        return StoreReadError(
            f"{self.where} cannot be read: {what}; check its permissions and the"
            f" {'network' if self._is_remote else 'disk'}"
        )
