"""Calibrations from left-out examples: temperature, coverage, typicality, and what is refused."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.heads.centroids import class_centroids, cosines
from savs.pipeline.heads.folds import stratified_folds
from savs.pipeline.heads.head_scores import rank_heads
from savs.pipeline.readouts import READOUTS, ClassScores, Readout
from savs.pipeline.targets.calibration import (
    RANGE,
    Calibration,
    calibrate_task,
    fit_temperature,
    in_set,
    least_examples,
    most_nonconformity,
    require_risk,
    tempered,
    typicality,
)

DRAWS = 150
CASES = {
    "two classes": ("vote", 2, 20, 0.4),
    "four classes": ("lda", 4, 10, 0.5),
    "flatter as a whole": ("lda", 4, 20, 1.0),
    "noise": ("vote", 2, 20, 0.0),
    "noise of probabilities": ("lda", 2, 20, 0.0),
}

HEADS, WIDTH, KEPT, TEST = 10, 6, 4, 40


@dataclass(frozen=True, slots=True)
class Simulated:
    """One draw of training examples and new examples of the same kind."""

    calibration: Calibration
    found: ClassScores
    """Of the new examples, by the selection of all training examples."""
    truth: np.ndarray


def simulate(rule: Readout, seed: int, classes: int, shots: int, apart: float) -> Simulated:
    """Draw a task whose class means are `apart`, select, fit, and calibrate on five folds."""
    rng = np.random.default_rng(seed)
    names = tuple("abcdefgh"[:classes])
    means = apart * rng.normal(size=(HEADS, classes, WIDTH))

    def draw(labels: np.ndarray) -> np.ndarray:
        noise = rng.normal(size=(HEADS, len(labels), WIDTH))
        return (means[:, labels] + noise).astype(np.float32)

    labels, truth = np.arange(classes * shots) % classes, rng.integers(0, classes, TEST)
    train, test = draw(labels), draw(truth)
    widths = [WIDTH] * HEADS

    def scored(
        own: np.ndarray, out: np.ndarray, kept: np.ndarray
    ) -> tuple[ClassScores, np.ndarray, np.ndarray]:
        ranked = rule.score_heads(own, labels[kept], names, widths, "resubstitution")
        best = rank_heads(ranked, [(0, n) for n in range(HEADS)])[:KEPT]
        fitted = rule.fit(own[best], labels[kept], names, widths[:KEPT])
        centroids = class_centroids(own[best], labels[kept], classes)
        seen = fitted.scores(own[best]).scores
        return fitted.scores(out[best]), typicality(out[best], centroids), seen

    folds, seen = stratified_folds(labels, min(5, shots)), []
    scores, typical = np.empty((len(labels), classes), np.float32), np.empty(len(labels))
    for fold in range(min(5, shots)):
        out = folds == fold
        found, typical[out], own = scored(train[:, ~out], train[:, out], ~out)
        scores[out] = found.scores
        seen.append(own)
    found, _, own = scored(train, test, np.ones(len(labels), bool))
    calibration = calibrate_task(scores, labels, typical, None, (np.concatenate(seen), own))
    assert calibration is not None
    return Simulated(calibration, found, truth)


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def draws(request):
    readout, classes, shots, apart = request.param
    return [simulate(READOUTS[readout], seed, classes, shots, apart) for seed in range(DRAWS)]


@pytest.mark.costly
@pytest.mark.parametrize("risk", [0.05, 0.2])
def test_the_truth_is_in_the_set_as_often_as_asked_for(draws, risk):
    covered, sizes = [], []
    for draw in draws:
        sets = draw.calibration.sets(draw.calibration.probabilities(draw.found), risk)
        covered.append(sets[np.arange(TEST), draw.truth].mean())
        sizes.append(sets.sum(axis=1).mean())
    error = np.std(covered) / np.sqrt(DRAWS)
    assert np.mean(covered) >= 1 - risk - 2 * error
    assert np.mean(covered) < 1 - risk / 3  # votes of few heads tie, which makes sets larger
    assert np.mean(sizes) < draws[0].found.scores.shape[1]


@pytest.mark.thorough
def test_probabilities_keep_the_order_of_the_scores_and_suit_new_examples():
    gaps, raw_gaps = [], []
    for seed in range(60):
        draw = simulate(READOUTS["lda"], seed, 4, 20, 0.5)
        p = draw.calibration.probabilities(draw.found)
        assert (np.diff(np.take_along_axis(p, np.argsort(draw.found.scores), axis=1)) >= 0).all()
        right = (draw.found.choice == draw.truth).mean()
        rows = np.arange(TEST)
        gaps.append(p[rows, draw.found.choice].mean() - right)
        raw_gaps.append(draw.found.scores[rows, draw.found.choice].mean() - right)
    # too low: that of a fold's classifier, which has fewer examples and is right less often
    assert -0.1 < np.mean(gaps) < 0.02
    assert np.mean(raw_gaps) < -0.3  # means over heads of lda's probabilities


@pytest.mark.thorough
def test_noise_gives_probabilities_of_chance():
    p = [
        draw.calibration.probabilities(draw.found).max(axis=1).mean()
        for draw in (simulate(READOUTS["vote"], seed, 2, 20, 0.0) for seed in range(40))
    ]
    assert 0.5 <= np.mean(p) < 0.6


def test_votes_get_one_more_that_all_classes_share():
    # 3 of 4 votes and 1 of 4: (3 + 1/2) : (1 + 1/2) at temperature 1
    votes = np.float32([[3, 1], [1, 3], [4, 0], [0, 4]])
    labels = np.array([0, 1, 0, 1])
    found = calibrate_task(votes, labels, np.ones(4))
    assert found.smoothing == 0.5
    odds = (3.5 / 1.5) ** (1 / found.temperature)
    p = found.probabilities(ClassScores(votes, labels, votes))
    assert p[0, 0] == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert (np.diff(found.nonconformity) >= 0).all()
    assert found.nonconformity[-1] == pytest.approx(1 / (1 + odds), abs=1e-4)


def test_votes_of_folds_count_as_many_as_those_of_the_whole():
    # two heads with two neighbours each in a fold, with three each in the whole: 4 and 6 votes
    votes = np.float32([[3, 1], [1, 3], [4, 0], [3, 1], [1, 3]])
    labels = np.array([0, 1, 0, 0, 0])
    whole = np.float32([[6, 0], [2, 4]])
    found = calibrate_task(votes, labels, np.ones(5), None, (votes, whole))
    logits = np.log(1.5 * votes + np.float32(0.5))
    assert found.temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-4)
    # a new example with 4.5 of 6 votes is as sure as the three left-out ones with 3 of 4
    p = found.probabilities(ClassScores(np.float32([[4.5, 1.5]]), labels[:1], votes[:1]))
    assert np.isclose(found.nonconformity, 1 - p[0, 0], atol=1e-6).sum() == 3
    same = calibrate_task(votes, labels, np.ones(5), None, (votes, votes))
    assert same.temperature == calibrate_task(votes, labels, np.ones(5)).temperature


def test_negative_scores_are_neither_votes_nor_probabilities():
    scores = np.float32([[1, -1], [0, 1]])
    assert calibrate_task(scores, np.array([0, 1]), np.ones(2)) is None


def test_a_readout_that_is_flatter_with_all_examples_gets_a_lower_temperature():
    scores = np.float32([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.4, 0.6]])
    labels = np.array([0, 1, 0, 0])
    plain = calibrate_task(scores, labels, np.ones(4))
    # logits ln 4 and ln 9 apart: half of the difference above the mean
    folds, whole = np.float32([[0.9, 0.1]]), np.float32([[0.8, 0.2]])
    found = calibrate_task(scores, labels, np.ones(4), None, (folds, whole))
    assert found.temperature / plain.temperature == pytest.approx(np.log(4) / np.log(9), rel=1e-3)
    np.testing.assert_array_equal(found.nonconformity, plain.nonconformity)


def drawn(n, classes, sharpness, seed=0):
    """Return logits, and labels drawn from softmax(sharpness * logits)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    p = tempered(logits, 1 / sharpness)
    labels = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


