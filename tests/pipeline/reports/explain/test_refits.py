"""What other readouts would have said with one thing less, against a store without it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from savs.pipeline.reports.explain import changes as refits
from savs.pipeline.reports.explain.changes import refit
from savs.pipeline.selection.readouts import BUILT_IN, ClassScores

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 0, 0, 1, 1, 1, 2])  # class c has one example, which stays
WIDTHS = (4, 4, 4, 4)


def drawn(seed):
    rng = np.random.default_rng(seed)
    train, test = (rng.normal(size=(4, n, 4)).astype(np.float32) for n in (len(LABELS), 12))
    return train, test


@pytest.mark.parametrize("name", ["lda", "knn", "logistic", "posterior", "calm", "vote"])
def test_each_head_and_example_is_left_out_of_another_fit(name):
    rule = BUILT_IN[name]
    train, test = drawn(3)
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
    monkeypatch.setattr(refits, "MOST_EXAMPLES", 6)
    train, test = drawn(3)
    found = refit(BUILT_IN["lda"], train, LABELS, CLASSES, WIDTHS, test)
    assert [one.examples for one in found] == [None] * 12
    assert any(one.heads for one in found)


def test_a_single_head_stays():
    train, test = drawn(3)
    found = refit(BUILT_IN["lda"], train[:1], LABELS, CLASSES, WIDTHS[:1], test[:1])
    assert all(one.heads == {} for one in found)


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
    train, test = drawn(4)
    found = refit(rule, train, LABELS, (*CLASSES, "d"), WIDTHS, test)
    assert {one.rival for one in found} == {2}
