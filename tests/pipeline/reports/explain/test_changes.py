"""What would have changed a vote, against the slow way: trying everything."""

from itertools import combinations

import numpy as np
import pytest

from savs.pipeline.reports.explain.changes import (
    smallest_flip,
    winner,
    without_each_example,
    without_each_head,
)
from savs.pipeline.selection.heads.centroids import class_centroids, nearest_centroids


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


@pytest.mark.parametrize("seed", range(6))
def test_training_examples_are_left_out_as_if_centroids_were_made_again(seed):
    rng = np.random.default_rng(seed)
    labels = np.array([0, 0, 0, 1, 1, 2])  # class 2 has one example, which stays
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


def test_the_seeds_above_change_some_votes():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        features = rng.normal(size=(3, 4, 4)).astype(np.float32)
        labels = np.array([0, 0, 1, 1])
        query = rng.normal(size=(3, 4)).astype(np.float32)
        centroids = class_centroids(features, labels, 2)
        found += bool(without_each_example(query, features, labels, centroids))
    assert found > 5
