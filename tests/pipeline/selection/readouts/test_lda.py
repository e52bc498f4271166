import numpy as np
import oracle as slowly
import pytest
from readout_cases import CASES, assert_choices, draw

from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.readouts.lda import LDA


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_probabilities_and_choices_equal_the_formula(make):
    case = make()
    found = LDA.fit(case.train, case.labels, case.classes, case.widths).scores(case.test)
    slow = slowly.lda(case.train, case.labels.tolist(), len(case.classes), case.test, case.widths)
    np.testing.assert_allclose(found.scores, slow, atol=1e-4)
    assert (found.soft == found.scores).all()
    assert_choices(found.choice, slow, gap=1e-4)


@pytest.mark.parametrize("spread", [1e-1, 1e-2, 1e-3], ids=lambda s: f"spread {s}")
def test_features_that_share_a_large_mean(spread):
    # the precision grows with 1 / spread^2, to 1e8; probabilities stay within the formula's
    case = draw(2, 2, (10, 9, 8), 48)
    shared = np.random.default_rng(0).normal(size=(2, 1, 48)).astype(np.float32)
    train, test = shared + spread * case.train, shared + spread * case.test
    train, test = train.astype(np.float32), test.astype(np.float32)
    found = LDA.fit(train, case.labels, case.classes, case.widths).scores(test)
    slow = slowly.lda(train, case.labels.tolist(), 3, test, case.widths)
    assert slow.max(axis=1).min() > 0.4  # no head is undecided
    np.testing.assert_allclose(found.scores, slow, atol=1e-3)


def test_one_example_a_class_is_the_nearest_unit_vector():
    # P = I: logits -1/2 |x - mu|^2 + log(1/2); x = (1, 0), mu_a = (1, 0), mu_b = (0, 1): 0 and -1;
    # p(a) = 1 / (1 + exp(-1 / 10)) = .524979
    train = np.float32([[[5, 0], [0, 2]]])
    fitted = LDA.fit(train, np.array([0, 1]), ["a", "b"], [2])
    found = fitted.scores(np.float32([[[3, 0], [1, 1]]]))
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
    slow = slowly.lda(case.train, case.labels.tolist(), 2, case.test, case.widths)
    np.testing.assert_allclose(found.scores, slow, atol=1e-4)


@pytest.mark.parametrize("scoring", ["resubstitution", "loo", "kfold"])
@pytest.mark.parametrize(
    "case",
    [draw(1, 3, (3, 4), 3), draw(2, 2, (2, 3, 4), 12), draw(3, 3, (7, 6), 6, widths=(4, 6, 3))],
    ids=["n > d", "n < d, unbalanced", "three widths"],
)
def test_head_scores_equal_the_slow_method(case, scoring):
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


@pytest.mark.parametrize(("scoring", "name"), [("loo", "leave-one-out"), ("kfold", "k-fold")])
def test_a_class_with_one_example_cannot_be_left_out(scoring, name):
    x, labels = np.ones((1, 3, 2), np.float32), np.array([0, 0, 1])
    with pytest.raises(SelectionError, match=f"'rare' has one training example, but {name}"):
        LDA.score_heads(x, labels, ["o", "rare"], [2], scoring)
