"""How far a run is that other processes make, by the files of its parts."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class PartsProgress:
    """Shows the rows that are done meanwhile; a context, which ends the display.

    Parameters
    ----------
    files
        Returns the names of the files that are there.
    planned
        Returns file -> rows of all parts, and nothing before they are planned.
    progress
        Makes the display of a number of rows.
    """

    def __init__(
        self,
        files: Callable[[], set[str]],
        planned: Callable[[], Mapping[str, int]],
        progress: Progress,
    ) -> None:
        self._files = files
        self._planned = planned
        self._progress = progress
        self._stack = ExitStack()
        self._left: dict[str, int] = {}
        self._show: Callable[[int], None] | None = None
        self.before = frozenset(files())
        """Files that were there before."""

    def __enter__(self) -> "PartsProgress":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def tick(self) -> None:
        """Look at the files once more."""
        if self._show is None:
            self._begin()
        if self._show is None:
            return
        done = self._left.keys() & self._files()
        self._show(sum(self._left.pop(name) for name in done))

    def _begin(self) -> None:
        """Begin the display once a process has planned the parts, or planned more of them."""
        planned = self._planned()
        self._left = {name: rows for name, rows in planned.items() if name not in self.before}
        if total := sum(self._left.values()):
            self._show = self._stack.enter_context(self._progress(total))
