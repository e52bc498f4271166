"""Errors of the disk: which mean that it is full, and those that Rust libraries report as text."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors for no space, no quota, and a file that may not grow."""
UNUSABLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM)
"""Numbers of the errors for a path that cannot be looked at, whoever gave it."""
_CODE = re.compile(r"\(os\s+error\s+(\d+)\)")


@contextmanager
def native_disk_errors() -> Iterator[None]:
    """Raise what Rust code reports of the operating system as the OSError that Python would raise.

    Polars and safetensors have errors of their own for a full disk. Other errors pass.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        found = _CODE.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
