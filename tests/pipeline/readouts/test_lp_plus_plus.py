"""`lp-plus-plus` against its formula, slowly, and by hand."""

from math import exp

import numpy as np
import oracle as slowly
import pytest
from scipy.optimize import minimize

from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import lp_plus_plus as probe
from savs.pipeline.readouts.readout import ClassTexts

CASES = {"one shot": (1, 1, 1), "equal": (4, 4, 4), "unequal": (7, 2, 3), "many": (20, 20)}


def fit(features, labels, texts):
    texts = np.asarray(texts, np.float32)[None]
    names = [str(number) for number in range(texts.shape[1])]
    given = np.asarray(features, np.float32)[None], np.asarray(labels), names, [texts.shape[2]]
    return probe.fit(*given, texts=ClassTexts(texts, 100.0)).directions[0]


def draw(counts, seed=0, width=4):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = rng.normal(size=(len(counts), width))
    features = centres[labels] + rng.normal(size=(len(labels), width))
    return (
        slowly.unit(features),
        labels,
        slowly.unit(centres + 0.5 * rng.normal(size=centres.shape)),
    )


def loss(w, alpha, features, labels, texts):
    """Return the mean cross-entropy, example by example."""
    total = 0.0
    for x, y in zip(features, labels, strict=True):
        logits = np.array([x @ w[c] + alpha[c] * (x @ t) for c, t in enumerate(texts)])
        total += np.log(np.exp(logits - logits[y]).sum())
    return total / len(labels)


def gradients(w, alpha, features, labels, texts):
    """Return the gradients of `loss` by w and by alpha, example by example."""
    of_w, of_alpha = np.zeros_like(w), np.zeros_like(alpha)
    for x, y in zip(features, labels, strict=True):
        p = slowly.softmax([x @ w[c] + alpha[c] * (x @ t) for c, t in enumerate(texts)], 1.0)
        for c, t in enumerate(texts):
            wrong = (p[c] - (c == y)) / len(labels)
            of_w[c] += wrong * x
            of_alpha[c] += wrong * (x @ t)
    return of_w, of_alpha


def start(features, labels, texts):
    """Return w and alpha before the first step."""
    own = [features[labels == c] for c in range(len(texts))]
    w = np.array([rows.mean(axis=0) * len(labels) / len(texts) for rows in own])
    near = np.mean([np.mean(rows @ t) for rows, t in zip(own, texts, strict=True)])
    return w, np.full(len(texts), 250 * near)


def curvatures(features, texts):
    """Return L_w and L_alpha."""
    n = len(features)
    spread = sum(np.outer(x, x) for x in features)
    products = [sum((x @ t) ** 2 for x in features) for t in texts]
    return np.linalg.eigvalsh(spread)[-1] / (2 * n), max(products) / (2 * n)


