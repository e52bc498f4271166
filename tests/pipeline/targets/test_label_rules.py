"""Probabilities and thresholds of labels against scikit-learn and plain search."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score

from savs.pipeline.heads.folds import label_folds
from savs.pipeline.targets.label_rules import (
    LEAST_SLOPE,
    MOST,
    NEVER,
    LabelRule,
    fit_rules,
    fit_sigmoids,
    fit_threshold,
    rule_of_whole,
)


def drawn(seed, labels=6, n=80):
    rng = np.random.default_rng(seed)
    states = (rng.random((labels, n)) < 0.3).astype(np.int8)
    states[rng.random((labels, n)) < 0.1] = -1
    return rng.normal(size=(labels, n)) * 0.1 + 0.1 * (states == 1) + 5, states


@pytest.mark.parametrize("seed", range(3))
def test_the_sigmoid_is_the_likeliest_one(seed):
    margins, states = drawn(seed)
    slopes, intercepts = fit_sigmoids(margins, states)
    for values, of, slope, intercept in zip(margins, states, slopes, intercepts, strict=True):
        x, y = values[of != -1], of[of != -1]
        target = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))
        # soft targets are examples of both classes, with weights
        both = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(
            np.tile((x - 5) * 10, 2)[:, None],
            np.repeat([1, 0], len(x)),
            np.concatenate([target, 1 - target]),
        )
        expected = both.predict_proba(((x - 5) * 10)[:, None])[:, 1]
        assert 1 / (1 + np.exp(-(slope * x + intercept))) == pytest.approx(expected, abs=1e-4)


def test_a_perfect_label_stays_finite_and_a_reversed_one_keeps_its_order():
    states = np.tile(np.repeat([1, 0], 20), (3, 1)).astype(np.int8)
    margins = np.stack([np.where(states[0] == 1, 1.0, -1.0), -1.0 * states[0], np.zeros(40)])
    slopes, intercepts = fit_sigmoids(margins, states)
    # 21 of 22 and 1 of 22 are the targets: logit ln 21 at both margins
    assert (slopes[0], intercepts[0]) == pytest.approx((np.log(21), 0), abs=1e-6)
    assert slopes[1] == pytest.approx(LEAST_SLOPE / 0.5)
    assert intercepts[2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("precision", [None, 0.5, 0.8])
def test_the_threshold_is_the_best_of_all(seed, precision):
    rng = np.random.default_rng(seed)
    positive = rng.random(40) < 0.4
    logits = rng.integers(0, 9, 40) + 2.0 * positive
    found = fit_threshold(logits, positive, precision)
    cuts = np.unique(logits)
    if precision is None:
        best = max(f1_score(positive, logits >= cut) for cut in cuts)
        assert f1_score(positive, logits >= found) == pytest.approx(best)
        higher = cuts[cuts > found]
        assert all(f1_score(positive, logits >= cut) < best for cut in higher[1:])
    else:
        fit = [cut for cut in cuts if precision_score(positive, logits >= cut) >= precision]
        assert ((logits >= found) == (logits >= min(fit, default=np.inf))).all()


def test_a_label_whose_precision_is_out_of_reach_is_never_predicted():
    margins, states = np.array([[1.0, 2.0, 3.0, 4.0]]), np.int8([[1, 0, 1, 0]])
    (rule,) = fit_rules(margins, states, 0.9)
    assert rule.threshold == NEVER
    assert rule.least_logit == np.inf


def test_a_label_that_was_not_left_out_has_no_rule():
    margins, states = np.zeros((2, 4)), np.int8([[1, 1, -1, -1], [1, 0, -1, -1]])
    first, second = fit_rules(margins, states, None)
    assert first is None
    assert second.slope > 0


def test_margins_of_a_fit_to_more_examples_are_scaled_back():
    margins, states = drawn(1, labels=1)
    (rule,) = fit_rules(margins, states, None)
    doubled = rule_of_whole(rule, np.array([1.0, -2.0]), np.array([2.0, -4.0]))
    assert doubled.slope == pytest.approx(rule.slope / 2)
    assert doubled.threshold == rule.threshold
    none, some = np.zeros(2), np.ones(2)
    assert rule_of_whole(rule, none, some) == rule_of_whole(rule, some, none) == rule


def test_folds_spread_each_label_and_keep_clusters_whole():
    rng = np.random.default_rng(0)
    states = (rng.random((8, 120)) < 0.15).astype(np.int8)
    states[0] = 0
    states[0, [3, 60]] = 1
    clusters = [str(i // 2) for i in range(120)]
    part = label_folds(states, 5, clusters)
    assert (part[::2] == part[1::2]).all()
    assert len(set(part[[3, 60]])) == 2
    counts = np.stack([np.bincount(part, of == 1, 5) for of in states[1:]])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 4).all()
    assert np.ptp(np.bincount(part)) <= 12


def test_of_equally_good_thresholds_the_highest_is_taken_and_a_precision_may_just_be_reached():
    # from 3 on 1 of 1 is right and 1 of 2 found, from 0 on 2 of 4 and 2 of 2: both an F1 of 2/3
    assert fit_threshold(np.array([3.0, 2, 1, 0]), np.array([True, False, False, True])) == 2.5
    positive = np.arange(25) < 14  # 14 / 25 is .56, and .56 * 25 more than 14 in floats
    assert fit_threshold(np.zeros(25), positive, 0.56) == 0
    assert fit_threshold(np.zeros(25), positive, 0.57) == np.inf


@pytest.mark.parametrize(
    ("risk", "least"), [(0.005, -MOST), (0.01, 1), (0.29, 29), (0.299, 29), (0.5, 50)]
)
def test_a_risk_between_two_percents_is_that_of_the_lower_one(risk, least):
    kept = tuple(map(float, range(1, 51)))
    rule = LabelRule(slope=1.0, intercept=0.0, threshold=0.5, kept=kept)
    assert rule.least_kept(risk) == least
