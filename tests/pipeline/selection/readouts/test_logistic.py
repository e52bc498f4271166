import numpy as np
import pytest
from oracle import softmax, unit
from readout_cases import CASES, assert_choices, draw

from savs.pipeline.selection.readouts.logistic import LOGISTIC, FittedLogistic

slow = pytest.mark.thorough  # scikit-learn takes a second to import


def side_by_side(features: np.ndarray) -> np.ndarray:
    """Return `(n, heads * d)` float64: the heads' unit vectors, one after the other."""
    return np.array(
        [
            np.concatenate([unit(head[i]) for head in features])
            for i in range(features.shape[1])
        ]
    )  # fmt: skip


@slow
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_probabilities_and_choices_equal_scikit_learns_own(make):
    from sklearn.linear_model import LogisticRegression

    case = make()
    found = LOGISTIC.fit(case.train, case.labels, case.classes, case.widths).scores(case.test)
    rows, queries = (side_by_side(part).astype(np.float32) for part in (case.train, case.test))
    model = LogisticRegression(C=1.0, max_iter=1000).fit(rows, case.labels)
    expected = model.predict_proba(queries)
    np.testing.assert_allclose(found.scores, expected, atol=1e-3)
    assert_choices(found.choice, expected, gap=1e-3)
    assert (found.soft.argmax(axis=1) == found.choice).all()


@slow
@pytest.mark.parametrize("counts", [(6, 5), (4, 6, 3)], ids=["2 classes", "3 classes"])
def test_the_fit_is_the_optimum_of_the_penalised_likelihood(counts):
    # at the optimum, sum_i (p_ic - [y_i = c]) x_i + w_c / C = 0, and without penalty for the bias;
    # of two classes scikit-learn penalises one row of weights: that of the second class
    case = draw(4, 3, counts, 5)
    fitted = LOGISTIC.fit(case.train, case.labels, case.classes, case.widths)
    weights = fitted.weights.transpose(1, 0, 2).reshape(len(counts), -1).astype(np.float64)
    rows = side_by_side(case.train)
    p = np.array([softmax((weights @ x + fitted.bias).tolist(), 1.0) for x in rows])
    short = p - np.eye(len(counts))[case.labels]
    gradient = short.T @ rows + weights
    assert np.abs(gradient[1:]).max() < 1e-2
    assert np.abs(short.sum(axis=0)).max() < 1e-2
    assert np.abs(weights[1:]).max() > 0.1


def test_equal_probabilities_go_to_the_first_class():
    fitted = FittedLogistic(np.eye(3, dtype=np.float32)[None], np.zeros(3, np.float32))
    found = fitted.scores(np.float32([[[0, 2, 2], [0, 0, 0]]]))
    assert found.choice.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores[1], [1 / 3] * 3, rtol=1e-6)
