"""Things that happen at a chosen moment, in this process: before a file is opened."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_watchers: list[Callable[[str], None]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _watchers[-1](os.fspath(arguments[0]))


sys.addaudithook(_hook)  # which cannot be taken out again


@contextmanager
def before_open(folder: Path, names: str, number: int, act: Callable[[], Any]) -> Iterator[None]:
    """Run `act` once in the block, before the opening with that number of a folder's files.

    Files count that lie in the folder itself and match the pattern `names`, whoever opens them.
    """
    left = number

    def watch(name: str) -> None:
        nonlocal left
        path = Path(name)
        if path.parent != folder or not path.match(names):
            return
        left -= 1
        if left == -1:
            act()

    _watchers.append(watch)
    try:
        yield
    finally:
        _watchers.remove(watch)
