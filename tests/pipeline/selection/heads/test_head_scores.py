import numpy as np
import oracle
import pytest

from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads import head_scores as scoring
from savs.pipeline.selection.heads.head_scores import (
    HeadScores,
    k_fold,
    leave_one_out,
    rank_heads,
    resubstitution,
)

CASES = {
    "balanced": [0, 1, 0, 1, 0, 1],
    "unbalanced": [1, 0, 0, 0, 0, 1, 1],
    "three classes": [2, 0, 1, 2, 0, 1, 0, 2, 1],
    "one example of a class": [0, 1, 0, 1, 2],
}


def features_for(labels: list[int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pull = rng.normal(size=(6, max(labels) + 1, 8)) * np.linspace(0, 1.5, 6)[:, None, None]
    noise = rng.normal(size=(6, len(labels), 8))
    return (pull[:, labels] + noise).astype(np.float32)


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_the_slow_method(labels, seed):
    features = features_for(labels, seed)
    names = [f"class {c}" for c in range(max(labels) + 1)]
    found = resubstitution(features, np.array(labels), names)
    for h, head in enumerate(features.astype(float).tolist()):
        assert found.score[h] == oracle.successes(head, labels, len(names), "resubstitution")
        assert found.margin[h] == pytest.approx(oracle.margin(head, labels, len(names)), abs=1e-5)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "three classes"])
def test_leave_one_out_in_closed_form_equals_leaving_out(name):
    labels = CASES[name]
    features = features_for(labels, 9)
    names = [f"class {c}" for c in range(max(labels) + 1)]
    found = leave_one_out(features, np.array(labels), names)
    expected = [
        oracle.successes(head, labels, len(names), "loo")
        for head in features.astype(float).tolist()
    ]
    assert found.score.tolist() == expected


@pytest.mark.parametrize("labels", [CASES["three classes"], [0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1]])
@pytest.mark.parametrize("seed", range(3))
def test_k_fold_equals_leaving_whole_parts_out(labels, seed):
    features = features_for(labels, seed)
    names = [f"class {c}" for c in range(max(labels) + 1)]
    found = k_fold(features, np.array(labels), names)
    parts = min(5, min(map(labels.count, labels)))
    for h, head in enumerate(features):
        slow = oracle.successes(head, labels, len(names), parts)
        assert found.score[h] == slow
        expected = oracle.margin(head.astype(float).tolist(), labels, len(names))
        assert found.margin[h] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("table", [scoring.TABLE, 1], ids=["whole", "one example at a time"])
@pytest.mark.parametrize("name", scoring.SCORINGS)
def test_a_constant_head_is_right_on_the_first_class_alone(monkeypatch, name, table):
    # all centroids are the same vector, with or without an example: equal cosines, first class;
    # products of one row and several round equal columns differently
    monkeypatch.setattr(scoring, "TABLE", table)
    one = np.random.default_rng(1).normal(size=(12, 1, 128)).astype(np.float32)
    labels = np.arange(44) % 11
    found = scoring.SCORINGS[name](np.tile(one, (1, 44, 1)), labels, list("abcdefghijk"))
    assert (found.score == (labels == 0).sum()).all()
    assert (found.margin == 0).all()


@pytest.mark.parametrize("name", scoring.SCORINGS)
def test_integer_features_tie_by_the_written_rule(name):
    rng = np.random.default_rng(3)
    features = rng.integers(-1, 2, size=(40, 12, 3)).astype(np.float32)
    labels = [0, 1, 2] * 4
    found = scoring.SCORINGS[name](features, np.array(labels), list("abc"))
    for h, head in enumerate(features.tolist()):
        slow = (
            oracle.successes(features[h], labels, 3, 4)
            if name == "kfold"
            else oracle.successes(head, labels, 3, name)
        )
        assert found.score[h] == slow
        assert found.margin[h] == pytest.approx(oracle.margin(head, labels, 3), abs=1e-6)


def test_what_is_left_of_a_centroid_of_zero_vectors_is_a_zero_vector():
    # head after head, class 0 is x, 0, 0: left out, x meets a zero centroid of its own class, and
    # the other class's at some cosine; it is right where that is negative (0 = 0: first class)
    x = np.random.default_rng(2).normal(size=(100, 5, 3)).astype(np.float32)
    x[:, 1:3] = 0
    labels = [0, 0, 0, 1, 1]
    found = leave_one_out(x, np.array(labels), ["a", "b"])
    for h, head in enumerate(x.astype(float).tolist()):
        assert found.score[h] == oracle.successes(head, labels, 2, "loo")
        assert found.margin[h] == pytest.approx(oracle.margin(head, labels, 2), abs=1e-5)


@pytest.mark.parametrize(("score", "what"), [(leave_one_out, "leave-one-out"), (k_fold, "k-fold")])
def test_a_class_with_one_example_cannot_be_left_out(score, what):
    with pytest.raises(SelectionError, match=f"'rare' has one training example, but {what}"):
        score(np.ones((1, 3, 2), np.float32), np.array([0, 0, 1]), ["often", "rare"])


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


def test_noise_scores_high_by_resubstitution_and_at_chance_left_out():
    # 784 heads of noise, 2 x 20 examples of width 128: METHOD's warning, as a test
    rng = np.random.default_rng(0)
    features = rng.normal(size=(784, 40, 128)).astype(np.float32)
    labels = np.repeat([0, 1], 20)
    within = scoring.SCORINGS["resubstitution"](features, labels, ["a", "b"]).score / 40
    without = scoring.SCORINGS["loo"](features, labels, ["a", "b"]).score / 40
    assert np.sort(within)[-20:].mean() > 0.99
    assert without.mean() == pytest.approx(0.5, abs=0.02)
