"""How far a store is that other processes write, by the shards that have their files."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType

from savs.stores.errors import StoreError
from savs.stores.format.layout import MANIFEST
from savs.stores.format.manifest import read_manifest
from savs.stores.format.plan import ShardSpec

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class StoreProgress:
    """Shows the rows that are done meanwhile; a context, which ends the display."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._stack = ExitStack()
        self._left: dict[str, ShardSpec] = {}
        self._show: Callable[[int], None] | None = None
        self.before = frozenset(path.name for path in folder.glob("*.h5"))
        """Shards that were there before."""

    def __enter__(self) -> "StoreProgress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def tick(self) -> None:
        """Look at the folder once more."""
        if self._show is None:
            self._begin()
        if self._show is None:
            return
        done = [name for name in self._left if (self._folder / name).exists()]
        self._show(sum(self._left.pop(name).rows for name in done))

    def _begin(self) -> None:
        """Begin the display once a process has made, or extended, the store."""
        if not (self._folder / MANIFEST).exists():
            return
        try:
            planned = read_manifest(self._folder).plan.shards()
        except StoreError:  # the processes will say so
            return
        self._left = {spec.name: spec for spec in planned if spec.name not in self.before}
        total = sum(spec.rows for spec in self._left.values())
        if total:
            self._show = self._stack.enter_context(self._progress(total))
