"""`SavsRegressor`: numbers of images, with the conventions of scikit-learn."""

import pickle

import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from savs import SavsClassifier, SavsRegressor, load

QUESTION = "How wide is it?"


@pytest.fixture(scope="module")
def squares():
    """Pictures of squares, and how wide these are in tenths of the picture."""
    numbers = np.array([1.5, 8, 3, 6.5, 4, 2, 7, 5, 9, 2.5, 5.5, 3.5])
    images = []
    for place, number in enumerate(numbers):
        image = Image.new("RGB", (64, 64), (40, 40 + place, 60))
        side = 6.4 * number
        ImageDraw.Draw(image).rectangle(((1, 1), (side, side)), fill=(250, 220, 40))
        images.append(image)
    return images, numbers


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def fitted(squares, cache):
    images, numbers = squares
    model = SavsRegressor("demo", heads=8, question=QUESTION, dtype="float32", cache=cache)
    return model.fit(images, numbers)


def test_numbers_follow_the_images_and_are_the_same_after_loading(fitted, squares, tmp_path):
    images, numbers = squares
    found = fitted.predict(images)
    assert found.shape == (len(images),)
    assert found.dtype == np.float64
    assert np.corrcoef(found, numbers)[0, 1] > 0.9
    assert fitted.score(images, numbers) > 0.7  # R2, as of regressors
    assert fitted(images[0]) == pytest.approx(found[0], abs=1e-3)  # alone in its batch
    loaded = load(fitted.save(tmp_path / "saved"))
    assert loaded.predict(images) == pytest.approx(found, abs=1e-3)


@pytest.mark.thorough
def test_it_keeps_the_conventions(fitted, squares, cache):
    images, numbers = squares
    assert is_regressor(fitted)
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert {name for name in vars(fresh) if name.endswith("_")} == set()
    with pytest.raises(NotFittedError):
        fresh.predict(images)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict(images[:2]) == pytest.approx(fitted.predict(images[:2]))
    search = GridSearchCV(fresh, {"heads": [2, 8]}, cv=2, error_score="raise")
    search.fit(images, numbers)
    assert set(search.cv_results_["param_heads"]) == {2, 8}
    assert "question='How wide is it?'" in repr(fresh)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: [*y[:-1], np.nan], "number 11 is nan, expected a finite one"),
        (lambda y: y[:-1], "there are 12 images and 11 labels"),
        (lambda y: [3.0] * len(y), "have the number 3, so that nothing can be learned"),
        (lambda y: ["wide"] * len(y), "could not convert string to float"),
        (lambda y: np.stack([y, y], axis=1), "1d array"),
    ],
    ids=["NaN", "fewer", "equal", "text", "matrix"],
)
def test_wrong_numbers_are_named(fitted, squares, change, message):
    images, numbers = squares
    with pytest.raises(ValueError, match=message):
        clone(fitted).fit(images, change(numbers.tolist()))


def test_what_was_saved_says_which_estimator_it_is(fitted, squares, tmp_path):
    images, _ = squares
    assert type(load(fitted.save(tmp_path / "numbers"))) is SavsRegressor
    options = {"heads": 4, "question": QUESTION, "dtype": "float32", "cache": fitted.cache}
    classes = SavsClassifier("demo", **options).fit(images, ["small", "large"] * 6)
    assert type(load(classes.save(tmp_path / "classes"))) is SavsClassifier
