"""What a writer of a store reports where the disk refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from savs.foundation.errors import SavsError
from savs.foundation.files import FULL
from savs.stores.errors import StoreWriteError

RESUME = "finished shards are kept; run the same command again to resume"


@contextmanager
def write_errors(path: Path, safe: str = RESUME) -> Iterator[None]:
    """Turn errors of the disk into one line that says what is safe and what to do."""
    try:
        yield
    except (SavsError, BlockingIOError, FileExistsError):
        raise
    except PermissionError as error:
        raise StoreWriteError(
            f"{path} cannot be written: {error.strerror}; pass a folder that you may write as --out"
        ) from error
    except OSError as error:
        what = "the disk is full" if error.errno in FULL else f"the disk cannot be written: {error}"
        raise StoreWriteError(f"{path}: {what}; {safe}") from error
