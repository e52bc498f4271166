"""What would have changed a prediction, against the slow way: trying everything."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

from savs.pipeline.heads.centroids import class_centroids, nearest_centroids
from savs.pipeline.readouts import BUILT_IN, ClassScores
from savs.pipeline.reports.explain import changes
from savs.pipeline.reports.explain.changes import (
    refit,
    smallest_flip,
    winner,
    without_each_example,
    without_each_head,
)


@pytest.fixture(params=range(8))
def drawn(request):
    """Return cosines of seven heads with three classes, and the votes that they give."""
    table = np.random.default_rng(request.param).normal(size=(7, 3)).astype(np.float32)
    return table, table.argmax(axis=1)


def test_no_smaller_set_of_the_winners_heads_elects_the_runner_up(drawn):
    table, votes = drawn
    flip = smallest_flip(table, votes)
    first = winner(votes, 3)
    assert flip.rival != first
    own = np.flatnonzero(votes == first)
    elected = {
        len(heads)
        for count in range(1, len(own) + 1)
        for heads in combinations(own, count)
        if winner(np.where(np.isin(np.arange(7), heads), flip.rival, votes), 3) == flip.rival
    }
    # Equal counts go to the class of the best head, so which heads turn may matter by one.
    assert len(flip.heads) - min(elected) in (0, 1)
    changed = votes.copy()
    changed[list(flip.heads)] = flip.rival
    assert winner(changed, 3) == flip.rival
    leads = table[own, first] - table[own, flip.rival]
    assert flip.lead == pytest.approx(np.sort(leads)[len(flip.heads) - 1])


def test_where_all_agree_the_runner_up_has_the_next_cosine():
    table = np.float32([[0.9, 0.1, 0.3], [0.8, 0.2, 0.4]])
    flip = smallest_flip(table, np.array([0, 0]))
    assert flip.rival == 2
    assert flip.heads == (1, 0)  # one alone makes a tie, which the better head decides


def test_heads_are_left_out_one_at_a_time(drawn):
    _, votes = drawn
    first = winner(votes, 3)
    slow = {head: winner(np.delete(votes, head), 3) for head in range(7)}
    assert without_each_head(votes, 3) == {h: c for h, c in slow.items() if c != first}
    assert without_each_head(np.array([1]), 3) == {}


def test_training_examples_are_left_out_as_if_centroids_were_made_again():
    rng, changed = np.random.default_rng(0), 0
    labels = np.array([0, 0, 0, 1, 1, 2])  # class 2 has one example, which stays
    for _ in range(20):
        features = rng.normal(size=(5, 6, 4)).astype(np.float32)
        query = rng.normal(size=(5, 4)).astype(np.float32)
        centroids = class_centroids(features, labels, 3)
        before = winner(nearest_centroids(query[:, None], centroids)[:, 0], 3)
        slow = {}
        for out in range(5):
            kept = np.arange(6) != out
            again = class_centroids(features[:, kept], labels[kept], 3)
            after = winner(nearest_centroids(query[:, None], again)[:, 0], 3)
            if after != before:
                slow[out] = after
        assert without_each_example(query, features, labels, centroids) == slow
        changed += bool(slow)
    assert changed > 3


CLASSES = ("a", "b", "c")
LABELS = np.array([0, 0, 0, 1, 1, 1, 2])  # class c has one example, which stays
WIDTHS = (4, 4, 4, 4)


def draw_features(seed):
    rng = np.random.default_rng(seed)
    train, test = (rng.normal(size=(4, n, 4)).astype(np.float32) for n in (len(LABELS), 12))
    return train, test


@pytest.mark.parametrize(
    "name", ["lda", "knn", "logistic", "ridge", "mahalanobis", "posterior", "calm", "vote"]
)
def test_each_head_and_example_is_left_out_of_another_fit(name):
    rule = BUILT_IN[name]
    train, test = draw_features(3)
    found = refit(rule, train, LABELS, CLASSES, WIDTHS, test)
    whole = rule.fit(train, LABELS, CLASSES, WIDTHS).scores(test)
    heads, examples = [{} for _ in range(12)], [{} for _ in range(12)]
    for rank in range(4):
        kept = np.arange(4) != rank
        other = rule.fit(train[kept], LABELS, CLASSES, WIDTHS[:3]).scores(test[kept]).choice
        for query, own in enumerate(heads):
            own.update({rank: other[query]} if other[query] != whole.choice[query] else {})
    for out in range(6):
        kept = np.arange(7) != out
        other = rule.fit(train[:, kept], LABELS[kept], CLASSES, WIDTHS).scores(test).choice
        for query, own in enumerate(examples):
            own.update({out: other[query]} if other[query] != whole.choice[query] else {})
    assert [one.heads for one in found] == heads
    assert [one.examples for one in found] == examples
    assert any(heads)
    assert any(examples)
    for query, one in enumerate(found):
        left = np.delete(whole.scores[query], whole.choice[query])
        assert one.rival != whole.choice[query]
        assert whole.scores[query, one.rival] == left.max()


def test_of_many_examples_none_is_left_out(monkeypatch):
    monkeypatch.setattr(changes, "MOST_EXAMPLES", 6)
    train, test = draw_features(3)
    found = refit(BUILT_IN["lda"], train, LABELS, CLASSES, WIDTHS, test)
    assert [one.examples for one in found] == [None] * 12
    assert any(one.heads for one in found)


def test_a_single_head_stays():
    train, test = draw_features(3)
    found = refit(BUILT_IN["lda"], train[:1], LABELS, CLASSES, WIDTHS[:1], test[:1])
    assert all(one.heads == {} for one in found)


def test_the_answers_of_the_model_stay():
    rule, (train, test) = BUILT_IN["answers-lda"], draw_features(5)
    found = refit(rule, train, LABELS, CLASSES, WIDTHS, test)
    whole = rule.fit(train, LABELS, CLASSES, WIDTHS).scores(test).choice
    heads = [{} for _ in range(12)]
    for rank in range(3):
        kept = np.arange(4) != rank
        other = rule.fit(train[kept], LABELS, CLASSES, WIDTHS[:3]).scores(test[kept]).choice
        for query in np.flatnonzero(other != whole):
            heads[query][rank] = other[query]
    assert [one.heads for one in found] == heads
    assert any(heads)
    (alone, *_) = refit(rule, train[2:], LABELS, CLASSES, WIDTHS[:2], test[2:])
    assert alone.heads == {}


@dataclass(frozen=True)
class Fixed:
    """A fitted readout that says the same of every query."""

    def scores(self, queries):
        size = (queries.shape[1], 1)
        scores = np.tile(np.float32([[3, 1, 1, 0]]), size)
        return ClassScores(
            scores, scores.argmax(axis=1), np.tile(np.float32([[0, 1, 2, 9e6]]), size)
        )


def test_the_rival_has_the_second_score_and_of_equal_ones_the_softest():
    rule = replace(BUILT_IN["vote"], fit=lambda *_: Fixed())
    train, test = draw_features(4)
    found = refit(rule, train, LABELS, (*CLASSES, "d"), WIDTHS, test)
    assert {one.rival for one in found} == {2}
