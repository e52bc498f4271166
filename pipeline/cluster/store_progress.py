"""How far a store is that other processes write, by the shards that have their files."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from savs.stores.errors import StoreError
from savs.stores.files.object_store import file_names
from savs.stores.format.manifest import read_manifest
from savs.stores.format.plan import ShardSpec

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class StoreProgress:
    """Shows the rows that are done meanwhile; a context, which ends the display."""

    def __init__(self, folder: Any, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._stack = ExitStack()
        self._left: dict[str, ShardSpec] = {}
        self._show: Callable[[int], None] | None = None
        self.before = frozenset(self._files())
        """Files that were there before."""

    def __enter__(self) -> "StoreProgress":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def tick(self) -> None:
        """Look at the folder once more."""
        if self._show is None:
            self._begin()
        if self._show is None:
            return
        done = self._left.keys() & self._files()
        self._show(sum(self._left.pop(name).rows for name in done))

    def _begin(self) -> None:
        """Begin the display once a process has made, or extended, the store."""
        self._left = {s.name: s for s in self._planned() if s.name not in self.before}
        total = sum(spec.rows for spec in self._left.values())
        if total:
            self._show = self._stack.enter_context(self._progress(total))

    def _planned(self) -> list[ShardSpec]:
        try:
            return read_manifest(self._folder).plan.shards()
        except StoreError:  # not made yet, or the processes will say what is wrong
            return []

    def _files(self) -> set[str]:
        try:
            return file_names(self._folder)
        except FileNotFoundError:  # not made yet
            return set()
