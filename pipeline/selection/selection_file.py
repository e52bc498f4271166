"""A selection on disk, and in the form of the public reference."""

from pathlib import Path
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import find_readout
from savs.pipeline.selection.selection import Selection, TaskSelection
from savs.stores import ResultError
from savs.stores.results import read_selection, write_selection


def save_selection(selection: Selection, path: str | Path) -> Path:
    """Write the selection to one npz file, without pickle."""
    header = {
        "source": dict(selection.source),
        "train": selection.train,
        "readout": selection.readout,
        "scoring": selection.scoring,
        "heads_from": selection.heads_from,
        "tasks": [
            {
                "subtask": task.subtask,
                "classes": task.classes,
                "heads": task.heads,
                "scores": task.scores,
                "margins": task.margins,
                "examples": task.examples,
            }
            for task in selection.tasks
        ],
    }
    arrays = {
        f"{number}.{name}": array
        for number, task in enumerate(selection.tasks)
        for name, array in task.fitted.arrays().items()
    }
    return write_selection(Path(path), header, arrays)


def load_selection(path: str | Path) -> Selection:
    """Read a selection that `save_selection` wrote.

    Raises
    ------
    ResultError
        Not there, or not a selection file.
    SelectionError
        Made with a readout that is not known here.
    """
    header, arrays = read_selection(Path(path))
    try:
        return _selection(header, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, SelectionError):
            raise
        raise ResultError(
            f"{path} is no selection of this release ({type(error).__name__}: {error}); make it"
            " again with `savs select`"
        ) from error


def _selection(header: dict[str, Any], arrays: dict[str, Array]) -> Selection:
    readout = find_readout(header["readout"])
    tasks = []
    for number, task in enumerate(header["tasks"]):
        prefix = f"{number}."
        mine = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        tasks.append(
            TaskSelection(
                subtask=task["subtask"],
                classes=tuple(task["classes"]),
                heads=tuple((layer, head) for layer, head in task["heads"]),
                scores=tuple(task["scores"]),
                margins=tuple(task["margins"]),
                examples=task["examples"],
                fitted=readout.load(mine),
            )
        )
    return Selection(
        source=header["source"],
        train=header["train"],
        readout=header["readout"],
        scoring=header["scoring"],
        tasks=tuple(tasks),
        heads_from=header.get("heads_from"),
    )


def reference_dictionary(selection: Selection) -> dict[str, Any]:
    """Return the public reference's dictionary.

    Returns
    -------
    dict
        `activations`: `(classes, heads, head_dim)` float32 class centroids; `top_heads`;
        `int_to_str`: class number -> class.

    Raises
    ------
    SelectionError
        There are several subtasks, or the readout has no centroids.
    """
    task = selection.only_task()
    arrays = task.fitted.arrays()
    if "centroids" not in arrays:
        raise SelectionError(
            f"readout {selection.readout!r} has no centroids; select with readout 'vote' to export"
        )
    return {
        "activations": np.ascontiguousarray(arrays["centroids"].transpose(1, 0, 2)),
        "top_heads": selection.top_heads,
        "int_to_str": dict(enumerate(task.classes)),
    }
