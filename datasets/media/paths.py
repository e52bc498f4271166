"""Paths of media below one folder; paths of another machine are matched by their longest end."""

import ntpath
import os
from pathlib import Path, PurePosixPath


def locate(root: Path, name: str, *, outside: bool = False) -> Path | None:
    """Return the path of a medium, or None if its name leads out of the root.

    An absolute path that is not below the root stands for the longest end of it that exists
    directly below the root. A relative name need not exist; unless a file is called so, its
    backslashes separate folders.

    Parameters
    ----------
    root
        Folder of the media.
    name
        A path relative to the root, or an absolute one of this machine or another, Windows
        included.
    outside
        Allow names that lead out of the root; an absolute path that exists is then taken as it is.
    """
    if not is_foreign(root, name):
        path = absolute(root / name)
        if "\\" in name and not _exists(str(path)):
            path = absolute(root / name.replace("\\", "/"))
        return path if outside or _below(path, absolute(root)) else None
    if outside and _exists(name):
        return absolute(Path(name))
    base, parts = str(absolute(root)), _parts(name)
    ends = ("/".join((base, *parts[start:])) for start in range(len(parts)))
    return next((Path(end) for end in ends if _exists(end)), None)


def is_foreign(root: Path, name: str) -> bool:
    """Return whether a name is an absolute path that is not below the root."""
    if name.startswith("/"):
        return not _below(absolute(Path(name)), absolute(root))
    return _is_of_windows(name)


def absolute(path: Path) -> Path:
    """Return the absolute path without `..`; links are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _below(path: Path, base: Path) -> bool:
    return path == base or str(path).startswith(f"{str(base).rstrip('/')}/")


def _is_of_windows(name: str) -> bool:
    has_drive = name[1:3] in (":\\", ":/") and name[0].isalpha()
    return has_drive or name.startswith("\\")


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of an absolute path behind its root, `..` resolved."""
    path = ntpath.splitdrive(name)[1].replace("\\", "/") if _is_of_windows(name) else name
    return PurePosixPath(os.path.normpath(path)).parts[1:]


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)  # noqa: PTH110 - called for a hundred thousand paths
    except (OSError, ValueError):  # too long, or refused by the system
        return False
