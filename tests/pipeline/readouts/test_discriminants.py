"""`lda` with classes of unequal size or thousands of examples, and `hec-v` as published."""

import numpy as np
import oracle as slowly
import pytest
from readout_cases import CASES, Case, draw

from savs.pipeline.heads.folds import stratified_folds
from savs.pipeline.readouts import READOUTS, ClassScores, heads_fit
from savs.pipeline.targets.calibration import calibrate_task

thorough = pytest.mark.thorough
LDA, HEC_V, VOTE = (READOUTS[name] for name in ("lda", "hec-v", "vote"))


def problem(
    seed: int,
    counts: tuple[int, ...],
    *,
    width: int,
    apart: float,
    heads: int = 20,
    tests: int = 150,
) -> tuple[Case, np.ndarray]:
    """Return a case with `tests` new examples of each class, and the truth."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(heads, 1, width))
    means = shared + rng.normal(size=(heads, len(counts), width)) * apart / np.sqrt(width)
    scale = np.exp(0.5 * rng.normal(size=(heads, 1, width)))
    labels = np.repeat(np.arange(len(counts)), counts)
    truth = np.repeat(np.arange(len(counts)), tests)
    train, test = (
        (means[:, own] + scale * rng.normal(size=(heads, len(own), width))).astype(np.float32)
        for own in (labels, truth)
    )
    return Case(train, labels, test, (width,) * heads), truth


def classify(rule, case: Case) -> ClassScores:
    fitted = rule.fit(case.train, case.labels, case.classes, case.widths)
    return fitted.scores(case.test)


def balanced(choice: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean over classes of the share that is right."""
    return float(np.mean([(choice[truth == c] == c).mean() for c in np.unique(truth)]))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("counts", "width", "apart", "least"),
    [
        ((30, 10), 128, 2.0, 0.95),
        ((60, 30, 20), 128, 1.0, 0.65),
        ((20, 5, 1), 128, 3.0, 0.8),
        ((40, 4), 32, 2.0, 0.9),
    ],
)
def test_a_small_class_is_found_as_often_as_a_large_one(counts, width, apart, least):
    found = []
    for seed in range(3):
        case, truth = problem(seed, counts, width=width, apart=apart)
        choices = [classify(rule, case).choice for rule in (LDA, HEC_V, VOTE)]
        found.append([balanced(choice, truth) for choice in choices])
    ours, published, vote = np.mean(found, axis=0)
    assert ours > least
    assert ours > vote + 0.1
    assert ours > published + 0.2  # whose prior makes nearly all the largest class


@thorough
@pytest.mark.parametrize("name", ["mahalanobis", "ridge"])
@pytest.mark.parametrize(
    ("counts", "width", "apart", "least"),
    [((30, 10), 64, 2.0, 0.9), ((20, 5, 1), 64, 3.0, 0.8), ((40, 4), 32, 2.0, 0.9)],
)
def test_so_it_is_with_all_heads_side_by_side(name, counts, width, apart, least):
    found = []
    for seed in range(3):
        case, truth = problem(seed, counts, width=width, apart=apart)
        choices = [classify(READOUTS[rule], case).choice for rule in (name, "logistic")]
        found.append([balanced(choice, truth) for choice in choices])
    ours, logistic = np.mean(found, axis=0)
    assert ours > least
    assert ours > logistic + 0.2  # which makes nearly all the largest class


@thorough
@pytest.mark.parametrize("counts", [(30, 10), (12, 6, 3), (5, 2), (200, 20)], ids=str)
def test_on_noise_no_class_is_named_more_often_for_its_number(counts):
    shares = []
    for seed in range(40):
        case, _ = problem(seed, counts, width=24, apart=0.0, heads=1, tests=100)
        shares.append(
            np.bincount(classify(LDA, case).choice, minlength=len(counts)) / case.test.shape[1]
        )
    mean, error = np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(len(shares))
    assert (np.abs(mean - 1 / len(counts)) < 3.5 * error + 0.03).all(), (mean, error)


@thorough
@pytest.mark.parametrize("apart", [0.0, 1.5], ids=["noise", "signal"])
def test_leaving_one_out_is_as_hard_as_a_new_example(apart):
    # the left-out example's class has one fewer than the others: that alone must not decide
    left_out, new = [], []
    for seed in range(12):
        case, truth = problem(seed, (10, 10), width=128, apart=apart)
        for row, own in enumerate(case.labels):
            kept = np.arange(len(case.labels)) != row
            one = Case(case.train[:, kept], case.labels[kept], case.train[:, [row]], case.widths)
            left_out.append(classify(LDA, one).choice[0] == own)
        new.append((classify(LDA, case).choice == truth).mean())
    error = np.sqrt(0.25 / len(left_out))
    assert abs(np.mean(left_out) - np.mean(new)) < 2.5 * error


