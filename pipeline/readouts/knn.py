"""`knn`: the nearest training examples in every chosen head vote for their classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import TIE, first_of_best, normalise, row_blocks, search
from savs.pipeline.readouts.heads_fit import ClassScores
from savs.pipeline.readouts.readout import Readout, Widths

NEIGHBOURS = 5
"""Neighbours that each head takes; fewer where the smallest class has fewer examples."""
SPARE = 8
"""Neighbours searched beyond those, to see which examples are equally near."""
TABLE = 2**23
"""Cosines of one head in a table, queries x training examples: 32 MB."""


@dataclass(frozen=True, slots=True)
class FittedKnn:
    """The training examples themselves."""

    features: Array
    """`(heads, n, d)` float32 of unit length."""
    labels: Array
    """`(n,)` class numbers."""

    def scores(self, features: Array) -> ClassScores:
        """Count the neighbours of each class over all heads.

        Each head takes its min(5, size of the smallest class) nearest training examples. Examples
        whose cosine is within `TIE` of the last neighbour's are equally near: the earlier ones are
        taken. Of equal counts the class with the greatest mean cosine wins, and where these tie the
        first.
        """
        classes = int(self.labels.max()) + 1
        k = min(NEIGHBOURS, int(np.bincount(self.labels).min()))
        n = features.shape[1]
        counts, sums = np.zeros((2, n, classes))
        rows = np.repeat(np.arange(n), k)
        for base, queries in zip(self.features, features, strict=True):
            cosines, neighbours = _nearest(base, normalise(queries), k)
            named = self.labels[neighbours].ravel()
            np.add.at(counts, (rows, named), 1)
            np.add.at(sums, (rows, named), cosines.ravel())
        most = counts.max(axis=1, keepdims=True)
        choice = first_of_best(np.where(counts == most, sums / most, -np.inf))
        soft = counts + sums / (2 * k * len(features) + 1)
        return ClassScores(counts.astype(np.float32), choice, soft.astype(np.float32))


def _nearest(base: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """Return the cosines and the indices of the `k` nearest examples, `(n, k)` each."""
    searched = min(k + SPARE, len(base))
    cosines, examples = search(queries, base, searched)
    nearest = _first_of_equal(cosines, examples, k)
    if searched < len(base):  # where more examples may be equally near, all are looked at
        rows = np.flatnonzero(cosines[:, -1] >= cosines[:, k - 1] - TIE)
        for block in row_blocks(len(rows), len(base), TABLE):
            some = rows[block]
            of_all = _first_of_equal(*search(queries[some], base, len(base)), k)
            for values, new in zip(nearest, of_all, strict=True):
                values[some] = new
    return nearest


def _first_of_equal(cosines: Array, examples: Array, k: int) -> tuple[Array, Array]:
    """Return the `k` nearest of more neighbours; of equally near ones the earlier examples."""
    # Ties matter at the cut alone: whoever is clearly nearer than the k-th is in, in any order; the
    # places that are left go to those that tie with it, which FAISS puts before or after the cut.
    last = cosines[:, k - 1 : k]
    rank = (cosines <= last + TIE).astype(int) + (cosines < last - TIE)  # nearer, tied, farther
    order = np.lexsort((examples, rank), axis=1)[:, :k]
    return np.take_along_axis(cosines, order, 1), np.take_along_axis(examples, order, 1)


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> FittedKnn:
    """Keep the training examples."""
    return FittedKnn(normalise(features), labels.astype(np.int64))


KNN = Readout(
    name="knn",
    summary="min(5, smallest class) nearest training examples a head, votes summed",
    fit=fit,
    load=FittedKnn,
    arrays={"features": ("heads", "examples", "width"), "labels": ("examples",)},
)
