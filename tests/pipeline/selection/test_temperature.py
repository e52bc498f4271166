"""A temperature makes probabilities likelier, and changes no prediction."""

import numpy as np
import pytest

from savs.pipeline.selection.calibration import RANGE, fit_temperature, tempered


def drawn(n, classes, sharpness, seed=0):
    """Return logits, and labels drawn from softmax(sharpness * logits)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    p = tempered(logits, 1 / sharpness)
    labels = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


def loss(logits, labels, temperature):
    p = tempered(logits, temperature)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("sharpness", [0.25, 1, 4])
def test_the_temperature_of_drawn_labels_is_found_again(sharpness):
    logits, labels = drawn(20_000, 4, sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(1 / sharpness, rel=0.05)


@pytest.mark.parametrize("sharpness", [0.25, 4])
def test_predictions_stay_and_the_loss_of_new_examples_falls(sharpness):
    logits, labels = drawn(200, 5, sharpness)
    temperature = fit_temperature(logits, labels)
    new, truth = drawn(2_000, 5, sharpness, seed=1)
    assert (tempered(new, temperature).argmax(axis=1) == new.argmax(axis=1)).all()
    assert loss(new, truth, temperature) < loss(new, truth, 1.0) - 0.05


def test_the_smoothed_loss_is_least_at_the_temperature():
    logits, labels = drawn(50, 3, 2)
    found = fit_temperature(logits, labels)
    rest = 1 / 52 / 2  # two other classes share 1 / (n + 2)
    targets = np.full((50, 3), rest)
    targets[np.arange(50), labels] = 1 - 2 * rest
    losses = [
        -(targets * np.log(tempered(logits, t))).sum() for t in found * np.array([0.97, 1, 1.03])
    ]
    assert losses[1] == min(losses)


def test_all_right_is_not_taken_for_certainty():
    # one logit apart: p = 1 / (1 + exp(-1 / T)), which should be the target 1 - 1 / (n + 2) = 41/42
    logits = np.float32([[1, 0]] * 40)
    found = fit_temperature(logits, np.zeros(40, int))
    assert tempered(logits, found)[0, 0] == pytest.approx(41 / 42, abs=1e-4)


def test_labels_that_have_nothing_to_do_with_the_logits_make_all_classes_alike():
    logits, _ = drawn(4_000, 2, 1)
    labels = np.random.default_rng(9).integers(0, 2, 4_000)
    found = fit_temperature(logits, labels)
    assert abs(tempered(logits, found).max(axis=1).mean() - 0.5) < 0.03
    assert found <= RANGE[1]


def test_of_many_logits_a_part_is_looked_at(monkeypatch):
    logits, labels = drawn(20_000, 4, 2)
    whole = fit_temperature(logits, labels)
    monkeypatch.setattr("savs.pipeline.selection.calibration.MOST", 20_000)
    assert fit_temperature(logits, labels) == pytest.approx(whole, rel=0.1)
    assert fit_temperature(logits, labels) == fit_temperature(logits[::4], labels[::4])
