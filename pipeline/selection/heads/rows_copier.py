"""Copies of some rows of features in memory that is used again."""

import numpy as np

from savs.foundation.arrays import Array


class RowsCopier:
    """Copies rows into the memory of the last copy, which is lost.

    The system clears new memory first, which takes longer than the copy.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, np.float32)

    def copy(self, features: Array, rows: Array, heads: Array | None = None) -> Array:
        """Return `(heads, rows, d)` of `(all heads, n, d)` float32 features.

        If all rows and heads are wanted in their order, those are `features` itself, not copied.

        Parameters
        ----------
        features
            Where to copy from.
        rows
            `(rows,)` indices.
        heads
            `(heads,)` indices; all of them by default.
        """
        count, n, d = features.shape
        wanted = np.arange(count) if heads is None else heads
        if np.array_equal(wanted, np.arange(count)) and np.array_equal(rows, np.arange(n)):
            return features
        size = len(wanted) * len(rows) * d
        if self._memory.size < size:
            self._memory = np.empty(size, np.float32)
        found = self._memory[:size].reshape(len(wanted), len(rows), d)
        for head, own in zip(wanted, found, strict=True):  # faster than one index of both axes
            np.take(features[head], rows, axis=0, out=own, mode="clip")  # other modes buffer it
        return found
