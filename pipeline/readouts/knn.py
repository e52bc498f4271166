"""`knn`: in every chosen head the nearest training examples name their classes, votes summed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import few_threads, unit
from savs.pipeline.readouts.readout import ClassScores, Readout
from savs.pipeline.readouts.vote import score_heads

NEIGHBOURS = 5
"""Neighbours a head, or the size of the smallest class, where that is less."""
SPARE = 8
"""Neighbours searched beyond those, among which exact ties are put in order."""


@dataclass(frozen=True, slots=True)
class FittedKnn:
    """The training examples themselves."""

    features: Array
    """`(heads, n, d)` float32 of unit length."""
    labels: Array
    """`(n,)` class numbers."""

    def scores(self, features: Array) -> ClassScores:
        """Count the neighbours of each class over all heads.

        Of equal counts the class with the greatest sum of cosines wins, then the first. Of equally
        near neighbours the earlier training example counts.
        """
        classes = int(self.labels.max()) + 1
        k = min(NEIGHBOURS, int(np.bincount(self.labels).min()))
        n = features.shape[1]
        counts, sums = np.zeros((n, classes), np.float32), np.zeros((n, classes), np.float32)
        rows = np.repeat(np.arange(n), k)
        for base, queries in zip(self.features, features, strict=True):
            cosines, places = _nearest(base, unit(queries), k)
            named = self.labels[places].ravel()
            np.add.at(counts, (rows, named), 1)
            np.add.at(sums, (rows, named), cosines.ravel())
        leads = counts == counts.max(axis=1, keepdims=True)
        choice = np.where(leads, sums, -np.inf).argmax(axis=1)
        return ClassScores(counts, choice, counts + sums / (2 * k * len(features) + 1))

    def arrays(self) -> Mapping[str, Array]:
        """Return the training examples and their classes."""
        return {"features": self.features, "labels": self.labels}


def _nearest(base: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """Return cosines and places, `(n, k)` each, of the nearest; equally near ones in their order.

    Raises
    ------
    ValueError
        A feature is not finite.
    """
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(np.ascontiguousarray(base))
    searched = min(k + SPARE, len(base))
    with few_threads(len(queries) * len(base)):
        cosines, places = index.search(np.ascontiguousarray(queries), searched)
        if (places < 0).any():
            raise ValueError("features hold NaN or infinity; they cannot be compared")
        if searched < len(base) and (cosines[:, k - 1] == cosines[:, -1]).any():
            cosines, places = index.search(np.ascontiguousarray(queries), len(base))
    order = np.lexsort((places, -cosines), axis=1)[:, :k]
    return np.take_along_axis(cosines, order, 1), np.take_along_axis(places, order, 1)


def fit(features: Array, labels: Array, classes: Sequence[str]) -> FittedKnn:
    """Keep the training examples."""
    del classes
    return FittedKnn(unit(features), labels)


KNN = Readout(
    name="knn",
    summary="nearest training examples a head, votes summed",
    score_heads=score_heads,
    fit=fit,
    load=lambda arrays: FittedKnn(arrays["features"], arrays["labels"]),
)
