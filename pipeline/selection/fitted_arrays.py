"""The fitted arrays of a selection and their checks; `NUMBER.NAME` is NAME of task NUMBER.

`NUMBER.calibration.NAME` is an array of its calibration.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.calibration import AXES, CENTROIDS, Calibration, has_centroids
from savs.pipeline.selection.config_json import SelectionConfig, TaskConfig
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.tensor_file import TensorForm

NONCONFORMITY = "nonconformity"


def fitted_arrays(selection: Selection) -> dict[str, Array]:
    """Return the fitted arrays; ValueError where they are not what the readout declares."""
    tensors = dict(_arrays(selection))
    found = {name: TensorForm(a.shape, a.dtype.name) for name, a in tensors.items()}
    expected = array_forms(selection, selection.rule)
    if found != expected:
        raise ValueError(f"it declares the arrays {expected}, but fitted {found}")
    check_values(selection, tensors)
    return tensors


def _arrays(selection: Selection) -> Iterator[tuple[str, Array]]:
    for number, task in enumerate(selection.tasks):
        for name in selection.rule.arrays:
            yield f"{number}.{name}", np.asarray(getattr(task.fitted, name))
        if task.calibration is not None:
            for name in _calibration_axes(selection.rule):
                yield _calibration_name(number, name), getattr(task.calibration, name)


def array_forms(config: SelectionConfig, rule: Readout) -> dict[str, TensorForm]:
    """Return the form that each tensor of a selection must have."""
    forms = {}
    for number, task in enumerate(config.tasks):
        lengths = config.lengths(task)
        forms |= {f"{number}.{name}": form for name, form in rule.forms(lengths).items()}
        if task.calibration is not None:
            forms |= {
                _calibration_name(number, name): TensorForm(
                    tuple(lengths[axis] for axis in axes), "float32"
                )
                for name, axes in _calibration_axes(rule).items()
            }
    return forms


def load_calibration(
    task: TaskConfig, number: int, rule: Readout, tensors: Mapping[str, Array]
) -> Calibration | None:
    """Return the calibration of a task with its arrays."""
    if task.calibration is None:
        return None
    found: dict[str, Any] = {CENTROIDS: None}
    for name in _calibration_axes(rule):
        found[name] = tensors[_calibration_name(number, name)]
    known = task.calibration
    return Calibration(
        temperature=known.temperature, smoothing=known.smoothing, typical=known.typical, **found
    )


def check_values(config: SelectionConfig, tensors: Mapping[str, Array]) -> None:
    """Raise ValueError where numbers are not what they can be.

    That is finite, for class numbers those there are, for nonconformity 0 to 1 and ascending.
    """
    for name, array in tensors.items():
        classes = np.arange(len(config.tasks[int(name.partition(".")[0])].classes))
        if array.dtype == np.int64 and not np.array_equal(np.unique(array), classes):
            raise ValueError(f"{name}: expected each of {len(classes)} class numbers at least once")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        if name.endswith(f".calibration.{NONCONFORMITY}") and not (
            (array >= 0).all() and (array <= 1).all() and (array[1:] >= array[:-1]).all()
        ):
            raise ValueError(f"{name}: expected numbers from 0 to 1, ascending")


def _calibration_axes(rule: Readout) -> dict[str, tuple[str, ...]]:
    """Return the axes of a calibration's arrays."""
    axes: dict[str, tuple[str, ...]] = {NONCONFORMITY: ("examples",)}
    return axes if has_centroids(rule) else axes | {CENTROIDS: AXES}


def _calibration_name(number: int, name: str) -> str:
    return f"{number}.calibration.{name}"
