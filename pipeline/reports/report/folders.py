"""The results of a report: found in folders and read, with their store if it is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from savs.foundation.errors import command
from savs.foundation.files import real_path
from savs.pipeline.errors import ReportError
from savs.pipeline.evaluation.compare.trial_sets import is_sweep, read_result, short_names
from savs.pipeline.evaluation.results import Result, Results
from savs.pipeline.selection.compatibility import require_fit
from savs.stores.format.layout import MANIFEST, RESULTS


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of results and of sweeps that a report is about."""

    results: list[Path]
    sweeps: list[Path]


def find_folders(paths: Sequence[Path]) -> Folders:
    """Return the folders of results and of sweeps: those given, and those in the stores given.

    ReportError if a folder is neither a result nor a sweep nor a store with results, or is given
    twice; or none is given.
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
    """Return a folder of results or of a sweep, or those of a store, its default first."""
    if Result(path).is_evaluated or is_sweep(path):
        return [path]
    if not (path / MANIFEST).is_file():
        raise ReportError(
            f"{path} is neither a store nor a folder of results; pass one that `savs evaluate`"
            f" wrote, e.g. STORE/{RESULTS}/vote, or a store that has some"
        )
    results = Results(path)
    default = results.default
    names = [*([] if default is None else [default.measured.name]), *results]
    measured = [one.folder for one in map(results.place, dict.fromkeys(names)) if one.is_evaluated]
    if not measured:
        raise ReportError(f"{path} has no results yet; run {command('savs', 'evaluate', path)}")
    return measured + [folder for folder in sorted(path.glob(f"{RESULTS}/*/")) if is_sweep(folder)]


def read_results(folders: Sequence[Path], use: str = "a report") -> list[Result]:
    """Read folders of results, named by the shortest ends of their paths.

    Errors as `read_result`; SelectionError if a selection was made from other features than its
    store has.
    """
    results = [
        read_result(folder, name, use)
        for folder, name in zip(folders, short_names(folders), strict=True)
    ]
    for one in results:
        if one.config is not None and one.store is not None:
            require_fit(one.config, one.store.manifest, one.store.path, of=one.folder)
    return results
