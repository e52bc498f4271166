import numpy as np
import oracle
import pytest

from savs.pipeline.selection.readouts.vote import VOTE, FittedVote


def one_head_votes(*classes: int) -> np.ndarray:
    """Return `(heads, 1, d)` features with which each head votes for the given class."""
    return np.eye(4, dtype=np.float32)[list(classes)][:, None]


AXES = np.tile(np.eye(4, dtype=np.float32), (9, 1, 1))


@pytest.mark.parametrize(
    ("ballots", "winner"),
    [
        ((2, 1, 1), 1),  # majority
        ((2, 1), 2),  # equal: the best-ranked head's class, not the first class
        ((3, 1, 2, 1, 2), 1),  # 1 and 2 have two votes each, 1 was named first
        ((0, 2, 2, 3, 3), 2),  # the best-ranked head's own class is out of the race
        ((1,), 1),
    ],
)
def test_majority_and_ties(ballots, winner):
    found = FittedVote(AXES[: len(ballots)]).scores(one_head_votes(*ballots))
    assert found.choice.tolist() == [winner]
    assert found.scores[0].tolist() == [ballots.count(c) for c in range(4)]


@pytest.mark.parametrize("heads", [1, 3, 20], ids=lambda n: f"{n} heads")
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2, 2], [0, 1, 1, 1], [0, 1]], ids=str)
def test_votes_and_choices_equal_the_slow_method(heads, labels):
    rng = np.random.default_rng(heads)
    classes = max(labels) + 1
    train = rng.normal(size=(heads, len(labels), 6)).astype(np.float32)
    test = rng.normal(size=(heads, 30, 6)).astype(np.float32)
    names = [str(c) for c in range(classes)]
    found = VOTE.fit(train, np.array(labels), names, [6] * heads).scores(test)
    slow = oracle.vote(train.astype(float).tolist(), labels, classes, test.astype(float).tolist())
    assert found.choice.tolist() == [choice for choice, _ in slow]
    assert found.scores.tolist() == [[votes.get(c, 0) for c in range(classes)] for _, votes in slow]


def test_integer_features_tie_by_the_written_rule():
    # small integers: in most heads several classes have the same cosine
    rng = np.random.default_rng(1)
    train, test = (rng.integers(-1, 2, size=(5, n, 4)).astype(np.float32) for n in (12, 60))
    labels = [0, 1, 2, 3] * 3
    found = VOTE.fit(train, np.array(labels), list("abcd"), [4] * 5).scores(test)
    slow = oracle.vote(train.tolist(), labels, 4, test.tolist())
    assert found.choice.tolist() == [choice for choice, _ in slow]
    assert found.scores.tolist() == [[votes.get(c, 0) for c in range(4)] for _, votes in slow]


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        FittedVote(AXES[:1]).scores(np.float32([[[np.nan, 1, 0, 0]]]))


def test_soft_is_the_mean_cosine():
    # head 0 sees (3, 4): cosines .6, .8; head 1 sees (1, 0): cosines 1, 0; means .8, .4
    fitted = FittedVote(np.tile(np.eye(2, dtype=np.float32), (2, 1, 1)))
    found = fitted.scores(np.float32([[[3, 4]], [[1, 0]]]))
    np.testing.assert_allclose(found.soft, [[0.8, 0.4]], rtol=1e-6)


def test_a_fit_comes_back_from_its_arrays():
    fitted = VOTE.fit(np.ones((2, 2, 3), np.float32), np.array([0, 1]), ["a", "b"], [3, 3])
    again = VOTE.load(centroids=fitted.centroids)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    assert (again.scores(x).scores == fitted.scores(x).scores).all()
