"""Settings of a readout chosen on left-out training examples, never on test examples."""

from collections.abc import Callable

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.folds import fold_count, stratified_folds


def best_setting(labels: Array, settings: int, choices: Callable[[Array, Array], Array]) -> int:
    """Return the number of the setting that is right most often; of equals the first.

    Parameters
    ----------
    labels
        `(n,)` class numbers of the training examples.
    settings
        How many there are.
    choices
        Flags `(n,)` of the examples to fit, and of those to classify -> `(settings, classified)`
        class numbers.

    Returns
    -------
    int
        0 where a class has one example, so that none can be left out.
    """
    folds = fold_count(labels)
    if folds < 2:
        return 0
    part = stratified_folds(labels, folds)
    right = np.zeros(settings, np.int64)
    for fold in range(folds):
        out = part == fold
        right += (choices(~out, out) == labels[out]).sum(axis=1)
    return int(right.argmax())


def require_examples(labels: Array, readout: str) -> None:
    """Raise SelectionError where there is no training example to fit."""
    if not len(labels):
        raise SelectionError(
            f"readout {readout!r} needs training examples, and the store has none; extract with"
            " --train, or use a readout of names alone: clip or hec-t"
        )
