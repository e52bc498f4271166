"""Random stores with what readouts trip over: ties, twins, zero columns, mixed widths, subtasks.

`Problem` has the arrays, for the oracle; `write_problem` makes the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from savs.foundation.arrays import Array
from savs.stores import FeatureStore, LayerGrid
from stores import identity, write_store


@dataclass(frozen=True, slots=True)
class Problem:
    """A few-shot problem, head by head."""

    grid: tuple[LayerGrid, ...]
    train: list[Array]
    """`(rows, width)` float32 of each head, layer by layer."""
    test: list[Array]
    train_labels: list[str]
    test_labels: list[str]
    train_subtasks: list[str | None]
    test_subtasks: list[str | None]

    @property
    def starts(self) -> list[int]:
        """Return the place of each layer's first head."""
        return [0, *np.cumsum([len(grid.heads) for grid in self.grid])[:-1].tolist()]

    def task(self, subtask: str | None) -> tuple[list[str], Array, Array, Array]:
        """Return a subtask's classes, its training rows, their class numbers, and test rows."""
        rows = np.flatnonzero([s == subtask for s in self.train_subtasks])
        names = [self.train_labels[row] for row in rows]
        classes = list(dict.fromkeys(names))
        labels = np.array([classes.index(name) for name in names])
        return classes, rows, labels, np.flatnonzero([s == subtask for s in self.test_subtasks])


WIDTHS = (6, 6, 6)


def draw_problem(
    seed: int,
    *,
    widths: tuple[int, ...] = WIDTHS,
    counts: tuple[int, ...] = (5, 5, 5, 5),
    subtasks: tuple[str | None, ...] = (None,),
    tests: int = 40,
    heads: int = 4,
) -> Problem:
    """Return a problem whose heads differ in strength; rows of classes and subtasks are mixed."""
    rng = np.random.default_rng(seed)
    cells = [(s, c) for s in subtasks for c, count in enumerate(counts) for _ in range(count)]
    order = rng.permutation(len(cells))
    train = [cells[i] for i in order]
    picks = rng.integers(len(cells), size=tests)
    test = [cells[i] for i in picks]
    grid = tuple(
        LayerGrid(2 * layer, tuple(range(heads)), width) for layer, width in enumerate(widths)
    )
    features: dict[str, list[Array]] = {"train": [], "test": []}
    for number, width in enumerate(width for width in widths for _ in range(heads)):
        strength = 1.5 * number / (len(widths) * heads)
        centres = {cell: strength * rng.normal(size=width) for cell in dict.fromkeys(cells)}
        for name, rows in (("train", train), ("test", test)):
            centre = np.array([centres[cell] for cell in rows]).reshape(-1, width)
            noise = rng.normal(size=(len(rows), width))
            features[name].append((centre + noise).astype(np.float32))
    return Problem(
        grid,
        features["train"],
        features["test"],
        [f"class {c}" for _, c in train],
        [f"class {c}" for _, c in test],
        [s for s, _ in train],
        [s for s, _ in test],
    )


def _ties(seed: int) -> Problem:
    """Small integers: many cosines are equal."""
    problem = draw_problem(seed)
    for head in (*problem.train, *problem.test):
        head[:] = np.clip(np.rint(head), -1, 1)
    return problem


def _twins(seed: int) -> Problem:
    """Two classes with the same examples, repeated examples, and two heads that are the same."""
    problem = draw_problem(seed)
    labels = np.array(problem.train_labels)
    first, last = (np.flatnonzero(labels == f"class {c}") for c in (0, 3))
    for head in problem.train:
        head[last] = head[first]
        head[first[1]] = head[first[2]]
    for features in (problem.train, problem.test):
        features[7][:] = features[11]
    return problem


def _zero_columns(seed: int) -> Problem:
    """Heads whose last columns are zero in all examples, a dead head and dead examples."""
    problem = draw_problem(seed)
    for features in (problem.train, problem.test):
        for head in range(0, 12, 2):
            features[head][:, 4:] = 0
        features[5][:] = 0
    for head in problem.train:
        head[3] = 0
    for head in problem.test:
        head[[0, 7]] = 0
    return problem


KINDS: dict[str, Callable[[int], Problem]] = {
    "ties": _ties,
    "twins": _twins,
    "zero columns": _zero_columns,
    "mixed widths": lambda seed: draw_problem(seed, widths=(9, 4, 6), counts=(6, 4, 5)),
    "classes of one": lambda seed: draw_problem(seed, counts=(4, 1, 3, 1, 2)),
    "subtasks": lambda seed: draw_problem(
        seed, counts=(3, 4, 3), subtasks=("one", "two", "three"), tests=60
    ),
}
SEEDS = range(4)


def write_problem(folder: Path, problem: Problem, shard_rows: int = 16) -> FeatureStore:
    """Write a problem as a complete store."""
    rows = {
        "train": zip(problem.train_labels, problem.train_subtasks, strict=True),
        "test": zip(problem.test_labels, problem.test_subtasks, strict=True),
    }
    return write_store(
        folder,
        identity(grid=problem.grid),
        {
            split: {
                grid.layer: np.stack(heads[start : start + len(grid.heads)])
                for grid, start in zip(problem.grid, problem.starts, strict=True)
            }
            for split, heads in (("train", problem.train), ("test", problem.test))
        },
        {
            split: [{"label": label, "subtask": subtask} for label, subtask in some]
            for split, some in rows.items()
        },
        shard_rows=shard_rows,
    )
