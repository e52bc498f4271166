"""Where a medium lies: below one folder; paths of another machine by their longest end there."""

import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

INDEXED_FILES = 200_000
"""Files below a folder that are looked at, at most, to name those that may be meant."""
NAMED = 3
"""Files that an error names."""


def locate(root: Path, name: str, *, outside: bool = False) -> Path | None:
    """Return the path of a medium, or None where its name leads out of the root.

    Of an absolute path that is not below the root the longest end counts that is there, from the
    root on. A relative name need not be there.

    Parameters
    ----------
    root
        Folder of the media.
    name
        Relative to the root, or absolute, of this machine or another, Windows included.
    outside
        Whether a name may lead out of the root: an absolute path that is there then counts first.
    """
    if not is_foreign(root, name):
        path = absolute(root / name)
        return path if outside or _below(path, absolute(root)) else None
    if outside and _there(name):
        return absolute(Path(name))
    base, parts = str(absolute(root)), _parts(name)
    ends = ("/".join((base, *parts[start:])) for start in range(len(parts)))
    return next((Path(end) for end in ends if _there(end)), None)


def is_foreign(root: Path, name: str) -> bool:
    """Return whether a name is an absolute path that does not lie below the root."""
    if name.startswith("/"):
        return not _below(absolute(Path(name)), absolute(root))
    return _is_of_windows(name)


def possible_places(root: Path, name: str) -> list[PurePosixPath]:
    """Return files below the root whose path ends as an absolute name does.

    Of those that share the longest end with it the first few, relative to the root, in order of
    their names. All files below the root are listed once.
    """
    if not is_foreign(root, name):
        return []
    parts = _parts(name)
    ends = _by_end(absolute(root))
    found = (ends.get("/".join(parts[start:]), []) for start in range(len(parts)))
    return next(filter(None, found), [])


def advice(root: Path, name: str) -> str:
    """Return what to do about a name that lies outside the root."""
    places = possible_places(root, name)
    if not places:
        return "give --media-root a folder that holds all images, or --allow-outside"
    shown = ", ".join(map(str, places[:NAMED])) + (" ..." if len(places) > NAMED else "")
    parts = _parts(name)
    folders = dict.fromkeys(
        absolute(root).joinpath(*path.parts[: -_shared(path.parts, parts)]) for path in places
    )
    given = " or ".join(str(folder) for folder in list(folders)[:NAMED])
    return f"{shown} may be meant, which is not guessed: give --media-root {given}"


def absolute(path: Path) -> Path:
    """Return a path from `/` on, without `..`; links stay as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _below(path: Path, base: Path) -> bool:
    return path == base or str(path).startswith(f"{str(base).rstrip('/')}/")


def _is_of_windows(name: str) -> bool:
    return name[1:3] in (":\\", ":/") and name[0].isalpha()


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the name of an absolute path, `..` taken back."""
    path = name[2:].replace("\\", "/") if _is_of_windows(name) else name
    return PurePosixPath(os.path.normpath(path)).parts[1:]


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Return how many parts two paths have in common, from the end."""
    count = 0
    for ours, theirs in zip(reversed(one), reversed(other), strict=False):
        if ours != theirs:
            break
        count += 1
    return count


@lru_cache(maxsize=4)
def _by_end(root: Path) -> dict[str, list[PurePosixPath]]:
    """Return each end of a path below the root -> the first few files that have it."""
    found: dict[str, list[PurePosixPath]] = {}
    for path in islice(_files(root), INDEXED_FILES):
        for start in range(len(path.parts)):
            same = found.setdefault("/".join(path.parts[start:]), [])
            if len(same) <= NAMED:
                same.append(path)
    return found


def _files(root: Path) -> Iterator[PurePosixPath]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        below = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (below / name for name in sorted(names))


def _there(path: str) -> bool:
    try:
        return os.path.exists(path)  # noqa: PTH110 - a hundred thousand paths are looked for
    except (OSError, ValueError):  # a name too long, or one that the system refuses
        return False