@pytest.mark.parametrize("counts", [(5, 5), (1, 1, 1), (7,) * 4, (2,) * 12], ids=str)
def test_with_equal_classes_hec_v_is_lda_to_the_last_bit(counts):
    case = draw(3, 4, counts, 16)
    ours, published = (
        rule.fit(case.train, case.labels, case.classes, case.widths) for rule in (LDA, HEC_V)
    )
    for name in LDA.arrays:
        np.testing.assert_array_equal(getattr(ours, name), getattr(published, name), strict=True)
    assert (ours.scores(case.test).scores == published.scores(case.test).scores).all()
    for scoring in ("resubstitution", "loo")[: 1 + (min(counts) > 1)]:
        scores = [
            rule.score_heads(case.train, case.labels, case.classes, case.widths, scoring)
            for rule in (LDA, HEC_V)
        ]
        same = (scores[0].score == scores[1].score).all()
        assert same == (scoring == "resubstitution")  # one left out: no longer equal


@pytest.mark.parametrize("name", ["3 heads, 5 unbalanced classes", "n > d", "zero vectors"])
def test_head_scores_of_hec_v_equal_the_slow_method(name):
    case = CASES[name]()
    found = HEC_V.score_heads(case.train, case.labels, case.classes, case.widths, "resubstitution")
    for head, rows in enumerate(case.train):
        score, margin = slowly.lda_head_score(rows, case.labels, len(case.classes), None, "hec-v")
        assert found.score[head] == pytest.approx(score, abs=1e-4)
        assert found.margin[head] == pytest.approx(margin, abs=1e-4)


@pytest.fixture(scope="module")
def thousands() -> tuple[Case, np.ndarray]:
    """Return five classes of 2,000 examples each."""
    return problem(1, (2000,) * 5, width=32, apart=0.2, tests=400)


@thorough
def test_with_thousands_a_class_no_clear_prediction_becomes_the_first_class(thousands):
    case, truth = thousands
    found = classify(LDA, case)
    slow = slowly.lda(case.train, case.labels, 5, case.test)  # float64
    assert (found.choice == slow.argmax(axis=1)).mean() > 0.997
    assert (slow.max(axis=1) / np.sort(slow, axis=1)[:, -2] - 1 < 2.0**-13 / 10).mean() > 0.05
    errors = slowly.lda_errors(case.train, case.labels, 5, case.test, "lda")
    rows, best = np.arange(len(truth)), slow.argmax(axis=1)
    least = slow[rows, best] - errors[rows, best]
    assert (slow[rows, found.choice] >= least - 2.0**-30).all()


def test_a_head_that_hardly_varies_makes_no_ties_of_clear_predictions():
    # its weights are ten thousand times as long as those of the others; the mean shares its error
    case, _ = problem(2, (3, 3), width=32, apart=4.0, heads=6)
    for part in (case.train, case.test):
        part[0] = case.train[0, 0] + np.float32(4e-6) * part[0]
    fitted = LDA.fit(case.train, case.labels, case.classes, case.widths)
    lengths = slowly.LDA_TAU * np.linalg.norm(fitted.directions, axis=2).max(axis=1)
    assert lengths[0] > 1e4 * lengths[1:].max()
    found = fitted.scores(case.test)
    low, high = np.sort(found.scores, axis=1).T
    within_that_heads = low > high * np.exp(-slowly.TIE * lengths[0] / slowly.LDA_TAU)
    clear = high - low > 0.1
    assert (clear & within_that_heads).sum() > 5
    assert (found.choice == found.scores.argmax(axis=1))[clear].all()


def test_how_many_close_examples_are_in_work_changes_no_choice(monkeypatch):
    case, _ = problem(3, (8, 8, 8), width=32, apart=3.0)
    case.train[:, case.labels == 2] = case.train[:, case.labels == 1]  # all of 2 tie with 1
    choice = classify(LDA, case).choice
    assert set(choice) == {0, 1}
    monkeypatch.setattr(heads_fit, "CLOSE_BLOCK", 1)
    np.testing.assert_array_equal(classify(LDA, case).choice, choice)


@thorough
def test_with_thousands_a_class_equal_classes_still_tie(thousands):
    case, _ = thousands
    train, labels = case.train[:, :6000], case.labels[:6000]
    twice = np.concatenate([train, train[:, labels == 1]], axis=1)  # class 3 is class 1
    numbers = np.concatenate([labels, np.full(2000, 3)])
    for rows in (1, 7, 400):
        one = Case(twice, numbers, case.test[:, :rows], case.widths)
        assert 3 not in classify(LDA, one).choice
    assert 1 in classify(LDA, one).choice


@thorough
def test_with_thousands_a_class_probabilities_are_as_sure_as_they_are_right(thousands):
    case, truth = thousands
    found = classify(LDA, case)
    half = stratified_folds(truth, 2) == 0
    calibration = calibrate_task(found.scores[half], truth[half], np.ones(half.sum()))
    p = calibration.probabilities(found)[~half]
    right = (found.choice == truth)[~half].mean()
    assert right > 0.4
    assert p.max(axis=1).mean() == pytest.approx(right, abs=0.06)
