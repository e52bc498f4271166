"""The selection that a command uses: one that is given, one that the store has, or a new one."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from savs import pipeline
from savs.foundation.files import real_path
from savs.pipeline.cli.calibrated import calibrated
from savs.pipeline.cli.output import say

if TYPE_CHECKING:
    from savs.pipeline import Selection
    from savs.pipeline.selection.readouts import Readout
    from savs.stores import FeatureStore


def find_selection(store: "FeatureStore", path: Path | None, rule: "Readout") -> "Selection":
    """Return the selection in a folder; without one that of the store, or a new one.

    Raises
    ------
    SelectionError
        The store's is of other training examples than it has now.
    """
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.selection.older import is_of_store
    from savs.pipeline.selection.readouts import BUILT_IN
    from savs.stores.files.paths import is_remote
    from savs.stores.results import CONFIG, results_folder

    own = None if rule in BUILT_IN.values() else rule  # a built-in one is found by its name
    if path is not None:
        return pipeline.load_selection(path, readout=own)
    saved = results_folder(store.path, rule.name)
    if is_remote(store.path) or store.missing("train") or not (saved / CONFIG).exists():
        selection = pipeline.select(store, readout=rule)
        say(f"no selection yet: selected {len(selection.tasks[0].heads)} heads")
        return calibrated(store, selection)[0]
    selection = pipeline.load_selection(saved, readout=own)
    trains = store.manifest.plan.splits.get("train")
    is_classified = trains is not None and not trains.ids  # `classify` saved its classifier there
    if not (is_classified or is_of_store(selection, store)):
        name = rule.file.name if rule.file else rule.name
        raise SelectionError(
            f"{saved} holds a selection of other training examples than the store's; run"
            f" savs select {store.path} --readout {name}"
        )
    say(f"using {saved}")
    return selection


def keep_other_results(folder: Path, selection: Path) -> None:
    """Refuse to evaluate a selection from elsewhere over the results of another one.

    A usage error where the folder, which has the name of the selection's, holds another selection.
    """
    from savs.pipeline.selection.selection_file import selection_folder, selection_run
    from savs.stores.results import CONFIG

    is_beside = real_path(selection_folder(selection)).parent == real_path(folder).parent
    if is_beside or not (folder / CONFIG).exists():
        return
    if selection_run(folder) != selection_run(selection):
        raise typer.BadParameter(
            f"{folder} holds another selection than {selection}, which would replace it; pass"
            " --out DIR with a folder of another name"
        )
