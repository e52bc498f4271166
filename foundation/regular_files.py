"""Files that have an end: a pipe may never give a byte, a device may never stop."""

import errno
import os
import stat
from pathlib import Path


def regular_size(path: Path) -> int:
    """Return a file's size in bytes.

    Raises
    ------
    ValueError
        It is a pipe or a device.
    OSError
        It is a folder, does not exist, or may not be looked at.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a regular file")
    return found.st_size


def read_regular_text(path: Path) -> str:
    """Return the text of a file, which is UTF-8; a mark of the byte order is left out.

    Raises
    ------
    ValueError
        It is a pipe or a device, or it is not UTF-8.
    OSError
        It cannot be read.
    """
    regular_size(path)
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
