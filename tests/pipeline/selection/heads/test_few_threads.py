import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from savs.pipeline.selection.heads.centroids import LARGE, _blas, few_threads


def threads() -> set[int]:
    """Return the numbers of threads of the libraries for matrices."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_small_products_take_one_thread_and_large_ones_what_there_was():
    _blas.cache_clear()  # FAISS brings a library of its own, which limits itself
    with threadpool_limits(limits=2, user_api="blas"):
        assert threads() == {2}
        with few_threads(LARGE - 1):
            assert threads() == {1}
        assert threads() == {2}
        with few_threads(LARGE):
            assert threads() == {2}


def test_the_threads_come_back_after_an_error():
    with threadpool_limits(limits=2, user_api="blas"):
        with pytest.raises(ValueError, match="wrong"), few_threads(1):
            raise ValueError("wrong")
        assert threads() == {2}
