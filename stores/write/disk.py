"""What a writer asks of the disk, and what it says where the disk refuses."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from savs.foundation.whole_files import whole_file
from savs.stores.errors import StoreWriteError
from savs.stores.format.layout import MANIFEST
from savs.stores.format.manifest import Manifest


def write_manifest(path: Path, manifest: Manifest, *, replace_old: bool = False) -> None:
    """Write store.json, whole or not at all.

    Raises
    ------
    FileExistsError
        There is one already, and `replace_old` is not set.
    """
    with whole_file(path / MANIFEST, replace=replace_old) as partial:
        partial.write_text(manifest.to_text(), encoding="utf-8")


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
