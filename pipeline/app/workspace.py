"""What the app serves: a store with its classifier, or a classifier alone.

The app has no state of its own: files that changed since they were last read are read again.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from savs.datasets.asked import asked_questions
from savs.foundation.errors import SavsError, command
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.reports.explain.evidence import Trained, trained_alone, trained_on
from savs.pipeline.running.result_files import CLASSIFIER, CONFIG, SELECT
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection import Selection, asked_selection
from savs.pipeline.selection.training_data import train_digest
from savs.pipeline.targets import target_of
from savs.pipeline.targets.tasks import TaskSelection
from savs.stores import FeatureStore, open_store
from savs.stores.errors import ResultError
from savs.stores.format.manifest import read_manifest

Stamps = tuple[tuple[int, int] | None, ...]
"""Time and size of each file, None if it does not exist."""


class Fitted(NamedTuple):
    """What the heads of a selection were fitted on."""

    selection: Selection
    trained: Mapping[str | None, Trained | None]
    store: FeatureStore | None
    """The store that its training examples lie in, as it was opened."""


@dataclass(slots=True)
class Workspace:
    """A store or a classifier, as the three tabs read it."""

    folder: Path
    """Where the classifier is, or will be saved."""
    path: Path | None
    """The store; None for a classifier alone."""
    media_root: Path | None = None
    loading: Mapping[str, Any] = field(default_factory=dict)
    """Where the model is, if not where the classifier says: as `model_options` takes it."""
    spelled: Callable[[str], str] = str
    """How a message names a parameter."""
    saving: threading.Lock = field(default_factory=threading.Lock)
    """Held while a classifier or its results are made and written."""
    _turn: threading.RLock = field(default_factory=threading.RLock)
    _loaded: tuple[Stamps, Selection] | None = None
    """The classifier, and the files that it was read from."""
    _asked: Selection | None = None
    """What reads the answers of `savs ask`, without a classifier."""
    _fitted: Fitted | None = None

    @property
    def name(self) -> str:
        """The title of the page."""
        return (self.path or self.folder).absolute().name

    @property
    def result(self) -> Result:
        """The classifier as it is on the disk now, which may not be there yet."""
        return Result(self.folder)

    def store(self) -> FeatureStore:
        """Open the store as it is now.

        ResultError if a classifier alone is served; StoreError if it cannot be read.
        """
        if self.path is None:
            raise ResultError(
                f"{self.folder} is a classifier without its store; run savs app STORE to label"
                " images and to see results"
            )
        return open_store(self.path)

    def metric(self) -> str:
        """Return what the classifier is measured by."""
        benchmark = {} if self.path is None else self.store().manifest.identity.benchmark
        return target_of(benchmark).headline

    def selection(self) -> Selection:
        """Return the classifier that is on the disk now; without one, the answers of `savs ask`.

        SelectionError if there is none yet; ResultError if it cannot be read.
        """
        with self._turn:
            if not self.result.is_selected and self.is_asked:
                if self._asked is None:
                    self._asked = asked_selection(self.store())
                return self._asked
            if not self.result.is_selected:
                raise SelectionError(
                    f"{self.path or self.folder} has no classifier yet; choose heads in the tab"
                    f" Label, or run {command(*SELECT.split(), self.path or self.folder)}"
                )
            stamps = tuple(_stamp(self.folder / name) for name in (CONFIG, CLASSIFIER))
            if self._loaded is None or self._loaded[0] != stamps:
                selection = self.result.selection()
                selection.target.require("the app", self.folder)
                if self.path is not None:
                    require_fit(selection, read_manifest(self.path), self.path, of=self.folder)
                self._loaded = stamps, selection
            return self._loaded[1]

    @property
    def is_asked(self) -> bool:
        """Whether the store keeps the model's own answers to questions, see `savs ask`."""
        return self.path is not None and bool(asked_questions(self.store().benchmark))

    def task(self, subtask: str | None) -> TaskSelection:
        """Return the part of the classifier for a subtask, the first for an unknown one."""
        tasks = self.selection().tasks
        return next((task for task in tasks if task.subtask == subtask), tasks[0])

    def fitted(self) -> Fitted:
        """Return what the classifier was fitted on; without its examples, centroids alone."""
        selection = self.selection()
        with self._turn:
            if self._fitted is None or self._fitted.selection is not selection:
                self._fitted = self._read(selection)
            return self._fitted

    def _read(self, selection: Selection) -> Fitted:
        try:
            store = self.store()
            if selection.train == train_digest(store):
                return Fitted(selection, {**trained_on(store, selection)}, store)
        except SavsError:  # it is being written, or there is none: centroids say enough
            pass
        target, rule = selection.target, selection.rule
        alone = {task.subtask: trained_alone(target, task, rule) for task in selection.tasks}
        return Fitted(selection, alone, None)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
