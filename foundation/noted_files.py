"""Files that a block wrote, so that it can take them back, and no file of another process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

Noted = list[tuple[Path, os.stat_result]]
"""Names, and the files that have them, or were about to get them."""
_NOTED: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def noted_files() -> Iterator[Noted]:
    """Yield a list to which `whole_file` adds what it writes in the block, just before the name.

    So an interruption at any moment finds it, see `remove_noted`. A block around this one has what
    both wrote.
    """
    found: Noted = []
    around = _NOTED.get()
    token = _NOTED.set(found)
    try:
        yield found
    finally:
        _NOTED.reset(token)
        if around is not None:
            around.extend(found)


def note(path: Path, file: Path) -> None:
    """Add a file to the list of `noted_files`, as what has, or gets, a name."""
    if (found := _NOTED.get()) is not None:
        found.append((path, file.stat()))


def remove_noted(noted: Noted) -> None:
    """Remove files unless others have taken their place."""
    for path, ours in noted:
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), ours):
                path.unlink()
