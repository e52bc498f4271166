"""Few-shot draws: some training examples of each class, from a pool, by seed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from savs.datasets.example import of_subtask
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.training_data import TrainingTask

ShotCount = int | Literal["all"]
"""A number of examples of each class, or the whole pool."""


class DrawKey(NamedTuple):
    """Names a draw; the tasks of a store have their draws of one key in common."""

    shots: int | None
    """None for all examples of the pool, whose classes differ in size."""
    number: int
    """Number of the draw; in each, the examples of fewer shots are among those of more."""
    max_layer: int | None = None
    """Last layer that heads are chosen from; None for all."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A task with `shots` training examples a class."""

    task: TrainingTask
    """The drawn examples alone."""
    pool: int
    """Index of the task that they were drawn from."""
    key: DrawKey


def make_draws(
    tasks: Sequence[TrainingTask],
    shots: Sequence[ShotCount],
    draws: int,
    seed: int,
    *,
    share_rows: bool = False,
) -> list[Draw]:
    """Return the draws of all tasks: task by task, then by shots, then by number.

    Where the pool has exactly that many examples of each class, and for `all`, every draw would be
    the same: there is one. Tasks that `share_rows`, of many labels, get those of one draw: it
    has at least that many where each label is there, and where it is absent. SelectionError if the
    pool has fewer examples of a class, or there is no draw or no number of shots.
    """
    if draws < 1:
        raise SelectionError(f"`draws` is {draws}, expected at least 1")
    if seed < 0:
        raise SelectionError(f"`seed` is {seed}, expected at least 0")
    few = [n for n in shots if n != "all" and n < 1]
    if few or not shots:
        problem = f"shots has {few[0]}" if few else "no number of shots was given"
        raise SelectionError(f"{problem}, expected positive integers or all")
    keys = [
        DrawKey(count, number)
        for count in _counts(tasks, shots)
        for number in range(1 if _is_whole(tasks, count) else draws)
    ]
    if share_rows:
        drawn = {key: _rows(tasks, key.shots, [seed, key.number]) for key in keys}
        return [
            Draw(task.part(np.isin(task.rows, drawn[key])), index, key)
            for index, task in enumerate(tasks)
            for key in keys
        ]
    return [
        Draw(_part(task, key.shots, [seed, key.number, index]), index, key)
        for index, task in enumerate(tasks)
        for key in keys
    ]


def at_depths(draws: Sequence[Draw], depths: Sequence[int]) -> list[Draw]:
    """Return each draw once for each depth: the same examples, heads of the first layers alone."""
    return [replace(d, key=d.key._replace(max_layer=depth)) for d in draws for depth in depths]


def _counts(tasks: Sequence[TrainingTask], shots: Sequence[ShotCount]) -> list[int | None]:
    """Return the numbers of examples, ascending and each once; None, the last, for all of a pool.

    All of a pool whose classes have the same number of examples are that number.
    """
    size, where = pool_size(tasks)
    numbers = {size if n == "all" else n for n in shots if n != "all" or _is_whole(tasks, size)}
    wrong = [n for n in numbers if n > size]
    if wrong:
        raise SelectionError(
            f"{max(wrong)} shots were requested, but the pool has {size}"
            f" {'example' if size == 1 else 'examples'}{where}; use `shots`"
            f" {'1' if size == 1 else f'1 to {size}'}, or all"
        )
    rest: list[int | None] = [None] if "all" in shots and not _is_whole(tasks, size) else []
    return sorted(numbers) + rest


def pool_variance(tasks: Sequence[TrainingTask], count: float | None) -> float:
    """Finite-pool correction, as a multiple of the between-draw variance.

    All draws come from one pool, whose own deviation more of them do not average out. For a mean of
    the examples it would be m / (M - m) of the variance between draws of m of the M of each class
    (Cochran, Sampling Techniques, 1977, chapter 2), and f^k / (1 - f^k), f = m / M, for the part of
    a statistic that k examples make together (Hoeffding, Annals of Mathematical Statistics 19,
    1948). The accuracy of a classifier near its best changes by no first power of a deviation: k is
    2, the ratio 1/3 for four of eight, and small if the pool is large. Simulated selections of
    heads have less or about that, one weak head alone up to twice (scripts/check_intervals.py).
    Over several classes it is the ratio of the sums.

    It is 0 if all examples are taken: there is one draw then.
    """
    if count is None:
        return 0.0
    sizes = np.concatenate([np.bincount(task.strata) for task in tasks])
    shared = (count / sizes) ** 2
    between = float((1 - shared).sum())
    return float(shared.sum()) / between if between else 0.0


def _is_whole(tasks: Sequence[TrainingTask], count: int | None) -> bool:
    """Return whether this many examples of each class are all there are."""
    return count is None or all((np.bincount(task.strata) == count).all() for task in tasks)


def _part(task: TrainingTask, count: int | None, seed: Sequence[int]) -> TrainingTask:
    """Return a task with that many drawn examples of each class, in the order of the pool."""
    if count is None:
        return task
    # One order of each class for all numbers of shots: the examples of fewer are among those of
    # more, so that a curve over shots follows one draw that grows.
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(task.strata == c)) for c in range(len(task.classes))]
    return task.part(np.sort(np.concatenate([order[:count] for order in orders])))


def _rows(tasks: Sequence[TrainingTask], count: int | None, seed: Sequence[int]) -> Array:
    everything = np.unique(np.concatenate([task.rows for task in tasks]))
    if count is None:
        return everything
    order = np.random.default_rng(seed).permutation(everything)
    place = np.zeros(everything[-1] + 1, np.int64)
    place[order] = np.arange(len(order))
    sides = [task.rows[task.strata == side] for task in tasks for side in range(len(task.classes))]
    queues = [iter(rows[np.argsort(place[rows])].tolist()) for rows in sides]
    members: dict[int, list[int]] = {}
    for number, rows in enumerate(sides):
        for row in rows.tolist():
            members.setdefault(row, []).append(number)
    have, chosen = Counter[int](), dict[int, None]()
    # the rarest sides first: their rows count for other sides, too, so that draws stay small
    for wanted in range(1, count + 1):  # so that rows of fewer shots are among those of more
        for number in sorted(range(len(sides)), key=lambda one: len(sides[one])):
            while have[number] < wanted:
                row = next(queues[number])
                if row not in chosen:
                    chosen[row] = None
                    have.update(members[row])
    return np.array(sorted(chosen))


def drawn_rows(draws: Sequence[Draw], shots: int | None) -> float:
    """Return how many rows the draws of many labels with that many shots have in the mean."""
    rows: dict[DrawKey, set[int]] = {}
    for draw in draws:
        if draw.key.shots == shots:
            rows.setdefault(draw.key, set()).update(draw.task.rows.tolist())
    return float(np.mean([len(some) for some in rows.values()]))


def default_shots(tasks: Sequence[TrainingTask], tried: Sequence[int]) -> list[ShotCount]:
    """Return those of `tried` that are below the size of the pool, and all."""
    return [*(n for n in tried if n < pool_size(tasks)[0]), "all"]


def pool_size(tasks: Sequence[TrainingTask]) -> tuple[int, str]:
    """Return the number of examples of the rarest class, and of which class; all of numbers."""
    return min(
        (int(count), f" of class {label!r}{of_subtask(task.subtask)}" * (len(task.classes) > 1))
        for task in tasks
        for count, label in zip(np.bincount(task.strata), task.classes, strict=True)
    )
