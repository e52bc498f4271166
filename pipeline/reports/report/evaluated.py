"""The results of a report: found in folders and read, with their store if it is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.foundation.errors import SavsError, command
from savs.foundation.files import real_path
from savs.pipeline.errors import ReportError
from savs.pipeline.evaluation.compare.result_folders import Result, read_result, short_names
from savs.pipeline.evaluation.evaluation_file import load_predictions
from savs.pipeline.evaluation.sweep.table import is_sweep
from savs.pipeline.running.result_files import CONFIG, METRICS
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection_config import SelectionConfig, load_config
from savs.stores import FeatureStore, open_store
from savs.stores.format.layout import MANIFEST, RESULTS

FIRST = "vote"
"""The result of a store that comes first."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One result, as `savs evaluate` left it."""

    name: str
    """Shortest end of its path that no other has."""
    folder: Path
    predictions: pl.DataFrame
    """Columns `PREDICTION_SCHEMA`, or `LABEL_SCHEMA` of many labels."""
    result: Result
    """Its metrics, and the scores of their units for comparisons."""
    config: SelectionConfig | None
    """None for the model's own answers."""
    store: FeatureStore | None
    """The store that the folder lies in; None if it is elsewhere."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The content of metrics.json."""
        return self.result.facts

    @property
    def labels(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of `per_label`, in the order of probabilities; empty of one label."""
        return tuple(self.metrics.get("per_label", ()))

    @property
    def headline(self) -> Mapping[str, Any]:
        """The first metric."""
        return self.metrics["metrics"][0]

    @property
    def title(self) -> str:
        """The name of the store's folder, with the question where all examples have the same."""
        if self.store is None:
            return real_path(self.folder).name
        prompts = self.predictions["prompt"].unique()
        option = self.store.manifest.identity.benchmark.get("options", {}).get("question")
        question = prompts[0] if option is None and len(prompts) == 1 else option
        name = real_path(self.folder).parent.parent.name
        return f"{name}: {question}" if isinstance(question, str) else name

    @property
    def split(self) -> str:
        """Split of its examples: `train` for a cross-validation."""
        return str(self.predictions["split"][0])


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of results and of sweeps that a report is about."""

    results: list[Path]
    sweeps: list[Path]


def find_folders(paths: Sequence[Path]) -> Folders:
    """Return the folders of results and of sweeps: those given, and those in the stores given.

    Raises
    ------
    ReportError
        A folder is neither a result nor a sweep nor a store with results, or is given twice; or
        none is given.
    """
    folders = [folder for path in paths for folder in _expand(path)]
    for folder in folders:
        if [real_path(other) for other in folders].count(real_path(folder)) > 1:
            raise ReportError(f"{folder} is given twice; pass each result once")
    sweeps = [folder for folder in folders if is_sweep(folder)]
    results = [folder for folder in folders if folder not in sweeps]
    if not folders:
        raise ReportError("no result was given; pass a folder that `savs evaluate` wrote")
    if not results:
        raise ReportError(
            f"{folders[0]} is a sweep; pass a folder of results, too, which `savs evaluate` wrote"
        )
    return Folders(results, sweeps)


def _expand(path: Path) -> list[Path]:
    """Return a folder of results or of a sweep as it is, and those of a store."""
    if (path / METRICS).is_file() or is_sweep(path):
        return [path]
    if not (path / MANIFEST).is_file():
        raise ReportError(
            f"{path} is neither a store nor a folder of results; pass one that `savs evaluate`"
            f" wrote, e.g. STORE/{RESULTS}/vote, or a store that has some"
        )
    folders = sorted(path.glob(f"{RESULTS}/*/"), key=lambda one: (one.name != FIRST, one.name))
    results = [folder for folder in folders if (folder / METRICS).is_file()]
    if not results:
        raise ReportError(f"{path} has no results yet; run {command('savs', 'evaluate', path)}")
    return results + [folder for folder in folders if is_sweep(folder)]


def read_results(folders: Sequence[Path]) -> list[Evaluated]:
    """Read folders of results.

    Raises
    ------
    ComparisonError, ResultError
        A file is missing or damaged, or the test examples have no labels.
    SelectionError
        A selection was made from other features than its store has.
    """
    return [
        _read_result(folder, name)
        for folder, name in zip(folders, short_names(folders), strict=True)
    ]


def _read_result(folder: Path, name: str) -> Evaluated:
    result = read_result(folder)  # first: it says so if there are no labels
    config = load_config(folder) if (folder / CONFIG).is_file() else None
    store = _store_of(folder)
    if config is not None and store is not None:
        require_fit(config, store.manifest, store.path, of=folder)
    return Evaluated(name, folder, load_predictions(folder), result, config, store)


def _store_of(folder: Path) -> FeatureStore | None:
    """Return the store that a folder of results lies in, if it can be read."""
    home = real_path(folder).parent.parent
    if not (home / MANIFEST).is_file():
        return None
    try:
        return open_store(home, partial=True)
    except SavsError:
        return None  # the report says what it lacks by that
