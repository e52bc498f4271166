"""How damage is found and named: checksums of what is read, one kind of error for all else."""

from typing import Any

import numpy as np
from zlib_ng import zlib_ng

from savs.foundation.arrays import Array
from savs.foundation.errors import SavsError
from savs.stores.errors import REPAIR, StoreCorruptError


class damage:  # noqa: N801, used as a function is; contextlib's way takes twice as long
    """Turn whatever reading damaged bytes raises into a StoreCorruptError that says where."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, SavsError | MemoryError):
            return
        if isinstance(error, Exception):  # HDF5, numpy, polars and JSON each have their own
            raise StoreCorruptError(
                f"{self._where} is damaged: {type(error).__name__}: {error}; {REPAIR}"
            ) from error


def crc32(array: Array) -> int:
    """Return the CRC-32 of an array's bytes."""
    return zlib_ng.crc32(np.ascontiguousarray(array))
