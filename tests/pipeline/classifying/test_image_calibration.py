"""Left-out images calibrate a `SavsClassifier`, as `savs select` calibrates a classifier."""

import numpy as np
import pytest
from sklearn.base import clone

from savs import calibrate, open_store, select

pytestmark = pytest.mark.thorough


def test_one_image_of_a_class_gives_shares_of_votes(fitted, shots, made) -> None:
    images, labels = shots
    places = [labels.index(name) for name in ("cat", "dog")]
    few = clone(fitted).fit([images[i] for i in places], [labels[i] for i in places])
    votes = 8 * few.predict_proba(made.images[:4])
    assert few.selection_.only_task().decision is None
    np.testing.assert_allclose(votes, np.round(votes), atol=1e-6)
    np.testing.assert_allclose(votes.sum(axis=1), 8)
    assert ((votes > 0) & (votes < 8)).any()


@pytest.mark.parametrize("readout", ["lda", "logistic", "posterior"])
def test_a_calibration_of_images_is_that_of_a_store(animals, fitted, shots, readout) -> None:
    images, labels = shots
    ask = clone(fitted).set_params(heads=6, readout=readout).fit(images, labels)
    store = open_store(animals.parent / "s")
    expected = calibrate(store, select(store, heads=6, readout=readout)).selection.only_task()
    found = ask.selection_.only_task().decision
    assert found.temperature == pytest.approx(expected.decision.temperature, rel=1e-3)
    assert found.typical == pytest.approx(expected.decision.typical, abs=1e-6)
    np.testing.assert_allclose(found.nonconformity, expected.decision.nonconformity, atol=1e-4)
