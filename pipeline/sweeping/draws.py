"""Few-shot draws: some training examples of each class, from a pool, by seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.training_set import TrainingTask


@dataclass(frozen=True, slots=True)
class Draw:
    """A task with `shots` training examples a class."""

    task: TrainingTask
    """The drawn examples alone."""
    pool: int
    """Index of the task that they were drawn from."""
    shots: int
    number: int
    """Number of the draw; in each, the examples of fewer shots are among those of more."""


def make_draws(
    tasks: Sequence[TrainingTask], shots: Sequence[int], draws: int, seed: int
) -> list[Draw]:
    """Return the draws of all tasks: task by task, then by shots, then by number.

    Raises
    ------
    SelectionError
        A class has no more examples than are drawn, so that every draw would be the same.
    """
    size, where = pool_size(tasks)
    if max(shots) >= size:
        raise SelectionError(
            f"{max(shots)} shots were requested, but the pool has {size} examples of class {where},"
            f" so all draws would be the same: use --shots below {size}, or extract more training"
            " examples"
        )
    return [
        Draw(task.part(_drawn(task, count, [seed, number, index])), index, count, number)
        for index, task in enumerate(tasks)
        for count in shots
        for number in range(draws)
    ]


def pool_size(tasks: Sequence[TrainingTask]) -> tuple[int, str]:
    """Return the number of examples of the rarest class, and which class that is."""
    return min(
        (int(count), f"{label!r}" + (f" of {task.subtask!r}" if task.subtask else ""))
        for task in tasks
        for count, label in zip(np.bincount(task.labels), task.classes, strict=True)
    )


def _drawn(task: TrainingTask, shots: int, seed: Sequence[int]) -> Array:
    """Return the indices of the drawn examples, in the order of the pool."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(task.labels == c)) for c in range(len(task.classes))]
    return np.sort(np.concatenate([order[:shots] for order in orders]))
