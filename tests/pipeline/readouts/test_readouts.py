"""Every readout against its formula, computed slowly; then the rules that are derived by hand."""

import numpy as np
import oracle as slowly
import pytest
from oracle import unit
from readout_cases import CASES, Case, assert_choices, draw

from savs.foundation.errors import ParameterError
from savs.pipeline.readouts import READOUTS, ridge
from savs.pipeline.readouts.answers import ANSWERS_FITTED
from savs.pipeline.readouts.calm import (
    CALM,
    POSTERIOR,
    CalmOptions,
    calm_readout,
)
from savs.pipeline.readouts.calm import TAU as CALM_TAU
from savs.pipeline.readouts.calm import fit as fit_calm
from savs.pipeline.readouts.heads_fit import HeadsFit
from savs.pipeline.readouts.lda import LDA
from savs.pipeline.readouts.linear import LOGISTIC, by_head
from savs.pipeline.readouts.mahalanobis import ledoit_wolf
from savs.pipeline.readouts.ridge import RIDGE, STRENGTHS, TAU

thorough = pytest.mark.thorough  # scikit-learn takes a second to import


def side_by_side(features: np.ndarray) -> np.ndarray:
    """Return `(n, heads * d)` float64: the heads' unit vectors, one after the other."""
    rows = range(features.shape[1])
    return np.array([np.concatenate([unit(head[i]) for head in features]) for i in rows])


def by_scikit_learn(case) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    rows, queries = (side_by_side(part).astype(np.float32) for part in (case.train, case.test))
    model = LogisticRegression(C=1.0, max_iter=1000).fit(rows, case.labels)
    return model.predict_proba(queries)


def arguments(case):
    return case.train, case.labels.tolist(), len(case.classes), case.test


PROBABILITIES = {
    "posterior": (lambda case: slowly.posterior(*arguments(case)), 1e-5),
    "calm": (lambda case: slowly.calm(*arguments(case)), 1e-4),
    "lda": (lambda case: slowly.lda(*arguments(case), case.widths), 1e-4),
    "hec-v": (lambda case: slowly.lda(*arguments(case), case.widths, "hec-v"), 1e-4),
    "mahalanobis": (lambda case: slowly.mahalanobis(*arguments(case), case.widths), 1e-4),
    "logistic": (by_scikit_learn, 1e-3),
    "ridge": (lambda case: slowly.ridge(*arguments(case)), 1e-4),
}
"""Readout -> its probabilities in float64, and how far float32 may be off."""


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[thorough] * (n == "logistic")) for n in PROBABILITIES]
)
def test_probabilities_and_choices_equal_the_formula(name, make):
    case, (formula, error) = make(), PROBABILITIES[name]
    fitted = READOUTS[name].fit(case.train, case.labels, case.classes, case.widths)
    found, slow = fitted.scores(case.test), formula(case)
    np.testing.assert_allclose(found.scores, slow, atol=error)
    assert_choices(found.choice, slow, gap=error)
    if name in ("mahalanobis", "logistic", "ridge"):
        assert (found.soft.argmax(axis=1) == found.choice).all()
    else:
        assert (found.soft == found.scores).all()
    if name == "calm":
        weights = slowly.calm_weights(*arguments(case)[:3])
        np.testing.assert_allclose(fitted.weights, weights, atol=1e-4)


def slow_votes(train, labels, classes, test):
    """Return each example's class and its votes, by the slow method."""
    slow = slowly.vote(train.astype(float).tolist(), labels, classes, test.astype(float).tolist())
    return [(choice, [votes.get(c, 0) for c in range(classes)]) for choice, votes in slow]


def integers() -> Case:
    """Return small integers: in most heads several classes have the same cosine."""
    rng = np.random.default_rng(1)
    train, test = (rng.integers(-1, 2, size=(5, n, 4)).astype(np.float32) for n in (12, 60))
    return Case(train, np.array([0, 1, 2, 3] * 3), test, (4,) * 5)


