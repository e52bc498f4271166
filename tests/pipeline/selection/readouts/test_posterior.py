import numpy as np
import oracle as slowly
import pytest
from readout_cases import CASES, assert_choices, draw

from savs.pipeline.selection.readouts.posterior import POSTERIOR, FittedPosterior


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_probabilities_and_choices_equal_the_formula(make):
    case = make()
    found = POSTERIOR.fit(case.train, case.labels, case.classes, case.widths).scores(case.test)
    slow = slowly.posterior(case.train, case.labels.tolist(), len(case.classes), case.test)
    np.testing.assert_allclose(found.scores, slow, atol=1e-5)
    assert (found.soft == found.scores).all()
    assert_choices(found.choice, slow)


def test_a_probability_derived_by_hand():
    # head 0 sees (3, 4): cosines .6 and .8, p(second) = 1 / (1 + exp(-.2 / .07)) = .94568
    # head 1 sees a zero vector: cosines 0 and 0, p = .5; the mean is .72284
    fitted = FittedPosterior(np.tile(np.eye(2, dtype=np.float32), (2, 1, 1)))
    found = fitted.scores(np.float32([[[3, 4]], [[0, 0]]]))
    np.testing.assert_allclose(found.scores, [[0.27716, 0.72284]], atol=1e-5)
    assert found.choice.tolist() == [1]


def test_equal_probabilities_go_to_the_first_class():
    fitted = FittedPosterior(np.eye(3, dtype=np.float32)[None])
    # (0, 1, 1) is as near to the second axis as to the third; a zero vector to all
    assert fitted.scores(np.float32([[[0, 1, 1], [0, 0, 0]]])).choice.tolist() == [1, 0]


@pytest.mark.parametrize("queries", [1, 20, 100], ids=lambda n: f"{n} queries")
def test_bit_identical_centroids_go_to_the_first_class_whatever_the_rounding(queries):
    for seed in range(20):
        case = draw(seed, 3, (2,) * 9, 64)
        fitted = POSTERIOR.fit(case.train, case.labels, case.classes, case.widths)
        fitted.centroids[:, 8] = fitted.centroids[:, 1]
        fitted = FittedPosterior(fitted.centroids)
        noise = np.random.default_rng(seed).normal(size=(3, queries, 64))
        near = fitted.centroids[:, 1:2] + 0.1 * noise
        found = fitted.scores(near.astype(np.float32))
        assert (found.choice == 1).all()
        # columns of a matrix product are rounded differently
        np.testing.assert_allclose(found.scores[:, 8], found.scores[:, 1], rtol=1e-5)