@pytest.mark.parametrize("sharpness", [0.25, 1, 4])
def test_the_temperature_of_drawn_labels_is_found_again(sharpness):
    logits, labels = drawn(20_000, 4, sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(1 / sharpness, rel=0.05)


def loss(logits, labels, temperature):
    p = tempered(logits, temperature)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("sharpness", [0.25, 4])
def test_predictions_stay_and_the_loss_of_new_examples_falls(sharpness):
    logits, labels = drawn(200, 5, sharpness)
    temperature = fit_temperature(logits, labels)
    new, truth = drawn(2_000, 5, sharpness, seed=1)
    assert (tempered(new, temperature).argmax(axis=1) == new.argmax(axis=1)).all()
    assert loss(new, truth, temperature) < loss(new, truth, 1.0) - 0.05


def test_labels_that_have_nothing_to_do_with_the_logits_make_all_classes_alike():
    logits, _ = drawn(4_000, 2, 1)
    labels = np.random.default_rng(9).integers(0, 2, 4_000)
    found = fit_temperature(logits, labels)
    assert abs(tempered(logits, found).max(axis=1).mean() - 0.5) < 0.03
    assert found <= RANGE[1]


def test_the_smoothed_loss_is_least_at_the_temperature():
    logits, labels = drawn(50, 3, 2)
    temperatures = fit_temperature(logits, labels) * np.array([0.97, 1, 1.03])
    rest = 1 / 52 / 2  # two other classes share 1 / (n + 2)
    targets = np.full((50, 3), rest)
    targets[np.arange(50), labels] = 1 - 2 * rest
    losses = [-(targets * np.log(tempered(logits, t))).sum() for t in temperatures]
    assert losses[1] == min(losses)


def test_all_right_is_not_taken_for_certainty():
    # one logit apart: p = 1 / (1 + exp(-1 / T)), which should be the target 1 - 1 / (n + 2) = 41/42
    logits = np.float32([[1, 0]] * 40)
    found = fit_temperature(logits, np.zeros(40, int))
    assert tempered(logits, found)[0, 0] == pytest.approx(41 / 42, abs=1e-4)


def test_of_many_logits_a_part_is_looked_at(monkeypatch):
    logits, labels = drawn(20_000, 4, 2)
    whole = fit_temperature(logits, labels)
    monkeypatch.setattr("savs.pipeline.targets.calibration.MOST", 20_000)
    assert fit_temperature(logits, labels) == pytest.approx(whole, rel=0.1)
    assert fit_temperature(logits, labels) == fit_temperature(logits[::4], labels[::4])


HUNDREDTHS = np.arange(1, 20) / 100
"""19 left-out examples: .01 ... .19."""


@pytest.mark.parametrize(
    ("n", "risk", "expected"),
    [
        (19, 0.05, 0.19),  # ceil(20 x .95) = 19: the 19th
        (18, 0.05, math.inf),  # ceil(19 x .95) = ceil(18.05) = 19 of 18
        (19, 0.1, 0.18),  # 20 x .9 = 18 exactly, which floats would make 18.000000000000004
        (19, 0.5, 0.10),
        (10, 0.3, 0.08),  # ceil(11 x .7) = ceil(7.7) = 8
    ],
)
def test_the_quantile_is_the_stated_place(n, risk, expected):
    assert most_nonconformity(HUNDREDTHS[:n], risk) == expected


@pytest.mark.parametrize("risk", [0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 1 / 3, 0.5])
def test_the_least_number_is_the_first_that_has_a_quantile(risk):
    least = least_examples(risk)
    scores = np.linspace(0, 1, 200)
    assert most_nonconformity(scores[:least], risk) <= 1
    assert most_nonconformity(scores[: least - 1], risk) == math.inf


def test_a_set_holds_the_classes_that_conform():
    p = np.float32([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.34, 0.33, 0.33]])
    scores = np.float32([0.1, 0.2, 0.5, 0.6])  # risk .4: ceil(5 x .6) = 3rd, .5
    expected = [[True, False, False], [True, False, False], [False, False, False]]
    assert in_set(p, scores, 0.4).tolist() == expected
    assert in_set(p, scores, 0.05).all()  # of four examples none can be left out


