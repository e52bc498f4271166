import numpy as np
import oracle as slowly
import pytest
from readout_cases import CASES, assert_choices, draw

from savs.pipeline.selection.readouts.calm import CALM, FittedCalm, fit


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_scores_and_choices_equal_the_formula(make):
    case = make()
    fitted = CALM.fit(case.train, case.labels, case.classes, case.widths)
    found = fitted.scores(case.test)
    arguments = case.train, case.labels.tolist(), len(case.classes)
    np.testing.assert_allclose(fitted.weights, slowly.calm_weights(*arguments), atol=1e-4)
    slow = slowly.calm(*arguments, case.test)
    np.testing.assert_allclose(found.scores, slow, atol=1e-4)
    assert (found.soft == found.scores).all()
    assert_choices(found.choice, slow, gap=1e-4)


@pytest.mark.parametrize("shrinkage", [0.5, 3.0])
def test_shrinkage_trusts_rare_classes_less(shrinkage):
    case = draw(3, 3, (6, 2, 3), 5)
    slow = slowly.calm_weights(case.train, case.labels.tolist(), 3, shrinkage)
    weights = fit(case.train, case.labels, case.classes, case.widths, shrinkage).weights
    np.testing.assert_allclose(weights, slow, atol=1e-4)
    bare = fit(case.train, case.labels, case.classes, case.widths).weights
    assert np.abs(weights - bare).max() > 0.01


def test_weights_are_even_where_nothing_can_be_left_out():
    case = draw(1, 4, (1, 1, 1), 5)
    weights = CALM.fit(case.train, case.labels, case.classes, case.widths).weights
    assert (weights == 0.25).all()


def test_weights_are_even_where_no_head_knows_the_class():
    # class 0 is opposite to itself: left out, each of its examples is on the other class's side
    train = np.float32([[[1, 0], [-1, 0.1], [0.5, 1], [0.5, 1]]] * 2)
    weights = CALM.fit(train, np.array([0, 0, 1, 1]), ["a", "b"], [2, 2]).weights
    assert weights[:, 0].tolist() == [0.5, 0.5]


def test_a_head_weighs_for_each_class_by_itself():
    # class a sees head 0 only, class b head 1 only: .9 * p(a) against .9 * p(b), by hand:
    # head 0 says (1, 0): p = (1, 0) to 1e-6; head 1 says the same; a: .9 + .1, b: 0
    fitted = FittedCalm(
        np.tile(np.eye(2, dtype=np.float32), (2, 1, 1)), np.float32([[0.9, 0.1], [0.1, 0.9]])
    )
    found = fitted.scores(np.float32([[[1, 0], [1, 0]], [[1, 0], [0, 1]]]))
    np.testing.assert_allclose(found.scores, [[1, 0], [0.9, 0.9]], atol=1e-5)
    assert found.choice.tolist() == [0, 0]  # the second is a tie
