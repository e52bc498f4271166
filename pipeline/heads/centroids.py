"""Class centroids and the nearest of them, head by head."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np

from savs.foundation.arrays import Array

SMALL_SEARCH = 2**20
"""Queries x vectors up to which a search takes one thread."""


def class_centroids(features: Array, labels: Array, classes: int) -> Array:
    """Return the plain mean of each class's features; nothing is normalised first.

    Parameters
    ----------
    features
        `(heads, n, d)` float32.
    labels
        `(n,)` class numbers, each class at least once.
    classes
        Number of classes.

    Returns
    -------
    ndarray
        `(heads, classes, d)` float32, summed in float64. Source: SAVs, arXiv 2412.00142, section 3.

    Examples
    --------
    >>> class_centroids(np.float32([[[0, 0], [2, 4], [1, 1]]]), np.array([0, 0, 1]), 2)
    array([[[1., 2.],
            [1., 1.]]], dtype=float32)
    """
    counts = np.bincount(labels, minlength=classes)
    means = np.empty((len(features), classes, features.shape[2]), np.float32)
    for head, mean in zip(features, means, strict=True):
        mean[:] = class_sums(head, labels, classes) / counts[:, None]
    return means


def class_sums(head: Array, labels: Array, classes: int) -> Array:
    """Return the sum of each class's features in one head, `(n, d)` -> `(classes, d)` float64."""
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        raise ValueError(f"class {int(np.argmin(counts))} has no examples")
    order = np.argsort(labels, kind="stable")
    return np.add.reduceat(head[order], np.cumsum(counts) - counts, dtype=np.float64)


def unit(vectors: Array) -> Array:
    """Return vectors divided by their length along the last axis; zero vectors stay zero."""
    values = vectors.astype(np.float32, copy=False)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)


def cosines(features: Array, centroids: Array) -> Array:
    """Return the cosine of every feature with every class's centroid.

    A zero vector has cosine 0 with everything. Bit-identical centroids get bit-identical cosines.

    Parameters
    ----------
    features
        `(heads, n, d)`.
    centroids
        `(heads, classes, d)`.

    Returns
    -------
    ndarray
        `(heads, n, classes)` float32.
    """
    base = unit(centroids)
    twins = [first_twins(vectors) for vectors in base]
    return level_twins(unit(features) @ base.transpose(0, 2, 1), twins)


def level_twins(table: Array, twins: Sequence[Array]) -> Array:
    """Give bit-identical classes the cosines of the first of them, in place, and return the table.

    A matrix product rounds equal columns differently, by their place, which would decide ties.

    Parameters
    ----------
    table
        `(heads, n, classes)`.
    twins
        `(classes,)` for each head: `first_twins` of its classes.
    """
    for head, first in zip(table, twins, strict=True):
        if (first != np.arange(len(first))).any():
            head[:] = head[:, first]
    return table


def first_twins(vectors: Array) -> Array:
    """Return, for each of `(n, d)` vectors, the place of the first that equals it bit by bit.

    Examples
    --------
    >>> first_twins(np.float32([[1, 2], [3, 4], [1, 2]])).tolist()
    [0, 1, 0]
    """
    places: dict[bytes, int] = {}
    return np.array([places.setdefault(v.tobytes(), place) for place, v in enumerate(vectors)])


def nearest_centroids(features: Array, centroids: Array) -> Array:
    """Return the class whose centroid has the greatest cosine; exact ties go to the first class.

    Parameters
    ----------
    features
        `(heads, n, d)`.
    centroids
        `(heads, classes, d)`, classes in order of first appearance in the train file.

    Returns
    -------
    ndarray
        `(heads, n)` class numbers.

    Raises
    ------
    ValueError
        A feature is not finite.

    Examples
    --------
    >>> nearest_centroids(np.float32([[[2, 0], [1, 1]]]), np.float32([[[0, 1], [1, 0]]]))
    array([[1, 0]])
    """
    return np.stack(
        [
            _search(queries, base)
            for queries, base in zip(unit(features), unit(centroids), strict=True)
        ]
    )


def _search(queries: Array, base: Array) -> Array:
    """Return each query's class for one head.

    FAISS breaks exact ties by position or by rounding, not by class order, so bit-identical
    centroids are collapsed to their first class, and the first class is taken among equal scores.
    """
    first = np.unique(first_twins(base))
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(np.ascontiguousarray(base[first]))
    with few_threads(len(queries) * len(first)):
        found = _first_of_best(index, queries, min(2, len(first)))
        open_ties = found < 0
        if open_ties.any():
            found[open_ties] = _first_of_best(index, queries[open_ties], len(first))
    return first[found]


@contextmanager
def few_threads(cosines: int) -> Iterator[None]:
    """Search with one thread where there is little to do: waking more takes longer than that."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if cosines < SMALL_SEARCH else threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _first_of_best(index: Any, queries: Array, k: int) -> Array:
    """Return the smallest position among the best scores, -1 where more than k may be equal."""
    scores, places = index.search(np.ascontiguousarray(queries), k)
    if (places < 0).any():
        raise ValueError("features hold NaN or infinity; they cannot be compared")
    best = scores == scores[:, :1]
    first = np.where(best, places, index.ntotal).min(axis=1)
    undecided = best.all(axis=1) & (1 < k < index.ntotal)
    return np.where(undecided, -1, first)