@pytest.mark.parametrize("seed", range(4))
def test_a_set_takes_all_classes_whose_votes_are_as_good(seed):
    # the votes of the other classes may stand in any order: the probability is the same
    rng, classes, n = np.random.default_rng(seed), 10, 150
    votes = rng.multinomial(20, [0.7] + [0.3 / 9] * 9, 2000).astype(np.float32)
    votes = rng.permuted(votes, axis=1)
    labels = np.array([rng.choice(classes, p=row / 20) for row in votes])
    found = calibrate_task(votes[:n], labels[:n], np.ones(n))
    powers = (votes.astype(float) + found.smoothing) ** (1 / found.temperature)
    exact = powers / [[math.fsum(row)] for row in powers]  # exact sums know no order
    right = np.sort(exact[np.arange(n), labels[:n]])[::-1]
    new, equal = votes[n:], 0
    p = found.probabilities(ClassScores(new, labels[n:], new))
    for risk in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        least = right[math.ceil((n + 1) * (1 - risk)) - 1]
        expected = exact[n:] >= least * (1 - 1e-9)
        assert (found.sets(p, risk) == expected).all()
        equal += int((np.abs(exact[n:] / least - 1) < 1e-9).sum())
    assert equal > 500


def test_a_sure_classifier_has_no_sets_of_all_classes():
    # the least probability, 1e-6, is fine: a class with a tenth of it stays out
    p = np.float32([[1 - 2e-6, 1e-6, 1e-7, 0]])
    assert in_set(p, np.float32([0, 0, 1 - 1e-6]), 0.26).tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("risk", [0, 1, -0.1, 1.5, float("nan")])
def test_a_risk_lies_between_0_and_1(risk):
    with pytest.raises(ParameterError, match=r"`risk` is .*, expected a number between 0 and 1"):
        require_risk(risk)


def test_typicality_is_the_greatest_mean_cosine_over_the_heads():
    rng = np.random.default_rng(0)
    features, centroids = rng.normal(size=(3, 7, 5)), rng.normal(size=(3, 4, 5))
    expected = cosines(features, centroids).mean(axis=0).max(axis=1)
    found = typicality(features.astype(np.float32), centroids.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-6)
