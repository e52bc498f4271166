"""One thread for small matrices: waking others and waiting for them takes longer."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

LARGE = 2**28
"""Multiplications of a matrix product from which several threads are worth it."""


@contextmanager
def few_threads(products: int) -> Iterator[None]:
    """Let matrix products and solvers take one thread, unless a call has `LARGE` multiplications.

    Parameters
    ----------
    products
        Multiplications of the largest call inside.
    """
    if products >= LARGE:
        yield
        return
    with _blas().limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
