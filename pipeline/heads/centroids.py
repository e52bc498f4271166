"""Class centroids, cosines with them, and the rule that names the nearest class."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError

TIE = 2.0**-19
"""Cosines that differ by at most this, about 2e-6, are tied.

A float32 inner product of `d` products is off by about sqrt(d) 2^-24 (Higham and Mary, 2019,
doi:10.1137/18M1226312), which is 2^-20 for unit vectors of 256 values; a comparison has two.
"""
SQUARES = (2.0**-80, np.inf)
"""Sums of squares that are exact enough in float32: what is lost of small squares is below 2^-46
of them."""


def class_centroids(features: Array, labels: Array, classes: int) -> Array:
    """Return the plain mean of each class's features; nothing is normalised first.

    `(heads, n, d)` features and `(n,)` class numbers, each at least once, give
    `(heads, classes, d)` float32, summed in float64. Source: SAVs, arXiv 2412.00142, section 3.

    >>> class_centroids(np.float32([[[0, 0], [2, 4], [1, 1]]]), np.array([0, 0, 1]), 2)
    array([[[1., 2.],
            [1., 1.]]], dtype=float32)
    """
    counts = np.bincount(labels, minlength=classes)
    return (class_sums(features, labels, classes) / counts[:, None]).astype(np.float32)


def class_sums(features: Array, labels: Array, classes: int) -> Array:
    """Return the sums of classes, `(heads, n, d)` -> `(heads, classes, d)` float64."""
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        raise ValueError(f"class {int(np.argmin(counts))} has no examples")
    sums = np.empty((len(features), classes, features.shape[2]))
    rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    for number, rows_of_class in enumerate(rows):  # `np.add.reduceat` takes four times as long
        features[:, rows_of_class].sum(axis=1, dtype=np.float64, out=sums[:, number])
    return sums


def normalise(vectors: Array) -> Array:
    """Return vectors divided by their length along the last axis; zero vectors stay zero."""
    values, lengths = lengths_of(vectors)
    with np.errstate(invalid="ignore"):  # infinity gives NaN: refused when compared
        return values / lengths[..., None]


def lengths_of(vectors: Array) -> tuple[Array, Array]:
    """Return vectors of the same directions, and their lengths; 1 for a zero vector.

    Squares of values below 1e-19 or above 1e19 leave the range of float32: vectors whose sum of
    squares is not in `SQUARES` are first scaled by the power of two of their greatest value.
    """
    values = vectors.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.asarray(np.vecdot(values, values))
        odd = ~((squares > SQUARES[0]) & (squares < SQUARES[1]))
        if odd.any():
            greatest = np.abs(values[odd]).max(axis=-1, keepdims=True, initial=0)
            if greatest.any():
                values = values.copy()
                values[odd] = np.ldexp(values[odd], -np.frexp(greatest)[1])
                squares[odd] = np.vecdot(values[odd], values[odd])
        lengths = np.sqrt(squares)
        return values, np.where(lengths > 0, lengths, np.float32(1))


def cosines(features: Array, centroids: Array) -> Array:
    """Return the cosine of every feature with every class's centroid; 0 with a zero vector.

    `(heads, n, d)` and `(heads, classes, d)`, or the same of one head, give `(heads, n, classes)`.
    """
    return normalise(features) @ normalise(centroids).swapaxes(-1, -2)


def first_of_best(table: Array, tie: float = TIE) -> Array:
    """Return the class of greatest cosine; of classes within a tie of it the first.

    `(..., classes)` cosines, classes in order of first appearance in the train file, give `(...)`
    class numbers; ParameterError if one is NaN, because a feature is not finite.

    >>> first_of_best(np.float32([[0.1, 0.7, 0.7000001], [0.1, 0.2, 0.3]]))
    array([1, 2])
    """
    best = table.max(axis=-1, keepdims=True)
    if np.isnan(best).any():
        raise not_finite()
    return (table >= best - tie).argmax(axis=-1)


def lead(table: Array, classes: Array) -> Array:
    """Return the score of one class of each row less the best score of another one.

    `classes` are `(...)` numbers for `(..., classes)` scores; the first axes may be left out, to be
    repeated.
    """
    chosen = np.broadcast_to(classes, table.shape[:-1])[..., None]
    others = table.copy()
    np.put_along_axis(others, chosen, -np.inf, axis=-1)
    return np.take_along_axis(table, chosen, axis=-1)[..., 0] - others.max(axis=-1)


def leads(table: Array, classes: Array) -> Array:
    """Return `lead` of cosines; 0 if two tie."""
    apart = lead(table, classes)
    return np.where(np.abs(apart) <= TIE, 0, apart)


def nearest_centroids(features: Array, centroids: Array) -> Array:
    """Return the class of the nearest centroid, by `first_of_best`, whose error this raises, too.

    `(heads, n, d)` features and `(heads, classes, d)` centroids give `(heads, n)` class numbers.

    >>> nearest_centroids(np.float32([[[2, 0], [1, 1]]]), np.float32([[[0, 1], [1, 0]]]))
    array([[1, 0]])
    """
    pairs = zip(features, normalise(centroids), strict=True)
    return np.stack([_nearest(normalise(queries), base) for queries, base in pairs])


def _nearest(queries: Array, base: Array) -> Array:
    """Return each query's class in one head; all classes are compared where the best two tie."""
    scores, classes = search(queries, base, min(2, len(base)))
    tied = np.flatnonzero(scores[:, -1] >= scores[:, 0] - TIE)
    nearest = classes[:, 0]
    nearest[tied] = first_of_best(queries[tied] @ base.T)
    return nearest


def search(queries: Array, base: Array, k: int) -> tuple[Array, Array]:
    """Return the `k` greatest inner products of each query, descending, and the rows of `base`.

    `(n, d)` queries and `(m, d)` vectors, at least `k`, give `(n, k)` each. FAISS orders equal ones
    by chance. ParameterError if a feature is not finite.
    """
    import faiss  # a fifteenth of a start; a saved vote does not search

    index = faiss.IndexFlatIP(base.shape[1])
    index.add(np.ascontiguousarray(base))
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads if len(queries) * base.size >= LARGE else 1)
    try:
        scores, rows = index.search(np.ascontiguousarray(queries), k)
    finally:
        faiss.omp_set_num_threads(threads)
    if (rows < 0).any():
        raise not_finite()
    return scores, rows


def row_blocks(rows: int, size: int, most: int) -> list[slice]:
    """Return slices of rows, each with at most `most` cells if a row has `size`, or of one row."""
    step = max(1, most // size)
    return [slice(start, start + step) for start in range(0, rows, step)]


def not_finite() -> ParameterError:
    """Return the error for features that hold NaN or infinity."""
    return ParameterError(
        "features hold NaN or infinity, expected finite numbers: they cannot be compared; extract"
        " them again, or run `savs verify` on the store"
    )


LARGE = 2**28
"""Multiplications of a matrix product from which several threads are worth it."""


@contextmanager
def few_threads(products: int) -> Iterator[None]:
    """Let matrix products and solvers take one thread, unless the largest has `LARGE` products."""
    if products >= LARGE:
        yield
        return
    with _blas().limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