@pytest.mark.parametrize("make", [*CASES.values(), integers], ids=[*CASES, "integers"])
@pytest.mark.parametrize("name", ["vote", "knn"])
def test_counts_and_choices_equal_the_slow_method(name, make):
    case = make()
    labels = case.labels.tolist()
    fitted = READOUTS[name].fit(case.train, case.labels, case.classes, case.widths)
    found = fitted.scores(case.test)
    if name == "vote":
        slow = slow_votes(*arguments(case))
    else:
        slow = slowly.knn(*arguments(case), min(5, min(map(labels.count, labels))))
        assert found.soft.argmax(axis=1).tolist() == found.choice.tolist()
        assert (np.abs(found.soft - found.scores) < 0.5).all()  # never overturns a count
    assert found.scores.tolist() == [counts for _, counts in slow]
    assert found.choice.tolist() == [choice for choice, _ in slow]


@pytest.mark.parametrize("name", [n for n in READOUTS if n != "logistic"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(name, value):
    train = np.eye(2, dtype=np.float32)[None]
    fitted = READOUTS[name].fit(train, np.array([0, 1]), ["a", "b"], [2])
    with pytest.raises(ValueError, match="NaN"):
        fitted.scores(np.float32([[[value, 1]]]))


def posterior(directions):
    """Return the fit of `posterior` to unit centroids."""
    return HeadsFit.of("mean", directions / np.float32(CALM_TAU))


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
    features = np.eye(4, dtype=np.float32)[list(ballots)][:, None]  # each head sees one axis
    found = HeadsFit.of("vote", AXES[: len(ballots)]).scores(features)
    assert found.choice.tolist() == [winner]
    assert found.scores[0].tolist() == [ballots.count(c) for c in range(4)]


def test_soft_votes_are_the_mean_cosine():
    # head 0 sees (3, 4): cosines .6, .8; head 1 sees (1, 0): cosines 1, 0; means .8, .4
    found = HeadsFit.of("vote", AXES[:2, :2, :2]).scores(np.float32([[[3, 4]], [[1, 0]]]))
    np.testing.assert_allclose(found.soft, [[0.8, 0.4]], rtol=1e-6)


def test_a_posterior_derived_by_hand():
    # head 0 sees (3, 4): cosines .6 and .8, p(second) = 1 / (1 + exp(-.2 / .07)) = .94568
    # head 1 sees a zero vector: cosines 0 and 0, p = .5; the mean is .72284
    found = posterior(AXES[:2, :2, :2]).scores(np.float32([[[3, 4]], [[0, 0]]]))
    np.testing.assert_allclose(found.scores, [[0.27716, 0.72284]], atol=1e-5)
    assert found.choice.tolist() == [1]


@pytest.mark.parametrize(
    "fit", [posterior, lambda axes: by_head(axes[0], np.zeros(3, np.float32), 1)]
)
def test_equal_probabilities_go_to_the_first_class(fit):
    # (0, 1, 1) is as near to the second axis as to the third; a zero vector to all
    found = fit(np.eye(3, dtype=np.float32)[None]).scores(np.float32([[[0, 1, 1], [0, 0, 0]]]))
    assert found.choice.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores[1], [1 / 3] * 3, rtol=1e-6)


@pytest.mark.parametrize("queries", [1, 20, 100], ids=lambda n: f"{n} queries")
def test_bit_identical_centroids_go_to_the_first_class_whatever_the_rounding(queries):
    for seed in range(20):
        case = draw(seed, 3, (2,) * 9, 64)
        fitted = POSTERIOR.fit(case.train, case.labels, case.classes, case.widths)
        centroids = fitted.directions * np.float32(CALM_TAU)
        centroids[:, 8] = centroids[:, 1]
        noise = np.random.default_rng(seed).normal(size=(3, queries, 64))
        near = (centroids[:, 1:2] + 0.1 * noise).astype(np.float32)
        found = posterior(centroids).scores(near)
        assert (found.choice == 1).all()
        # columns of a matrix product are rounded differently
        np.testing.assert_allclose(found.scores[:, 8], found.scores[:, 1], rtol=1e-5)


@thorough
@pytest.mark.parametrize("name", ["20 heads, 12 classes, n < d", "n > d", "1 head, 2 classes"])
def test_shrinkage_and_strength_are_those_of_scikit_learn(name):
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.linear_model import RidgeCV

    case = CASES[name]()
    x, sizes = side_by_side(case.train), np.bincount(case.labels)
    means = np.array([x[case.labels == c].mean(axis=0) for c in range(len(sizes))])
    centred = x - means[case.labels]
    expected = ledoit_wolf_shrinkage(centred, assume_centered=True)
    assert ledoit_wolf(centred, x.shape[1]) == pytest.approx(expected)
    if len(set(sizes)) > 1:
        return
    # with equal classes all weigh the same, and `ridge` is scikit-learn's
    length = np.square(x - x.mean(axis=0)).sum()
    theirs = RidgeCV(alphas=length * STRENGTHS).fit(x, np.eye(len(sizes))[case.labels])
    fitted = RIDGE.fit(case.train, case.labels, case.classes, case.widths)
    ours = fitted.directions.transpose(1, 0, 2).reshape(len(sizes), -1) * TAU
    np.testing.assert_allclose(ours, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(fitted.offsets[0] * TAU, theirs.intercept_, atol=1e-5)


def test_large_problems_have_the_strength_and_slopes_of_small_ones(monkeypatch):
    case = CASES["20 heads, 12 classes, n < d"]()
    arguments = (case.train, case.labels, case.classes, case.widths)
    precise = RIDGE.fit(*arguments)
    monkeypatch.setattr(ridge, "LARGE", 0)  # outputs of left-out examples in float32
    np.testing.assert_array_equal(RIDGE.fit(*arguments).directions, precise.directions)


def test_ridge_learns_nothing_from_equal_features_or_single_examples():
    same = np.full((2, 6, 3), 0.3, np.float32)
    fitted = RIDGE.fit(same, np.arange(6) % 2, ["a", "b"], (3, 3))
    np.testing.assert_array_equal(fitted.directions, 0)
    # one example a class: without it the other's target is predicted, whatever the strength
    pair = np.float32([[[1, 0], [0, 1]]])
    fitted = RIDGE.fit(pair, np.arange(2), ["a", "b"], (2,))
    # X^T X has the one direction (1, -1) / sqrt(2) of length 1/2: 1/2 / (1/2 + 1000 / 2), and the
    # targets' slopes along it are (1, -1) / sqrt(2)
    np.testing.assert_allclose(
        fitted.directions[0] * TAU, np.float32([[0.5, -0.5], [-0.5, 0.5]]) / 1001, 1e-5
    )


def test_logits_of_heads_side_by_side_tie_by_their_weights():
    # two heads of length 1 and the longest weights, (0, 8) and (0, 6), of length 10:
    # logits tie within 2^-19 sqrt(2) 10 = 2.7e-5
    weights = np.float32([[[0, 0], [8, 0], [8, 0]], [[0, 0], [0, 6], [0, 6]]])
    x = np.float32([[[1, 0]], [[0, 1]]])
    for ahead, choice in ((2e-5, 1), (4e-5, 2)):
        rows = weights.transpose(1, 0, 2).reshape(3, 4)
        found = by_head(rows, np.float32([13.5, 0, ahead]), 2).scores(x)
        assert found.choice.tolist() == [choice]
        assert found.soft[0, 0] == 13.5


@pytest.mark.parametrize("shrinkage", [0.5, 3.0])
def test_shrinkage_trusts_rare_classes_less(shrinkage):
    case = draw(3, 3, (6, 2, 3), 5)
    slow = slowly.calm_weights(case.train, case.labels.tolist(), 3, shrinkage)
    options = CalmOptions(shrinkage=shrinkage)
    weights = fit_calm(case.train, case.labels, case.classes, case.widths, options).weights
    np.testing.assert_allclose(weights, slow, atol=1e-4)
    bare = fit_calm(case.train, case.labels, case.classes, case.widths).weights
    assert np.abs(weights - bare).max() > 0.01


def test_weights_are_even_where_no_head_knows_the_class():
    # class 0 is opposite to itself: left out, each of its examples is on the other class's side
    train = np.float32([[[1, 0], [-1, 0.1], [0.5, 1], [0.5, 1]]] * 2)
    weights = CALM.fit(train, np.array([0, 0, 1, 1]), ["a", "b"], [2, 2]).weights
    assert weights[:, 0].tolist() == [0.5, 0.5]
    case = draw(1, 4, (1, 1, 1), 5)  # and where nothing can be left out
    assert (CALM.fit(case.train, case.labels, case.classes, case.widths).weights == 0.25).all()


def test_a_head_weighs_for_each_class_by_itself():
    # class a sees head 0 only, class b head 1 only: .9 * p(a) against .9 * p(b), by hand:
    # head 0 says (1, 0): p = (1, 0) to 1e-6; head 1 says the same; a: .9 + .1, b: 0
    directions = AXES[:2, :2, :2] / np.float32(CALM_TAU)
    fitted = HeadsFit.of("mean", directions, weights=np.float32([[0.9, 0.1], [0.1, 0.9]]))
    found = fitted.scores(np.float32([[[1, 0], [1, 0]], [[1, 0], [0, 1]]]))
    np.testing.assert_allclose(found.scores, [[1, 0], [0.9, 0.9]], atol=1e-5)
    assert found.choice.tolist() == [0, 0]  # the second is a tie


@pytest.mark.parametrize("spread", [1e-1, 1e-2, 1e-3], ids=lambda s: f"spread {s}")
def test_features_that_share_a_large_mean(spread):
    # the precision grows with 1 / spread^2, to 1e8; probabilities stay within the formula's
    case = draw(2, 2, (10, 9, 8), 48)
    shared = np.random.default_rng(0).normal(size=(2, 1, 48)).astype(np.float32)
    train, test = ((shared + spread * x).astype(np.float32) for x in (case.train, case.test))
    found = LDA.fit(train, case.labels, case.classes, case.widths).scores(test)
    slow = slowly.lda(train, case.labels.tolist(), 3, test, case.widths)
    assert slow.max(axis=1).min() > 0.4  # no head is undecided
    np.testing.assert_allclose(found.scores, slow, atol=1e-3)


def test_one_example_a_class_is_the_nearest_unit_vector():
    # P = I: logits -1/2 |x - mu|^2 + log(1/2); x = (1, 0), mu_a = (1, 0), mu_b = (0, 1): 0 and -1;
    # p(a) = 1 / (1 + exp(-1 / 10)) = .524979
    train = np.float32([[[5, 0], [0, 2]]])
    found = LDA.fit(train, np.array([0, 1]), ["a", "b"], [2]).scores(np.float32([[[3, 0], [1, 1]]]))
    np.testing.assert_allclose(found.scores[0], [0.524979, 0.475021], atol=1e-6)
    assert found.scores[1].tolist() == [0.5, 0.5]
    assert found.choice.tolist() == [0, 0]


def test_classes_of_identical_examples_have_no_spread():
    one = np.float32([[[5, 1, 0], [0, 2, 7]]])
    labels = np.array([0, 1, 1, 0, 0, 1])
    x = np.random.default_rng(0).normal(size=(1, 7, 3)).astype(np.float32)
    several = LDA.fit(one[:, labels], labels, ["a", "b"], [3]).scores(x).scores
    assert (several == LDA.fit(one, np.array([0, 1]), ["a", "b"], [3]).scores(x).scores).all()


def test_a_head_whose_last_columns_are_zero_keeps_its_width():
    # its precision grows with its width, so its weight among the heads does
    case = draw(4, 2, (5, 6), 8)
    case.train[0, :, 5:] = 0
    found = LDA.fit(case.train, case.labels, case.classes, case.widths).scores(case.test)
    slow = slowly.lda(*arguments(case), case.widths)
    np.testing.assert_allclose(found.scores, slow, atol=1e-4)


@pytest.mark.parametrize("scoring", ["resubstitution", "loo", "kfold"])
@pytest.mark.parametrize(
    "case",
    [draw(1, 3, (3, 4), 3), draw(2, 2, (2, 3, 4), 12), draw(3, 3, (7, 6), 6, widths=(4, 6, 3))],
    ids=["n > d", "n < d, unbalanced", "three widths"],
)
def test_head_scores_of_lda_equal_the_slow_method(case, scoring):
    labels, classes = case.labels.tolist(), len(case.classes)
    parts = {
        "resubstitution": None,
        "loo": range(len(labels)),
        "kfold": slowly.parts_of(labels, min(5, min(map(labels.count, labels)))),
    }[scoring]
    found = LDA.score_heads(case.train, case.labels, case.classes, case.widths, scoring)
    for h, width in enumerate(case.widths):
        score, margin = slowly.lda_head_score(case.train[h, :, :width], labels, classes, parts)
        assert found.score[h] == pytest.approx(score, abs=1e-4)
        assert found.margin[h] == pytest.approx(margin, abs=1e-4)


@thorough
@pytest.mark.parametrize("counts", [(6, 5), (4, 6, 3)], ids=["2 classes", "3 classes"])
def test_the_fit_is_the_optimum_of_the_penalised_likelihood(counts):
    # at the optimum, sum_i (p_ic - [y_i = c]) x_i + w_c / C = 0, and without penalty for the bias;
    # of two classes scikit-learn penalises one row of weights: that of the second class
    case = draw(4, 3, counts, 5)
    fitted = LOGISTIC.fit(case.train, case.labels, case.classes, case.widths)
    weights = fitted.directions.transpose(1, 0, 2).reshape(len(counts), -1).astype(np.float64)
    rows = side_by_side(case.train)
    p = np.array([slowly.softmax((weights @ x + fitted.offsets[0]).tolist(), 1.0) for x in rows])
    short = p - np.eye(len(counts))[case.labels]
    gradient = short.T @ rows + weights
    assert np.abs(gradient[1:]).max() < 1e-2
    assert np.abs(short.sum(axis=0)).max() < 1e-2
    assert np.abs(weights[1:]).max() > 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 1},
        {"top_k": 2},
        {"tau": 0.2, "tau_w": 2.0, "top_k": 3},
        {"tau_w": 0.05},
        {"leave_out": True, "top_k": 2},
        {"shrinkage": 2.0, "top_k": 4},
        {"shrinkage": 2.0, "prior": "head"},
    ],
    ids=str,
)
def test_calm_as_published_equals_its_formula(options, seed):
    case = draw(seed + 20, 5, (4, 2, 6), 7)
    settings = {"tau": 0.03, "tau_w": 0.5, "prior": "all", "leave_out": False, **options}
    slow_weights, slow = slowly.published_calm(*arguments(case), **settings)
    readout = calm_readout("mine", **options)
    fitted = readout.fit(case.train, case.labels, case.classes, case.widths)
    np.testing.assert_allclose(fitted.weights, slow_weights, atol=2e-4)
    np.testing.assert_allclose(fitted.scores(case.test).scores, slow, atol=3e-4)


