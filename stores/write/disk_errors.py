"""What a writer says where the disk refuses."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from savs.stores.errors import StoreWriteError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the disk's refusals into one line that says what is safe and what to do."""
    safe = "the shards that are finished stay as they are; run the same command again to go on"
    try:
        yield
    except (StoreWriteError, BlockingIOError, FileExistsError):
        raise
    except PermissionError as error:
        raise StoreWriteError(
            f"{path} cannot be written: {error.strerror}; give --out a folder of yours"
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else f"the disk refused: {error}"
        raise StoreWriteError(f"{path}: {what}; {safe}") from error
