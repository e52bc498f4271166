"""The classifier of a run: one, or several of one model that see the same images in one pass.

Of several, each is a subtask.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from savs.pipeline.classifying.bundle.hub import find_classifier
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import Readout
from savs.pipeline.selection.selection import Selection
from savs.stores import LayerGrid
from savs.stores.format.layout import grid_widths
from savs.stores.format.manifest import FeatureSource


def load_classifiers(
    classifier: str | Path | Mapping[str, str | Path],
    readout: str | Path | Readout | None,
    say: Callable[[str], None],
) -> tuple[Selection, list[str]]:
    """Return a classifier, or one of the tasks of several; and notes on those that are older.

    One on the hub is fetched. ResultError or HubError if one cannot be read, or fetched;
    SelectionError as in `combine`.
    """
    if not isinstance(classifier, Mapping):
        result = find_classifier(classifier, say)
        return result.selection(readout), result.older_notes
    results = {name: find_classifier(place, say) for name, place in classifier.items()}
    parts = {name: result.selection(readout) for name, result in results.items()}
    for name, part in parts.items():
        part.target.require("several classifiers", name)
    older = [f"{name}: {note}" for name, result in results.items() for note in result.older_notes]
    return combine(parts), older


def combine(selections: Mapping[str, Selection]) -> Selection:
    """Return one classifier that has the tasks of all, as subtasks `NAME` or `NAME/SUBTASK`.

    SelectionError if there are none, they have different models, processors, dtypes or chat
    templates, or two tasks would have one name.
    """
    if not selections:
        raise SelectionError("no classifier was given, expected at least one")
    (first, whole), *others = selections.items()
    grid = whole.source.grid
    for name, other in others:
        _require_same_source(first, whole.source, name, other.source)
        grid = _united(grid, other.source.grid)
    tasks = [
        replace(task, subtask=name if task.subtask is None else f"{name}/{task.subtask}")
        for name, one in selections.items()
        for task in one.tasks
    ]
    names = [task.subtask for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SelectionError(f"two tasks would be called {twice!r}; give classifiers other names")
    return replace(whole, source=replace(whole.source, grid=grid), tasks=tuple(tasks))


def _require_same_source(first: str, ours: FeatureSource, name: str, theirs: FeatureSource) -> None:
    """Raise SelectionError unless two classifiers share a model, whatever heads they chose."""
    united = replace(theirs, grid=ours.grid)
    apart = ours.differences(united, f"in {name!r}", here=f"in {first!r}")
    held, other = grid_widths(ours.grid), grid_widths(theirs.grid)
    apart += [
        f"width of head {head}: {held[head]} in {first!r}, {other[head]} in {name!r}"
        for head in held.keys() & other.keys()
        if held[head] != other[head]
    ]
    if apart:
        raise SelectionError(
            f"classifiers {first!r} and {name!r} cannot share a pass, they differ in:\n  "
            + "\n  ".join(apart)
            + "\nrun `savs classify` once for each"
        )


def _united(ours: Sequence[LayerGrid], theirs: Sequence[LayerGrid]) -> tuple[LayerGrid, ...]:
    """Return a grid that has the heads of two."""
    grid_of = {grid.layer: grid for grid in ours}
    for grid in theirs:
        heads = {*grid.heads, *grid_of.get(grid.layer, grid).heads}
        grid_of[grid.layer] = replace(grid, heads=tuple(sorted(heads)))
    return tuple(grid_of[layer] for layer in sorted(grid_of))