def test_the_scale_and_the_offsets_of_answers_are_where_likelihood_and_prior_balance():
    rng = np.random.default_rng(0)
    answers, labels = -rng.exponential(2, (30, 3)).astype(np.float32), np.arange(30) % 3
    answers[labels == 2, 2] += 3
    fitted = ANSWERS_FITTED.fit(answers[None], labels, list("abc"), [3])
    logits = fitted.scale * answers.astype(np.float64) + fitted.offsets
    slopes = np.array([slowly.softmax(row, 1.0) for row in logits]) - np.eye(3)[labels]
    # a normal prior around 0: standard deviation 1 of log s, and 2 nats of an offset
    np.testing.assert_allclose(slopes.sum(axis=0), -fitted.offsets / 2**2, atol=1e-3)
    (scale,) = fitted.scale
    assert scale * (slopes * answers).sum() == pytest.approx(-np.log(scale), abs=1e-3)


def test_calm_as_published_weighs_heads_for_a_class_of_one_example_too():
    # the first head is at a right angle between the classes, which are all one to the second
    train = np.float32([[[1, 0], [0, 1]], [[1, 1], [1, 1]]])
    fitted = calm_readout("mine").fit(train, np.arange(2), ["a", "b"], (2, 2))
    assert fitted.weights.tolist() == [[1, 1], [0, 0]]
    # with an example left out nothing is known of its class: both heads count the same
    left_out = calm_readout("mine", leave_out=True).fit(train, np.arange(2), ["a", "b"], (2, 2))
    assert left_out.weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"tau": 0}, "`tau` is 0, expected more than 0"),
        ({"tau_w": -1}, "`tau_w` is -1, expected more than 0"),
        ({"top_k": 0}, "`top_k` is 0, expected more than 0"),
        ({"prior": "none"}, "`prior` is 'none', expected head or all"),
    ],
)
def test_settings_of_calm_that_mean_nothing_are_refused(options, wrong):
    with pytest.raises(ParameterError, match=wrong):
        calm_readout("mine", **options)
