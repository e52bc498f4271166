"""`ClassifyBatches`: batches of numpy arrays, as Ray Data has them, get what classify says."""

import numpy as np
import pytest

from savs import calibrate, classify, open_store, save_selection, select
from savs.datasets.media.images import decode_image
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.batch_step import ClassifyBatches
from savs.pipeline.errors import SelectionError

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def calibrated(animals, tmp_path_factory):
    store = open_store(animals.parent / "s")
    selection = calibrate(store, select(store, heads=8)).selection
    return save_selection(selection, tmp_path_factory.mktemp("step") / "vote")


@pytest.fixture(scope="module")
def step(calibrated):
    return ClassifyBatches(calibrated, column="pixels")


def objects(values):
    """Return a column of Python objects."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def test_a_batch_gets_what_classify_says(step, calibrated, made) -> None:
    paths = made.images[:5]
    expected = classify(calibrated, paths).predictions
    arrays = objects([np.asarray(decode_image(p.read_bytes(), p.name)) for p in paths])
    for images in (arrays, objects([p.read_bytes() for p in paths]), np.array([*map(str, paths)])):
        batch = {"pixels": images, "key": np.arange(5)}
        found = step(batch)
        assert list(found) == ["pixels", "key", "prediction", "probability", "margin", "reason"]
        assert found["pixels"] is images
        assert found["prediction"].tolist() == expected["prediction"].to_list()
        np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-5)
        np.testing.assert_allclose(found["margin"], expected["margin"], atol=1e-4)
        assert found["reason"].tolist() == [None] * 5
    assert found["probability"].dtype == found["margin"].dtype == np.float32


def test_images_of_one_size_are_one_array(step, made) -> None:
    pixels = np.zeros((2, 60, 80, 3), np.uint8)
    found = step({"pixels": pixels})
    assert found["reason"].tolist() == [None, None]
    assert len(set(found["prediction"])) == 1


def test_an_image_that_cannot_be_read_has_a_reason(step, made) -> None:
    good = made.images[0].read_bytes()
    images = objects([b"no image", good, b"", "nowhere.png", good[:40], good, None])
    found = step({"pixels": images})
    bad = [0, 2, 3, 4, 6]
    assert [n for n, reason in enumerate(found["reason"]) if reason] == bad
    assert found["reason"][2] == "image 2 is empty (0 bytes)"
    assert "nowhere.png" in found["reason"][3]
    assert all(found["prediction"][n] is None for n in bad)
    assert np.isnan(found["probability"][bad]).all()
    assert np.isnan(found["margin"][bad]).all()
    alone = step({"pixels": objects([good])})
    for name in ("prediction", "probability", "margin"):
        assert (found[name][[1, 5]] == alone[name][0]).all()


@pytest.mark.parametrize("images", [[b"no image"], [b""], []])
def test_a_batch_without_one_readable_image(calibrated, images) -> None:
    found = ClassifyBatches(calibrated)({"image": objects(images)})
    assert found["prediction"].tolist() == [None] * len(images)
    assert all(found["reason"])
    assert np.isnan(found["margin"]).all()


def test_what_cannot_be_is_named(step, made) -> None:
    with pytest.raises(ParameterError, match=r"has the columns image, and no 'pixels'; pass col"):
        step({"image": objects([])})
    with pytest.raises(ParameterError, match="has a column 'margin' already"):
        step({"pixels": objects([]), "margin": np.zeros(0)})
    with pytest.raises(SelectionError, match="2 subtasks were selected"):
        ClassifyBatches(made.classifier)
