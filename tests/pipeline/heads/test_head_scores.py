from itertools import product

import numpy as np
import oracle
import pytest
from readout_cases import draw

from savs.pipeline.errors import SelectionError
from savs.pipeline.heads import head_scores as scoring
from savs.pipeline.heads.head_scores import (
    HeadScores,
    Ranking,
    joined,
    leave_one_out,
    rank_heads,
    resubstitution,
    score_pairs,
    with_sets,
    worst_of,
)
from savs.pipeline.readouts.calm import CALM
from savs.pipeline.readouts.lda import HEC_V, LDA
from savs.pipeline.readouts.vote import VOTE

CASES = {
    "balanced": [0, 1, 0, 1, 0, 1],
    "unbalanced": [1, 0, 0, 0, 0, 1, 1],
    "three classes": [2, 0, 1, 2, 0, 1, 0, 2, 1],
    "one example of a class": [0, 1, 0, 1, 2],
    "more than five examples": [0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1],
}


def features_for(labels: list[int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pull = rng.normal(size=(6, max(labels) + 1, 8)) * np.linspace(0, 1.5, 6)[:, None, None]
    noise = rng.normal(size=(6, len(labels), 8))
    return (pull[:, labels] + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param(name, labels, id=f"{name}, {case}")
        for name, (case, labels) in product(scoring.BY_CENTROIDS, CASES.items())
        if name == "resubstitution" or case != "one example of a class"  # refused, see below
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_the_slow_method(name, labels, seed):
    classes = max(labels) + 1
    features = features_for(labels, seed)
    found = scoring.BY_CENTROIDS[name](features, np.array(labels), list("abc"[:classes]))
    for h, head in enumerate(features):
        assert found.score[h] == slow_score(head, labels, name)
        margin = oracle.margin(head.astype(float).tolist(), labels, classes)
        assert found.margin[h] == pytest.approx(margin, abs=1e-5)


def slow_score(head: np.ndarray, labels: list[int], name: str) -> int:
    """Return how many examples one head has right."""
    classes = max(labels) + 1
    parts = min(5, min(map(labels.count, labels))) if name == "kfold" else name
    return oracle.successes(head.astype(float).tolist(), labels, classes, parts)


@pytest.mark.parametrize("table", [scoring.TABLE, 1], ids=["whole", "one example at a time"])
@pytest.mark.parametrize("name", scoring.BY_CENTROIDS)
def test_a_constant_head_is_right_on_the_first_class_alone(monkeypatch, name, table):
    # all centroids are the same vector, with or without an example: equal cosines, first class;
    # products of one row and several round equal columns differently
    monkeypatch.setattr(scoring, "TABLE", table)
    one = np.random.default_rng(1).normal(size=(12, 1, 128)).astype(np.float32)
    labels = np.arange(44) % 11
    found = scoring.BY_CENTROIDS[name](np.tile(one, (1, 44, 1)), labels, list("abcdefghijk"))
    assert (found.score == (labels == 0).sum()).all()
    assert (found.margin == 0).all()


@pytest.mark.thorough
@pytest.mark.parametrize("name", scoring.BY_CENTROIDS)
def test_integer_features_tie_by_the_written_rule(name):
    rng = np.random.default_rng(3)
    features = rng.integers(-1, 2, size=(40, 12, 3)).astype(np.float32)
    labels = [0, 1, 2] * 4
    found = scoring.BY_CENTROIDS[name](features, np.array(labels), list("abc"))
    for h, head in enumerate(features):
        assert found.score[h] == slow_score(head, labels, name)
        assert found.margin[h] == pytest.approx(oracle.margin(head.tolist(), labels, 3), abs=1e-6)


def test_what_is_left_of_a_centroid_of_zero_vectors_is_a_zero_vector():
    # head after head, class 0 is x, 0, 0: left out, x meets a zero centroid of its own class, and
    # the other class's at some cosine; it is right where that is negative (0 = 0: first class)
    x = np.random.default_rng(2).normal(size=(100, 5, 3)).astype(np.float32)
    x[:, 1:3] = 0
    labels = [0, 0, 0, 1, 1]
    found = leave_one_out(x, np.array(labels), ["a", "b"])
    for h, head in enumerate(x):
        assert found.score[h] == slow_score(head, labels, "loo")
        margin = oracle.margin(head.astype(float).tolist(), labels, 2)
        assert found.margin[h] == pytest.approx(margin, abs=1e-5)


@pytest.mark.parametrize(("scoring", "what"), [("loo", "leave-one-out"), ("kfold", "k-fold")])
@pytest.mark.parametrize("readout", [VOTE, LDA], ids=["vote", "lda"])
def test_a_class_with_one_example_cannot_be_left_out(readout, scoring, what):
    x, labels = np.ones((1, 3, 2), np.float32), np.array([0, 0, 1])
    with pytest.raises(SelectionError, match=f"'rare' has one training example, but {what}"):
        readout.score_heads(x, labels, ["often", "rare"], [2], scoring)


def test_one_shot_heads_are_told_apart_by_the_margin():
    # Each example is its own centroid: both heads score 2 of 2, with margins 1 - cos(a, b).
    # Head 0: a = (1, 0), b = (1, 0.1): nearly parallel. Head 1: a = (1, 0), b = (0, 1): margin 1.
    features = np.float32([[[1, 0], [1, 0.1]], [[1, 0], [0, 1]]])
    found = resubstitution(features, np.array([0, 1]), ["a", "b"])
    assert found.score.tolist() == [2, 2]
    assert found.margin[1] == pytest.approx(1)
    assert rank_heads(found, [(0, 0), (0, 1)]) == [1, 0]


def test_heads_are_ordered_by_score_then_margin_then_place():
    scores = HeadScores(np.array([5.0, 7, 7, 7, 5]), np.array([0.9, 0.2, 0.3, 0.2, 0.9]))
    heads = [(3, 1), (2, 0), (9, 9), (1, 5), (3, 0)]
    # 7s first: margin .3, then the two .2s by (layer, head): (1, 5) before (2, 0); then (3, 0)
    assert rank_heads(scores, heads) == [2, 3, 1, 4, 0]


def test_scores_that_differ_by_a_rounding_tie():
    # 59.99998 is less than 60 by a share of 3e-7, 59.9999 by 2e-6; and below zero alike
    scores = np.array([59.99998, 60, 59.9999, -1, -1.0000005])
    found = HeadScores(scores, np.array([0.2, 0.1, 0.9, 0.3, 0.4]))
    assert rank_heads(found, [(0, head) for head in range(5)]) == [0, 1, 2, 4, 3]


def scores_of(*values, sets=()):
    return HeadScores(np.array(values), np.zeros(len(values)), sets=sets)


def test_each_set_has_its_own_best_heads_in_the_order_of_the_whole():
    sets = (scores_of(9.0, 1, 2, 3, 0), scores_of(0.0, 3, 1, 9, 2))
    ranking = Ranking.of(scores_of(9.0, 4, 3, 12, 2, sets=sets), [(0, h) for h in range(5)])
    # of two: heads 0 and 3, and 3 and 1
    order, members = ranking.best(2)
    assert order == [3, 0, 1]
    assert members.tolist() == [[True, True], [True, False], [False, True]]
    # without head 3: heads 0 and 2, and 1 and 4
    order, members = ranking.among({0, 1, 2, 4}).best(2)
    assert order == [0, 1, 2, 4]
    assert members.tolist() == [[True, False], [False, True], [True, False], [False, True]]
    assert Ranking.of(scores_of(1.0, 2), [(0, 0), (0, 1)]).best(1) == ([1], None)


def test_scores_of_sets_are_merged_set_by_set():
    parts = [
        scores_of(float(whole), sets=(scores_of(1.0 * first), scores_of(1.0 * second)))
        for whole, first, second in ((5, 2, 3), (4, 4, 0))
    ]
    worst, both = with_sets(worst_of, parts), with_sets(joined, parts)
    assert [worst.score.tolist(), *(s.score.tolist() for s in worst.sets)] == [[4], [2], [0]]
    assert [both.score.tolist(), *(s.score.tolist() for s in both.sets)] == [[5, 4], [2, 4], [3, 0]]


@pytest.mark.parametrize("rule", [LDA, HEC_V], ids=["lda", "hec-v"])
def test_sure_heads_are_told_apart_by_the_margin_of_logits(rule):
    # Two classes far apart in each of three heads, ever closer around their means: each probability
    # is 1 up to rounding, and the logits lead by more and more.
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    directions = np.eye(64, dtype=np.float32)[labels]
    noise = rng.normal(size=(20, 64)).astype(np.float32)
    features = np.stack([directions + spread * noise for spread in (0.03, 0.025, 0.02)])
    found = rule.score_heads(features, labels, ["a", "b"], [64] * 3, "resubstitution")
    assert found.score == pytest.approx([20] * 3, abs=1e-5)
    assert found.margin[0] < found.margin[1] < found.margin[2]
    assert rank_heads(found, [(0, 0), (0, 1), (0, 2)]) == [2, 1, 0]
    slow = [oracle.lda_head_score(head, labels, 2, None, rule.name) for head in features]
    np.testing.assert_allclose(found.margin, [margin for _, margin in slow], rtol=1e-4)


def test_noise_scores_high_by_resubstitution_and_at_chance_left_out():
    # 784 heads of noise, 2 x 20 examples of width 128: METHOD's warning, as a test
    rng = np.random.default_rng(0)
    features = rng.normal(size=(784, 40, 128)).astype(np.float32)
    labels = np.repeat([0, 1], 20)
    within = scoring.BY_CENTROIDS["resubstitution"](features, labels, ["a", "b"]).score / 40
    without = scoring.BY_CENTROIDS["loo"](features, labels, ["a", "b"]).score / 40
    assert np.sort(within)[-20:].mean() > 0.99
    assert without.mean() == pytest.approx(0.5, abs=0.02)


TABLES = (1, 3 * 8, 5 * 3 * 8, 11 * 3 * 8)
"""Cosines at a time: of one example, and of 1, 5 and 11 (heads x the greater of classes, width)."""
BLOCKED = draw(5, 3, (6, 5, 8, 4), 8)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", scoring.BY_CENTROIDS)
def test_scores_and_margins_do_not_depend_on_the_blocks(monkeypatch, name, table):
    def score() -> scoring.HeadScores:
        return scoring.BY_CENTROIDS[name](BLOCKED.train, BLOCKED.labels, BLOCKED.classes)

    whole = score()
    monkeypatch.setattr(scoring, "TABLE", table)
    blocked = score()
    assert blocked.score.tolist() == whole.score.tolist()
    np.testing.assert_allclose(blocked.margin, whole.margin, atol=1e-6)
    assert np.ptp(whole.margin) > 0.1


@pytest.mark.parametrize("table", TABLES)
def test_the_weights_of_calm_do_not_depend_on_the_blocks(monkeypatch, table):
    whole = CALM.fit(BLOCKED.train, BLOCKED.labels, BLOCKED.classes, BLOCKED.widths).weights
    monkeypatch.setattr(scoring, "TABLE", table)
    blocked = CALM.fit(BLOCKED.train, BLOCKED.labels, BLOCKED.classes, BLOCKED.widths).weights
    np.testing.assert_allclose(blocked, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("counts", "width"), [((6, 5, 8, 4), 8), ((2,) * 30, 4)], ids=["wide", "many classes"]
)
def test_a_block_is_no_larger_than_the_table(monkeypatch, counts, width):
    case = draw(1, 3, counts, width)
    n, size = len(case.labels), max(width, len(counts))
    for values, shapes in [
        (2 * n * size + 1, [(2, n), (1, n)]),  # two heads at a time
        (n * size - 1, [(1, n - 1), (1, 1)] * 3),  # no head whole
        (1, [(1, 1)] * 3 * n),
    ]:
        monkeypatch.setattr(scoring, "TABLE", values)
        met = np.zeros((3, n), int)
        for heads, rows, table in scoring.held_out_cosines(case.train, case.labels, len(counts)):
            met[heads, rows] += 1
            assert table.shape == (*shapes.pop(0), len(counts))
        assert (met == 1).all()


@pytest.mark.parametrize("name", scoring.PAIR_SCORINGS)
@pytest.mark.parametrize("seed", range(6))
def test_pairs_of_classes_are_scored_together_as_each_alone(name, seed, monkeypatch):
    rng = np.random.default_rng(seed)
    features = np.float32(rng.normal(size=(4, 30, 5)) * 10.0 ** (5 * seed - 15))
    if seed % 2:
        features = np.round(rng.normal(size=(4, 30, 2))).astype(np.float32)  # ties and zero vectors
    features[0, ::3] = features[0, 0]
    labels = rng.integers(0, 2, (7, 30))
    labels[rng.random(labels.shape) < 0.3] = -1
    labels[:, :4] = [0, 0, 1, 1]
    if name == "resubstitution":
        labels[0] = [1] + 29 * [0]  # of one example nothing is left
    tasks = [(rows := np.flatnonzero(of_task >= 0), of_task[rows]) for of_task in labels]
    monkeypatch.setattr(scoring, "PAIRS", 150)  # of two tasks and a half
    together = score_pairs(features, tasks, name)
    for (rows, of_task), scores in zip(tasks, together, strict=True):
        alone = scoring.BY_CENTROIDS[name](features[:, rows], of_task, ["no", "yes"])
        assert scores.score.tolist() == alone.score.tolist()
        assert scores.margin == pytest.approx(alone.margin, abs=1e-6)
