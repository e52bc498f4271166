"""`SavsFeatures`, `embed` and `load`: images beside other columns, one pass, no surprise."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.feature_cache import MEMORY, MemoryCache
from savs.pipeline.errors import ModelError, SelectionError
from savs.stores import HeadNotFoundError, ResultError

pytestmark = pytest.mark.thorough

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."
GIVEN = {"model": "demo", "question": QUESTION, "dtype": "float32"}


@pytest.fixture
def store(animals):
    return savs.open_store(animals.parent / "s")


def side_by_side(values):
    return np.concatenate(list(values), axis=1)


def test_features_are_those_of_the_store(shots, store) -> None:
    images, _ = shots
    found = savs.embed(images[:6], heads="all", **GIVEN)
    stored = store.features("train")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, side_by_side(stored[:, :6]), atol=1e-4)
    some = savs.embed([Image.open(images[1])], heads="L1.H2,L0.H0", **GIVEN)
    places = [store.heads.index(head) for head in ((1, 2), (0, 0))]
    np.testing.assert_allclose(some, side_by_side(stored[places, 1:2]), atol=1e-4)
    chosen = savs.select(store, heads=2)
    by_selection = savs.embed(images[:2], heads=chosen, **GIVEN)
    places = [store.heads.index(head) for head in chosen.heads]
    np.testing.assert_allclose(by_selection, side_by_side(stored[places, :2]), atol=1e-4)


def test_a_folder_keeps_them(shots, passes, tmp_path) -> None:
    images, _ = shots
    first = savs.embed(images[:4], cache=tmp_path / "kept", **GIVEN)
    MEMORY.rows.clear()
    again = savs.embed(images[:4], cache=tmp_path / "kept", **GIVEN)
    assert passes == [4]
    np.testing.assert_array_equal(again, first)


def test_a_grid_search_is_one_pass(shots, passes) -> None:
    images, labels = shots
    features = savs.SavsFeatures(**GIVEN)
    model = make_pipeline(features, StandardScaler(), LogisticRegression())
    grid = {"savsfeatures__heads": [2, None], "logisticregression__C": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=2).fit(images, labels)
    assert search.best_score_ > 0.5
    assert sum(passes) == len({path.read_bytes() for path in images})
    assert search.predict(images[:3]).tolist() == labels[:3]


def test_heads_are_chosen_by_the_rows_of_the_fit_alone(shots, store) -> None:
    images, labels = shots
    fitted = savs.SavsFeatures(heads=3, **GIVEN).fit(images, labels)
    assert fitted.heads_ == list(savs.select(store, heads=3).only_task().heads)
    half = slice(None, None, 2)
    other = savs.SavsFeatures(heads=3, **GIVEN).fit(images[half], labels[half])
    swapped = list(labels)
    swapped[1::2] = swapped[1::2][::-1]
    again = savs.SavsFeatures(heads=3, **GIVEN).fit(images[half], swapped[half])
    assert other.heads_ == again.heads_
    names = fitted.get_feature_names_out()
    assert len(names) == fitted.transform(images[:2]).shape[1] == len({*names})
    layer, head = fitted.heads_[0]
    assert names[0] == f"L{layer}.H{head}.0"
    assert clone(fitted).get_params()["heads"] == 3
    numbers = np.linspace(0, 1, len(images))
    assert (
        len(savs.SavsFeatures(heads=2, scoring="kfold", **GIVEN).fit(images, numbers).heads_) == 2
    )
    with pytest.raises(SelectionError, match="no scoring is called 'none'"):
        savs.SavsFeatures(heads=2, scoring="none", **GIVEN).fit(images, labels)


def test_images_stand_beside_columns_of_a_table(shots) -> None:
    images, labels = shots
    table = pl.DataFrame(
        {"photo": [str(path) for path in images], "weight": np.arange(len(images), dtype=float)}
    )
    for column in ("photo", ["photo"]):
        beside = ColumnTransformer(
            [
                ("image", savs.SavsFeatures(heads=2, **GIVEN), column),
                ("number", StandardScaler(), ["weight"]),
            ]
        )
        found = beside.fit_transform(table, labels)
        assert (
            found.shape[1] == beside.named_transformers_["image"].transform(images[:1]).shape[1] + 1
        )
    np.testing.assert_array_equal(
        savs.embed(table[["photo"]], **GIVEN), savs.embed(images, **GIVEN)
    )
    matrix = np.array([[str(path)] for path in images[:2]], dtype=object)
    np.testing.assert_array_equal(savs.embed(matrix, **GIVEN), savs.embed(images[:2], **GIVEN))
    with pytest.raises(ParameterError, match="one column of images, got 2: photo, weight"):
        savs.embed(table, **GIVEN)


def test_what_cannot_be_is_named(shots) -> None:
    images, labels = shots
    with pytest.raises(ParameterError, match="`heads` is 2, which are chosen by labels; pass y"):
        savs.embed(images[:2], heads=2, **GIVEN)
    with pytest.raises(HeadNotFoundError, match=r"the model has no head L9\.H9"):
        savs.embed(images[:1], heads="L9.H9", **GIVEN)
    with pytest.raises(ParameterError, match="question is missing"):
        savs.SavsFeatures("demo").fit(images[:1])
    with pytest.raises(SelectionError, match="one class only"):
        savs.SavsFeatures(heads=2, **GIVEN).fit(images[:4], [labels[0]] * 4)


def test_loading_loads_no_model(animals) -> None:
    code = "import savs, sys; savs.load(sys.argv[1]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, animals], check=False).returncode == 0


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_grid_search_of_frames_with_trees_after_the_features(shots, passes, library) -> None:
    images, labels = shots
    frames = pytest.importorskip(library)
    table = frames.DataFrame({"photo": [str(path) for path in images], "n": range(len(images))})
    features = savs.SavsFeatures(**GIVEN)
    beside = ColumnTransformer([("image", features, ["photo"]), ("n", "passthrough", ["n"])])
    model = make_pipeline(beside, HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2))
    search = GridSearchCV(model, {"columntransformer__image__heads": [1, 2]}, cv=2)
    search.fit(table, labels)
    assert sum(passes) == len({path.read_bytes() for path in images})
    assert search.score(table, labels) > 0.5
    names = search.best_estimator_[0].get_feature_names_out()
    assert names[0].startswith("image__L")
    assert names[-1] == "n__n"


def test_the_transformer_keeps_the_rules_of_scikit_learn() -> None:
    """Checks of scikit-learn that feed no numbers: an image is no row of numbers."""
    estimator = savs.SavsFeatures(**GIVEN)
    for check in (
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_mixin_order,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
    ):
        check("SavsFeatures", clone(estimator))


def test_memory_is_bounded(monkeypatch, shots) -> None:
    monkeypatch.setattr("savs.pipeline.classifying.feature_cache.MOST_IN_MEMORY", 7000)
    images, _ = shots
    memory = MemoryCache()
    monkeypatch.setattr("savs.pipeline.classifying.reading_images.MEMORY", memory)
    whole = savs.embed(images[:5], **GIVEN)
    assert 0 < memory.bytes <= 7000
    assert memory.bytes == sum(row.nbytes for row in memory.rows.values())
    np.testing.assert_allclose(savs.embed(images[:5], **GIVEN), whole, atol=1e-4)


def test_a_classifier_is_loaded_by_its_store_or_its_folder(animals, store, made, tmp_path) -> None:
    selection = savs.calibrate(store, savs.select(store, heads=8)).selection
    folder = savs.save_selection(selection, tmp_path / "saved")
    expected = savs.classify(folder, made.images, risk=0.2).predictions
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = savs.load(folder)
    assert isinstance(loaded, savs.SavsClassifier)
    assert loaded.predict(made.images).tolist() == expected["prediction"].to_list()
    sets = loaded.predict_sets(made.images, risk=0.2)
    assert [sorted(one) for one in sets] == [sorted(one) for one in expected["prediction_set"]]
    assert {name for one in sets for name in one} <= {*loaded.classes_}
    with pytest.raises(ParameterError, match="`risk` is 2"):
        loaded.predict_sets(made.images, risk=2)
    plain = savs.load(savs.save_selection(savs.select(store, heads=8), tmp_path / "plain"))
    with pytest.raises(SelectionError, match="has no calibration"):
        plain.predict_sets(made.images[:1])
    with pytest.raises(ResultError, match="owner/name"):
        savs.load("owner/name")
    with pytest.raises(ModelError, match="owner/name is no folder; a name on the hub is text"):
        savs.load(folder, model=Path("owner/name"))


def test_numbers_are_loaded_as_a_regressor(shots, tmp_path) -> None:
    images, _ = shots
    numbers = np.arange(len(images), dtype=float) % 7
    fitted = savs.SavsRegressor("demo", question=QUESTION, dtype="float32").fit(images, numbers)
    loaded = savs.load(fitted.save(tmp_path / "numbers"))
    assert isinstance(loaded, savs.SavsRegressor)
    assert not hasattr(loaded, "predict_proba")
    assert not hasattr(loaded, "classes_")
    with pytest.raises(AttributeError, match="numbers have no probabilities"):
        loaded.predict_proba(images[:1])
    np.testing.assert_allclose(loaded.predict(images[:3]), fitted.predict(images[:3]), atol=1e-3)
    with pytest.raises(SelectionError, match="intervals hold 95 %"):
        loaded.predict_sets(images[:1])


def test_a_model_that_must_be_fetched_is_named_first(store, tmp_path) -> None:
    from dataclasses import replace

    chosen = savs.select(store, heads=2)
    model = {**chosen.source.model, "name": "owner/model", "revision": "a" * 40}
    far = replace(chosen, source=replace(chosen.source, model=model))
    folder = savs.save_selection(far, tmp_path / "far")
    with pytest.warns(UserWarning, match=r"owner/model at revision a{40} is not on this machine"):
        savs.load(folder)
