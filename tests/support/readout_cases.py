"""Few-shot problems of readouts, as arrays: unbalanced classes, zeros, duplicates, mixed widths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array


@dataclass(frozen=True, slots=True)
class Case:
    """A few-shot problem on some chosen heads."""

    train: Array
    """`(heads, n, d)` float32, narrow heads padded with zeros."""
    labels: Array
    """`(n,)` class numbers in any order."""
    test: Array
    """`(heads, rows, d)` float32."""
    widths: tuple[int, ...]
    """Width of each head."""

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return [f"class {c}" for c in range(int(self.labels.max()) + 1)]


def draw(
    seed: int, heads: int, counts: Sequence[int], width: int, *, widths: Sequence[int] = ()
) -> Case:
    """Return a case with `counts` examples of the classes, shuffled; heads differ in strength."""
    rng = np.random.default_rng(seed)
    pull = rng.normal(size=(heads, len(counts), width)) * np.linspace(0, 1.5, heads)[:, None, None]
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    truth = rng.integers(0, len(counts), 9)
    train = pull[:, labels] + rng.normal(size=(heads, len(labels), width))
    test = pull[:, truth] + rng.normal(size=(heads, len(truth), width))
    for head, own in enumerate(widths):
        train[head, :, own:] = test[head, :, own:] = 0
    return Case(
        train.astype(np.float32),
        labels,
        test.astype(np.float32),
        tuple(widths) or (width,) * heads,
    )


def _zeros() -> Case:
    case = draw(6, 3, (4, 3, 3), 6)
    case.train[0, [0, 4]] = 0
    case.train[1] = case.test[1] = 0  # a dead head
    case.train[2, case.labels == 1] = 0  # a zero centroid
    case.test[:, 0] = case.test[2, 3] = 0
    return case


def _duplicates() -> Case:
    case = draw(7, 3, (4, 3, 4), 6)
    first, last = (np.flatnonzero(case.labels == c) for c in (0, 2))
    case.train[:, first[1]] = case.train[:, first[0]]  # within a class
    case.train[:, last] = case.train[:, first]  # whole classes: bit-identical centroids
    return case


def _constant() -> Case:
    case = draw(8, 3, (4, 5), 6)
    case.train[0] = case.test[0] = case.train[0, 0]  # says the same of everything
    for part in (case.train, case.test):  # says nearly the same
        part[1] = case.train[0, 0] + np.float32(1e-3) * part[1]
    return case


CASES: dict[str, Callable[[], Case]] = {
    "1 head, 2 classes": lambda: draw(1, 1, (5, 5), 8),
    "3 heads, 5 unbalanced classes": lambda: draw(2, 3, (6, 1, 3, 2, 4), 8),
    "20 heads, 12 classes, n < d": lambda: draw(3, 20, (2,) * 12, 32),
    "n > d": lambda: draw(4, 3, (9, 7, 8), 4),
    "one example a class": lambda: draw(5, 3, (1, 1, 1, 1), 6),
    "zero vectors": _zeros,
    "duplicates": _duplicates,
    "heads that hardly vary": _constant,
    "heads of three widths": lambda: draw(9, 3, (5, 6, 4), 8, widths=(8, 3, 5)),
}


def assert_choices(choice: Array, slow: Array, gap: float = 1e-5) -> None:
    """Assert that choices are the best class, or as good as it where rounding decides."""
    chosen = slow[np.arange(len(slow)), choice]
    clear = np.sort(slow, axis=1)[:, -1] - np.sort(slow, axis=1)[:, -2] > gap
    assert clear.any()
    assert choice[clear].tolist() == slow.argmax(axis=1)[clear].tolist()
    assert (chosen >= slow.max(axis=1) - gap).all()