@pytest.mark.parametrize("case", CASES)
def test_each_block_takes_steps_of_its_own_length(case, monkeypatch) -> None:
    monkeypatch.setattr(probe, "ROUNDS", 3)
    features, labels, texts = draw(CASES[case])
    w, alpha = start(features, labels, texts)
    of_w, of_alpha = curvatures(features, texts)
    moved = 0
    for _ in range(3):
        for _ in range(10):
            moved = 0.9 * moved - gradients(w, alpha, features, labels, texts)[0] / of_w
            w = w + moved
        alpha = alpha - gradients(w, alpha, features, labels, texts)[1] / of_alpha
    expected = w + alpha[:, None] * texts
    np.testing.assert_allclose(fit(features, labels, texts), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_step_lowers_the_loss_by_half_of_its_gradient_at_least(seed) -> None:
    features, _, texts = data = draw((5, 3, 6), seed)
    rng = np.random.default_rng(seed)
    w, alpha = rng.normal(size=texts.shape) * 3, rng.normal(size=len(texts)) * 20
    step_w, step_alpha = probe.steps(features, features @ texts.T)
    of_w, of_alpha = curvatures(features, texts)
    assert (step_w, step_alpha) == pytest.approx((1 / of_w, 1 / of_alpha))
    before = loss(w, alpha, *data)
    by_w, by_alpha = gradients(w, alpha, *data)
    assert loss(w - step_w * by_w, alpha, *data) <= before - step_w / 2 * np.square(by_w).sum()
    least = before - step_alpha / 2 * np.square(by_alpha).sum()
    assert loss(w, alpha - step_alpha * by_alpha, *data) <= least


def test_the_bound_is_reached_where_two_classes_are_equally_likely() -> None:
    # One example x = (1), w = (0, 0): along (1, -1) / sqrt 2 the loss at s is
    # log(1 + e^(-s sqrt 2)), whose second derivative at 0 is 2 p (1 - p) = 1/2, and L_w = 1 / 2.
    # With t = (1), (-1), the same of alpha, (f . t_c)^2 being 1.
    assert probe.steps(np.ones((1, 1)), np.array([[1.0, -1.0]])) == (2.0, 2.0)


def test_many_steps_reach_the_least_loss(monkeypatch) -> None:
    monkeypatch.setattr(probe, "ROUNDS", 100)
    features, labels, texts = draw((25, 25), 3)
    labels = labels.copy()
    labels[:12] = 1 - labels[:12]  # classes overlap, so that the least loss is above 0

    def both(values):
        w, alpha = values[:-2].reshape(2, -1), values[-2:]
        of_w, of_alpha = gradients(w, alpha, features, labels, texts)
        return loss(w, alpha, features, labels, texts), np.concatenate([of_w.ravel(), of_alpha])

    least = minimize(both, np.zeros(2 * 4 + 2), jac=True, method="L-BFGS-B").fun
    found = loss(fit(features, labels, texts), np.zeros(2), features, labels, texts)
    assert least > 0.3
    assert found == pytest.approx(least, abs=1e-4)


def test_one_example_a_class_by_hand(monkeypatch) -> None:
    eye = np.eye(2)
    # logits 251 and 0: nothing is left to learn
    np.testing.assert_array_equal(fit(eye, [0, 1], eye), 251 * eye)
    # Texts of the other class: alpha starts at 0, w at eye. L_w = L_alpha = 1 / 4. p of the wrong
    # class is 1 / (1 + e), and half of it the gradient of its logit.
    monkeypatch.setattr(probe, "ROUNDS", 1)
    monkeypatch.setattr(probe, "INNER", 1)
    step = 4 / 2 / (1 + exp(1))
    lead = 1 + 2 * step
    alpha = -4 / 2 / (1 + exp(lead))
    expected = [[1 + step, alpha - step], [alpha - step, 1 + step]]
    np.testing.assert_allclose(fit(eye, [0, 1], eye[::-1]), expected, rtol=1e-6)


def test_a_larger_class_has_no_advantage_at_the_start(monkeypatch) -> None:
    monkeypatch.setattr(probe, "ROUNDS", 0)
    # six examples, two classes: each mean three times; mean cosines .6 and 1: 250 * .8
    features = [[1, 0]] * 4 + [[0, 1]] * 2
    found = fit(features, [0] * 4 + [1] * 2, [[0.6, 0.8], [0, 1]])
    np.testing.assert_allclose(found, [[3 + 120, 160], [0, 203]], rtol=1e-6)


def test_classes_of_equal_texts_and_examples_go_to_the_first() -> None:
    features, labels, texts = draw((6, 6, 6), 1, width=16)
    features[labels == 2], texts[2] = features[labels == 1], texts[1]  # class 2 is class 1
    names = np.asarray(texts, np.float32)[None]
    given = np.asarray(features, np.float32)[None], labels, list("abc"), [16]
    fitted = probe.fit(*given, texts=ClassTexts(names, 100.0))
    near = texts[1] + 0.3 * np.random.default_rng(0).normal(size=(1, 200, 16))
    found = fitted.scores(near.astype(np.float32))
    assert (found.choice != 2).all()
    assert (found.choice == 1).mean() > 0.9


@pytest.mark.parametrize("which", ["features", "texts"])
def test_nothing_to_learn_from_is_no_division_by_zero(which) -> None:
    features, labels, texts = draw((2, 2))
    features, texts = (0 * features, texts) if which == "features" else (features, 0 * texts)
    assert np.isfinite(fit(features, labels, texts)).all()


def test_no_example_is_refused() -> None:
    with pytest.raises(SelectionError, match="'lp-plus-plus' needs training examples"):
        fit(np.zeros((0, 2)), np.zeros(0, int), np.eye(2))
