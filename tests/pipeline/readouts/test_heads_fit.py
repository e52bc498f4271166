"""A HeadsFit, whatever made it: pools, weights, ties, parts, prefixes, many fits, two classes."""

import numpy as np
import pytest

from savs.pipeline.heads.centroids import TIE
from savs.pipeline.readouts.heads_fit import HeadsFit, score_fits, shares

POOLS = ("vote", "mean", "sum")
AXES = np.tile(np.eye(2, dtype=np.float32), (3, 1, 1))
# heads see the second axis, the first, and both alike
SEEN = np.float32([[[0, 2]], [[3, 0]], [[1, 1]]])
ROOT, P = 0.5**0.5, 1 / (1 + np.exp(-1))
BY_HAND = {
    # of equal cosines the first class: two votes to one; a second class that counts three wins
    "votes": (("vote", AXES), [2, 1], 0, [(1 + ROOT) / 3] * 2),
    "weighted votes": (
        ("vote", AXES, 0, np.float32([[1, 3]] * 3)),
        [2, 3],
        1,
        [(1 + ROOT) / 3] * 2,
    ),
    # heads say (1 - P, P), (P, 1 - P), halves
    "mean": (("mean", AXES), [0.5, 0.5], 0, [0.5, 0.5]),
    "weighted mean": (
        ("mean", AXES, 0, np.float32([[2, 2], [1, 1], [1, 1]])),
        [(2 * (1 - P) + P + 0.5) / 4, (2 * P + 1 - P + 0.5) / 4],
        1,
        [(2 * (1 - P) + P + 0.5) / 4, (2 * P + 1 - P + 0.5) / 4],
    ),
    # logits 1 + .707 + .5 and 1 + .707
    "sum": (
        ("sum", AXES, np.float32([[0.5, 0], [0, 0], [0, 0]])),
        [1 / (1 + np.exp(-0.5)), 1 - 1 / (1 + np.exp(-0.5))],
        0,
        [1.5 + ROOT, 1 + ROOT],
    ),
    # the first head counts twice: 1 + .707 and 2 + .707
    "weighted sum": (
        ("sum", AXES, 0, np.float32([[2, 2], [1, 1], [1, 1]])),
        [1 - P, P],
        1,
        [1 + ROOT, 2 + ROOT],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_pools_and_weights_by_hand(case):
    given, scores, choice, soft = BY_HAND[case]
    fit = HeadsFit.of(*given)
    alone = fit.scores(SEEN)
    ((together,),) = score_fits([fit], [[0, 1, 2]], SEEN, [3])
    for found in (alone, together):
        np.testing.assert_allclose(found.scores, [scores], atol=1e-6)
        np.testing.assert_allclose(found.soft, [soft], atol=1e-6)
        assert found.choice.tolist() == [choice]


def drawn(seed, pool, rows=4, classes=3, d=6):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(rows, classes, d)).astype(np.float32)
    offsets = rng.normal(size=(rows, classes)).astype(np.float32)
    weights = rng.uniform(0.5, 2, size=(rows, 1)).astype(np.float32)
    return HeadsFit.of(pool, directions, offsets, weights), rng.normal(size=(rows, 50, d)).astype(
        "f4"
    )


def same(found, expected):
    np.testing.assert_allclose(found.scores, expected.scores, atol=2e-6)
    np.testing.assert_allclose(found.soft, expected.soft, atol=2e-6)
    np.testing.assert_array_equal(found.choice, expected.choice)


def first(fit, rows):
    arrays = (fit.directions, fit.offsets, fit.weights, fit.ties)
    return HeadsFit(fit.pool, *(array[:rows] for array in arrays))


@pytest.mark.parametrize("pool", POOLS)
def test_scores_of_the_first_heads_are_those_of_a_fit_of_these_alone(pool):
    fit, features = drawn(0, pool)
    order, counts = [2, 0, 3, 1], [1, 2, 4]
    mixed = np.empty_like(features)
    mixed[order] = features  # heads lie elsewhere in all features
    more = np.concatenate([mixed, mixed])
    (alone, few, one_of_two) = (
        list(fit.nested(features, counts)),
        next(score_fits([fit], [order], mixed, counts)),
        list(score_fits([fit, fit], [order, order], more, counts))[1],
    )
    for place, count in enumerate(counts):
        expected = first(fit, count).scores(features[:count])
        for found in (alone, few, one_of_two):
            same(found[place], expected)


def test_two_rows_of_a_head_are_two_heads_that_see_the_same():
    fit, features = drawn(1, "mean")
    several = features[:2]
    expected = fit.scores(np.repeat(several, 2, axis=0))
    same(fit.scores(several), expected)
    same(next(fit.nested(several, [1, 2])), first(fit, 2).scores(several[:1]))


@pytest.mark.parametrize("pool", POOLS)
def test_the_fit_of_one_class_says_how_much_the_second_is_preferred(pool):
    fit, features = drawn(2, pool, classes=2)
    soft = fit.scores(features).soft
    one = fit.binary()
    assert one.directions.shape[1] == 1
    np.testing.assert_allclose(one.scores(features).soft[:, 0], soft[:, 1] - soft[:, 0], atol=2e-6)
    weights = np.float32([[0.1, 0.4], [0.2, 0.3], [0.3, 0.2], [0.4, 0.1]])
    calm = HeadsFit("mean", fit.directions, fit.offsets, weights, fit.ties)
    soft = calm.scores(features).soft
    found = calm.binary().scores(features).soft[:, 0]
    np.testing.assert_allclose(found, soft[:, 1] - soft[:, 0], atol=2e-6)
    assert shares(np.zeros((1, 1))) == 0


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("apart", "choice"), [(0.9, 0), (1.1, 1)])
def test_logits_that_differ_by_a_tie_are_of_the_first_class(pool, apart, choice):
    # the second class is ahead in one of two heads, by about the tie: ties of a sum add up, and the
    # probabilities of a mean are both near a half, where each may be off by half the slack
    tie = 2 * TIE if pool == "sum" else TIE
    directions = np.float32([[[1, 0], [1, 0]]] * 2)
    second = apart * tie * {"vote": 1, "sum": 1, "mean": 2}[pool]
    fit = HeadsFit.of(pool, directions, np.array([[0, second], [0, 0]]))
    features = np.float32([[[0, 1]]] * 2)
    assert fit.scores(features).choice.tolist() == [choice]
    ((found,),) = score_fits([fit], [[0, 1]], features, [2])
    assert found.choice.tolist() == [choice]


@pytest.mark.parametrize("pool", POOLS)
def test_features_that_are_not_finite_are_refused_by_many_fits_too(pool):
    fit, features = drawn(3, pool)
    features[1, 7, 2] = np.nan
    for scored in (fit.nested(features, [4]), score_fits([fit], [[0, 1, 2, 3]], features, [4])):
        with pytest.raises(ValueError, match="NaN"):
            next(scored)


def test_an_unknown_pool_is_refused():
    with pytest.raises(ValueError, match="the pool is 'most', expected 'vote', 'mean' or 'sum'"):
        HeadsFit.of("most", AXES)
