import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_info, threadpool_limits

from savs.foundation.errors import SavsError
from savs.pipeline.heads.centroids import (
    LARGE,
    TIE,
    _blas,
    class_centroids,
    cosines,
    few_threads,
    first_of_best,
    leads,
    nearest_centroids,
)

small_integers = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4)),
    elements=st.integers(-3, 3).map(float),
)


def test_centroids_are_plain_means():
    # class 0: ((1, 1) + (3, 5)) / 2 = (2, 3), not the mean of unit vectors; class 1: (0, 4)
    features = np.float32([[[1, 1], [0, 4], [3, 5]]])
    found = class_centroids(features, np.array([0, 1, 0]), 2)
    assert found.tolist() == [[[2.0, 3.0], [0.0, 4.0]]]
    assert found.dtype == np.float32


def test_a_class_without_examples_has_no_centroid():
    with pytest.raises(ValueError, match="class 1 has no examples"):
        class_centroids(np.ones((1, 2, 3), np.float32), np.array([0, 2]), 3)


def test_cosine_of_a_zero_vector_is_zero():
    found = cosines(np.float32([[[0, 0], [3, 4]]]), np.float32([[[4, 3], [0, 0]]]))
    # (3, 4) with (4, 3): 24 / 25
    np.testing.assert_allclose(found, [[[0, 0], [0.96, 0]]], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e20])
def test_cosines_of_vectors_whose_squares_leave_the_range_of_float32(scale):
    long = np.float32([[[3, 4]]]) * np.float32(scale)
    np.testing.assert_allclose(cosines(long, np.float32([[[4, 3]]])), [[[0.96]]], rtol=1e-6)


@pytest.mark.thorough
@given(small_integers, st.data())
@settings(max_examples=200, deadline=None)
def test_nearest_equals_the_slow_search_with_exact_ties(queries, data):
    heads, _, width = queries.shape
    base = data.draw(
        hnp.arrays(
            np.float32,
            (heads, data.draw(st.integers(1, 5)), width),
            elements=st.integers(-2, 2).map(float),
        )
    )
    expected = [[oracle.nearest(x, base[h]) for x in queries[h]] for h in range(heads)]
    assert nearest_centroids(queries, base).tolist() == expected
    assert first_of_best(cosines(queries, base)).tolist() == expected


@pytest.mark.parametrize("queries", [1, 19, 20, 300], ids=lambda n: f"{n} queries")
@pytest.mark.parametrize("width", [3, 64, 256])
def test_scaled_copies_of_a_centroid_tie_and_go_to_the_first_class(width, queries):
    # c, 3c and c / 7 have the same cosine with everything; float32 rounds each differently
    rng = np.random.default_rng(width)
    x = rng.normal(size=(20, queries, width)) + rng.normal(size=(20, 1, 1))
    c = x.mean(axis=1, keepdims=True)
    base = np.concatenate([-c, 3 * c, c, c / 7], axis=1).astype(np.float32)
    table = cosines(x.astype(np.float32), base)
    clear = table[:, :, 1] > TIE  # as many are on the side of -c
    assert clear.any()
    for found in (nearest_centroids(x.astype(np.float32), base), first_of_best(table)):
        assert (found[clear] == 1).all()
    chosen = np.ones(table.shape[:2], np.int64)
    assert (leads(table, chosen)[clear] == 0).all()


def test_a_tie_reaches_as_far_as_it_says_and_no_farther():
    # the first of those within TIE of the best, not of those within TIE of each other
    table = np.float32([[0.5, 0.5 + TIE, 0.5 + 2 * TIE], [0.5, 0.5, 0.5 + 2 * TIE]])
    assert first_of_best(table).tolist() == [1, 2]
    assert leads(table, np.array([2, 2])).tolist() == [0, 2 * TIE]
    assert leads(table, np.array([0, 0])).tolist() == [-2 * TIE, -2 * TIE]


@pytest.mark.parametrize("queries", [1, 19, 20, 300], ids=lambda n: f"{n} queries")
def test_bit_identical_centroids_go_to_the_first_class(queries):
    rng = np.random.default_rng(0)
    twin = rng.normal(size=(1, 1, 64)).astype(np.float32)
    others = rng.normal(size=(1, 3, 64)).astype(np.float32)
    base = np.concatenate([others[:, :1], twin, others[:, 1:], twin, twin], axis=1)
    x = twin + 0.1 * rng.normal(size=(1, queries, 64)).astype(np.float32)
    assert (nearest_centroids(x, base) == 1).all()


def test_features_that_are_not_finite_are_refused():
    base, x = np.float32([[[1, 0], [0, 1]]]), np.float32([[[1, 2], [np.nan, 1], [np.inf, 1]]])
    for bad in (x[:, :2], x[:, ::2]):
        with pytest.raises(ValueError, match="NaN") as raised:
            nearest_centroids(bad, base)
        assert isinstance(raised.value, SavsError)
    with pytest.raises(ValueError, match="NaN"):
        first_of_best(cosines(x, base))


def test_centroids_of_a_thousand_classes_are_plain_means():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.concatenate([np.arange(1000), rng.integers(0, 1000, 500)]))
    features = rng.normal(size=(2, 1500, 3)).astype(np.float32)
    found = class_centroids(features, labels, 1000)
    slow = np.stack([features[:, labels == c].mean(axis=1, dtype=np.float64) for c in range(1000)])
    np.testing.assert_array_equal(found, slow.transpose(1, 0, 2).astype(np.float32))


def test_centroids_are_summed_in_float64():
    # 1e8 + 1 - 1e8 is 0 in float32, whose step is 8 there; the mean is 1 / 3
    features = np.float32([[[1e8], [1], [-1e8], [5]]])
    found = class_centroids(features, np.array([0, 0, 0, 1]), 2)
    assert found.tolist() == [[[np.float32(1 / 3)], [5.0]]]


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
