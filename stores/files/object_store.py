"""Objects at a URL that can be written: S3, Google Cloud Storage, Azure, by fsspec."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from savs.foundation.errors import SavsError
from savs.foundation.files import whole_file
from savs.stores.errors import AnswerError, StoreWriteError
from savs.stores.files.addresses import reason

T = TypeVar("T")
ATTEMPTS = 5
"""How often a request is made that fails for other reasons than its answer."""
PAUSE_S = 0.5
"""Before the second attempt; it doubles."""


def write_whole(
    place: Any,
    data: bytes | memoryview,
    *,
    replace: bool,
    before_naming: Callable[[], None] = lambda: None,
) -> None:
    """Write a file, or an object, whole or not at all; `before_naming` is called just before that.

    An object may take some attempts: it is called before each. FileExistsError if it is there,
    and `replace` is not set; OSError if it cannot be written.
    """
    if isinstance(place, Path):
        with whole_file(place, replace=replace, before_naming=before_naming) as partial:
            partial.write_bytes(data)
        return
    if replace:
        put_object(place, bytes(data), before_naming)
    elif not create_object(place, bytes(data), before_naming):
        raise FileExistsError(f"{place} exists")


def create_object(
    place: Any, data: bytes, before_naming: Callable[[], None] = lambda: None
) -> bool:
    """Make an object that is not there; False if another one is.

    A connection may be cut after the request: then the object is there, and it is ours.
    """

    def create() -> bool:
        try:
            place.fs.pipe_file(place.path, data, mode="create")
        except FileExistsError:
            return _has(place, data)
        except Exception as error:
            status = _s3_status(error)  # s3fs knows only the words of AWS
            if status == 412:
                return _has(place, data)
            if status == 501:
                raise NotImplementedError(f"{place}: no writing on condition") from error
            raise
        return True

    return attempted(place, create, before_naming)


def _s3_status(error: Exception) -> int | None:
    answer = getattr(error.__cause__, "response", None)
    if not isinstance(answer, Mapping):  # of another library
        return None
    return answer.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _has(place: Any, data: bytes) -> bool:
    """Return whether an object is there with this content.

    Then the answer to an earlier attempt was lost, of ours or of the library, which repeats
    requests by itself.
    """
    try:
        is_as_large = place.fs.size(place.path) == len(data)
    except FileNotFoundError:
        return False
    return is_as_large and read_object(place) == data


def put_object(place: Any, data: bytes, before_naming: Callable[[], None] = lambda: None) -> None:
    """Write an object, whether it is there or not; `before_naming` is called at each attempt."""
    attempted(place, lambda: place.fs.pipe_file(place.path, data), before_naming)


def read_object(place: Any) -> bytes | None:
    """Return what is in an object; None if it is not there."""

    def read() -> bytes | None:
        try:
            return place.fs.cat_file(place.path)
        except FileNotFoundError:
            return None

    return attempted(place, read)


def file_names(place: Any) -> set[str]:
    """Return the names of all files in a folder, or directly below a URL, by one look."""
    if not isinstance(place, Path):
        return set(object_names(place))
    with os.scandir(place) as entries:
        return {entry.name for entry in entries}


def object_names(place: Any) -> list[str]:
    """Return the names of what is directly below a URL; a listing may name other places, too."""

    def look() -> list[str]:
        try:
            listed = place.fs.ls(place.path, detail=False, refresh=True)
        except FileNotFoundError:
            return []
        below = [path.rstrip("/").rpartition("/") for path in listed]
        here = place.path.rstrip("/").rpartition("://")[2]
        return [name for folder, _, name in below if folder == here and name not in (".", "..")]

    return attempted(place, look)


def attempted(place: Any, act: Callable[[], T], before: Callable[[], None] = lambda: None) -> T:
    """Return what a request gives; one that fails is made again, some times.

    `before` is called before each attempt; what it raises ends them. StoreWriteError if the
    request fails each time, or the answer is one that no server may give.
    """
    pause_s = PAUSE_S
    for attempt in range(ATTEMPTS):
        before()
        try:
            return act()
        except (SavsError, PermissionError, TypeError, NotImplementedError):
            raise
        except Exception as error:  # each library has exceptions of its own for networks
            if attempt == ATTEMPTS - 1 or isinstance(error, AnswerError):
                raise StoreWriteError(
                    f"{place}: {reason(error)}; check the network and your rights, then run the"
                    " same command again"
                ) from error
            time.sleep(pause_s)
            pause_s *= 2
    raise AssertionError("the last attempt returns or raises")
