"""The fitted arrays of a selection and their checks; `NUMBER.NAME` is NAME of task NUMBER."""

from collections.abc import Mapping

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.readouts import Readout
from savs.pipeline.selection.config_json import SelectionConfig
from savs.pipeline.selection.selection import Selection
from savs.stores.tensor_file import TensorForm


def fitted_arrays(selection: Selection) -> dict[str, Array]:
    """Return the fitted arrays; ValueError where they are not what the readout declares."""
    tensors = {
        f"{number}.{name}": np.asarray(getattr(task.fitted, name))
        for number, task in enumerate(selection.tasks)
        for name in selection.rule.arrays
    }
    found = {name: TensorForm(a.shape, a.dtype.name) for name, a in tensors.items()}
    expected = array_forms(selection, selection.rule)
    if found != expected:
        raise ValueError(f"it declares the arrays {expected}, and fitted {found}")
    check_values(selection, tensors)
    return tensors


def array_forms(config: SelectionConfig, rule: Readout) -> dict[str, TensorForm]:
    """Return the form that each tensor of a selection must have."""
    return {
        f"{number}.{name}": form
        for number, task in enumerate(config.tasks)
        for name, form in rule.forms(config.lengths(task)).items()
    }


def check_values(config: SelectionConfig, tensors: Mapping[str, Array]) -> None:
    """Raise ValueError where numbers are not finite, or class numbers are not those there are."""
    for name, array in tensors.items():
        classes = np.arange(len(config.tasks[int(name.partition(".")[0])].classes))
        if array.dtype == np.int64 and not np.array_equal(np.unique(array), classes):
            raise ValueError(f"{name}: expected class numbers, each of {len(classes)} once or more")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
