"""Where a medium lies: below one folder; paths of another machine by their longest end there."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

INDEXED_FILES = 1_000_000
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
    base = absolute(root)
    foreign = _foreign(name)
    path = absolute(base / name)
    if path.is_relative_to(base) and not isinstance(foreign, PureWindowsPath):
        return path
    if outside and (foreign is None or _there(path)):
        return path
    if foreign is None:
        return None
    parts = _parts(foreign)
    ends = (base.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if _there(end)), None)


def is_foreign(root: Path, name: str) -> bool:
    """Return whether a name is an absolute path that does not lie below the root."""
    foreign = _foreign(name)
    return foreign is not None and not absolute(root / name).is_relative_to(absolute(root))


def possible_places(root: Path, name: str) -> list[PurePosixPath]:
    """Return the files below the root whose path ends as an absolute name does.

    Those that share the longest end with it, relative to the root, in order of their names. All
    files below the root are listed once.
    """
    foreign = _foreign(name)
    if foreign is None:
        return []
    parts = _parts(foreign)
    same = _by_name(absolute(root)).get(parts[-1] if parts else "", [])
    shared = [(_shared(path.parts, parts), path) for path in same]
    longest = max((length for length, _ in shared), default=0)
    return sorted(path for length, path in shared if length == longest)


def advice(root: Path, name: str) -> str:
    """Return what to do about a name that lies outside the root."""
    places = possible_places(root, name)
    if not places:
        return "give --media-root a folder that holds all images, or --allow-outside"
    shown = ", ".join(map(str, places[:NAMED])) + (" ..." if len(places) > NAMED else "")
    parts = _parts(_foreign(name) or PurePosixPath(name))
    folders = dict.fromkeys(
        absolute(root).joinpath(*path.parts[: -_shared(path.parts, parts)]) for path in places
    )
    given = " or ".join(str(folder) for folder in list(folders)[:NAMED])
    return f"{shown} may be meant, which is not guessed: give --media-root {given}"


def absolute(path: Path) -> Path:
    """Return a path from `/` on, without `..`; links stay as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _foreign(name: str) -> PurePath | None:
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(name)
        if path.is_absolute() and (kind is PurePosixPath or len(path.drive) == 2):
            return path
    return None


def _parts(path: PurePath) -> tuple[str, ...]:
    """Return the folders and the name of an absolute path, `..` taken back."""
    return PurePosixPath(os.path.normpath(PurePosixPath("/", *path.parts[1:]))).parts[1:]


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Return how many parts two paths have in common, from the end."""
    count = 0
    for ours, theirs in zip(reversed(one), reversed(other), strict=False):
        if ours != theirs:
            break
        count += 1
    return count


@lru_cache(maxsize=4)
def _by_name(root: Path) -> dict[str, list[PurePosixPath]]:
    found: dict[str, list[PurePosixPath]] = {}
    for number, path in enumerate(_files(root)):
        if number == INDEXED_FILES:
            break
        found.setdefault(path.name, []).append(path)
    return found


def _files(root: Path) -> Iterator[PurePosixPath]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        below = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (below / name for name in names)


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or one that the system refuses
        return False
