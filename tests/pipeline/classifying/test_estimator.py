"""`SavsClassifier`: images in any form, the conventions of scikit-learn, one pass of the model."""

import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from savs import (
    SavsClassifier,
    calibrate,
    classify,
    load,
    load_selection,
    open_store,
    save_selection,
    select,
)
from savs.datasets import MediaError
from savs.datasets.media_kinds.decoders.images import decode_image
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying import image_heads
from savs.pipeline.classifying.reading_images import contents_of
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.errors import ModelError, SelectionError
from savs.pipeline.extraction import model_run
from savs.pipeline.extraction.model.hook_points import decoder_layers
from savs.pipeline.extraction.model.placement import AbsentLayer
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.selection.selection import only_subtask
from savs.stores import ResultError

pytestmark = pytest.mark.thorough

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."


def test_it_is_the_classifier_that_select_makes(animals, fitted, made, tmp_path) -> None:
    ours, theirs = fitted.selection_.tasks[0], load_selection(animals).tasks[0]
    assert ours.heads == theirs.heads
    assert ours.scores == theirs.scores
    assert sorted(theirs.classes) == list(ours.classes) == fitted.classes_.tolist()
    store = open_store(animals.parent / "s")
    selection = calibrate(store, select(store, heads=8)).selection
    saved = save_selection(selection, tmp_path / "calibrated")
    expected = classify(saved, made.images, risk=0.2).predictions
    assert fitted.predict(made.images).tolist() == expected["prediction"].to_list()
    probabilities = fitted.predict_proba(made.images)
    np.testing.assert_allclose(probabilities.max(axis=1), expected["probability"], atol=1e-6)
    found = classify(fitted.save(tmp_path / "saved"), made.images, risk=0.2).predictions
    assert found["unsure"].to_list() == expected["unsure"].to_list()
    assert found["atypical"].to_list() == expected["atypical"].to_list()


def test_images_are_paths_pil_images_arrays_and_bytes(fitted, made) -> None:
    paths = made.images[:3]
    opened = [Image.open(path) for path in paths]
    arrays = [np.asarray(decode_image(path.read_bytes(), path.name)) for path in paths]
    expected = fitted.predict_proba(paths)
    for images in (
        [str(path) for path in paths],
        np.array([str(path) for path in paths]),
        [path.read_bytes() for path in paths],
        opened,
        arrays,
    ):
        np.testing.assert_allclose(fitted.predict_proba(images), expected)
    assert fitted(opened[0]) == fitted.predict(paths)[0]


def test_no_image_goes_through_the_model_twice(fitted, shots, passes) -> None:
    images, labels = shots
    search = GridSearchCV(fitted, {"heads": [1, 8], "readout": ["vote", "lda"]}, cv=3)
    search.fit(images, labels)
    assert search.best_score_ >= 0.25
    assert set(search.cv_results_["param_heads"]) == {1, 8}
    steps = make_pipeline(FunctionTransformer(list), clone(fitted).set_params(scoring="loo"))
    assert steps.fit(images, labels).score(images, labels) > 0.5
    assert passes == []


@pytest.mark.parametrize("verbose", [False, True])
def test_reading_shows_a_bar_when_asked(fitted, shots, capfd, verbose) -> None:
    images, labels = shots
    clone(fitted).set_params(cache=False, verbose=verbose).fit(images, labels)
    assert (f"{len(images)}/{len(images)}" in capfd.readouterr().err) is verbose


@pytest.mark.costly
def test_processes_that_search_need_no_model(fitted, shots, tmp_path, monkeypatch) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    monkeypatch.syspath_prepend(tmp_path)  # processes of joblib begin with this path
    get_reusable_executor().shutdown(wait=True)
    search = GridSearchCV(fitted, {"heads": [1, 4]}, cv=2, n_jobs=2, error_score="raise")
    search.fit(*shots)
    assert len(search.cv_results_["params"]) == 2
    cold = clone(fitted).set_params(cache=tmp_path / "empty")
    with pytest.raises(Exception, match="torch"):
        GridSearchCV(cold, {"heads": [1]}, cv=2, n_jobs=2, error_score="raise").fit(*shots)
    get_reusable_executor().shutdown(wait=True)


def test_a_model_is_loaded_once_a_process(fitted, shots, tmp_path, monkeypatch) -> None:
    loaded: list[str] = []
    load = model_run.load

    def note(options, *given, **more):
        loaded.append(str(options.model))
        return load(options, *given, **more)

    monkeypatch.setattr(model_run, "load", note)
    monkeypatch.setattr(image_heads, "_RESIDENCE", image_heads._Residence())
    images, labels = shots
    for cache in (tmp_path / "a", tmp_path / "b", False):
        clone(fitted).set_params(cache=cache).fit(images[:8], labels[:8]).predict(images[:9])
    assert loaded == ["demo"]


def test_what_a_classifier_records_or_leaves_open_is_a_parameter_of_the_loaded(
    animals, changed, tmp_path
) -> None:
    processor = load_selection(animals).source.processor
    limits = {"min_pixels": 3000, "max_pixels": 9000}
    loaded = load(changed(tmp_path / "limits", animals, processor={**processor, **limits}))
    assert {name: getattr(loaded, name) for name in limits} == limits
    selection = load_selection(animals)
    open_task = replace(selection.only_task(), question=None)
    saved = save_selection(replace(selection, tasks=(open_task,)), tmp_path / "open")
    assert load(saved, question="Which is it?").question == "Which is it?"
    assert len(contents_of(np.zeros((2, 4, 4, 3), np.uint8))) == 2


def test_files_of_a_readout_and_a_scoring_are_read_again(made, animals, tmp_path) -> None:
    for kind, folder in (("READOUT", "readouts"), ("SCORING", "heads.scoring")):
        name = "vote" if kind == "READOUT" else "loo"
        (tmp_path / f"{kind}.py").write_text(
            "from dataclasses import replace\n"
            f"from savs.pipeline.{folder} import {kind}S\n"
            f"{kind} = replace({kind}S[{name!r}], name='mine')\n"
        )
    own = {kind.lower(): tmp_path / f"{kind}.py" for kind in ("READOUT", "SCORING")}
    saved = save_selection(
        only_subtask(select(made.store, heads=3, **own), "animal"), tmp_path / "mine"
    )
    with pytest.raises(ResultError, match="pass the file of the readout"):
        load(saved)
    loaded = load(saved, readout=own["readout"])
    assert (loaded.readout.name, loaded.scoring.name) == ("mine", "mine")


def test_a_saved_classifier_is_loaded_and_classifies(fitted, made, tmp_path) -> None:
    folder = fitted.save(tmp_path / "saved")
    again = load(folder)
    expected = fitted.predict_proba(made.images)
    np.testing.assert_allclose(again.predict_proba(made.images), expected)
    assert again.classes_.tolist() == fitted.classes_.tolist()
    assert again.get_params()["question"] == QUESTION
    found = classify(folder, made.images).predictions
    assert found["prediction"].to_list() == fitted.predict(made.images).tolist()
    images, labels = made.images[:8], again.predict(made.images[:8])
    assert clone(again).fit(images, labels).score(images, labels) > 0.5


def test_a_loaded_classifier_has_the_parameters_of_the_one_that_was_saved(
    shots, cache, tmp_path
) -> None:
    given = {"heads": 3, "readout": "lda", "scoring": "loo", "site": "mlp", "question": QUESTION}
    given |= {"dtype": "bfloat16", "device": "cpu", "prompt_template": "Q: {prompt} A:"}
    given |= {"batch_size": 3, "cache": cache}
    fitted = SavsClassifier("demo", **given).fit(*shots)
    folder = fitted.save(tmp_path / "saved")
    loaded = load(folder, device="cpu", batch_size=3, cache=cache)
    assert {name: loaded.get_params()[name] for name in given} == given
    assert (loaded.min_pixels, loaded.max_pixels) == (None, None)
    tags = get_tags(loaded)
    assert tags.classifier_tags.multi_label
    assert (tags.input_tags.two_d_array, tags.input_tags.string) == (False, True)
    assert tags.no_validation  # images are no numbers


def test_another_question_than_that_of_the_classifier_is_refused(animals) -> None:
    asked = load_selection(animals).only_task().question
    assert load(animals, question=asked).question == asked
    with pytest.raises(ParameterError, match=r"`question` is 'Is it\?', but the classifier"):
        load(animals, question="Is it?")


def test_a_loaded_classifier_has_no_layer_behind_its_deepest_head(
    animals, made, tmp_path, monkeypatch
) -> None:
    store = open_store(animals.parent / "s")
    shallow = save_selection(select(store, heads=6, max_layer=1), tmp_path / "shallow")
    monkeypatch.setattr(image_heads, "_RESIDENCE", image_heads._Residence())
    few = load(shallow)
    found = few.predict_proba(made.images)
    few_layers = image_heads._RESIDENCE.resident.reader.whole
    assert few_layers.grid[-1].layer == 1
    layers = decoder_layers(few_layers.model)
    assert sum(not isinstance(layer, AbsentLayer) for layer in layers) == 2
    deep = load(animals)  # another classifier of the same model needs more of it
    assert max(layer for layer, _ in load_selection(animals).heads) > 1
    assert deep.predict(made.images).shape == (len(made.images),)
    whole = image_heads._RESIDENCE.resident.reader.whole
    assert whole.grid[-1].layer > 1
    np.testing.assert_array_equal(few.predict_proba(made.images), found)  # of the deeper model
    assert image_heads._RESIDENCE.resident.reader.whole is whole
    monkeypatch.setattr(ModelRun, "_load_first_layers", lambda *_: None)
    monkeypatch.setattr(image_heads, "_RESIDENCE", image_heads._Residence())
    np.testing.assert_array_equal(few.predict_proba(made.images), found)
    assert image_heads._RESIDENCE.resident.reader.whole.grid[-1].layer == 5


def test_a_calibrated_classifier_says_what_classify_says(animals, made, tmp_path) -> None:
    store = open_store(animals.parent / "s")
    for readout in ("vote", "lda"):
        selection = calibrate(store, select(store, heads=8, readout=readout)).selection
        saved = save_selection(selection, tmp_path / readout)
        ask = load(saved)
        expected = classify(saved, made.images).predictions
        found = ask.predict_proba(made.images)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        chosen = found.argmax(axis=1)
        assert ask.classes_[chosen].tolist() == expected["prediction"].to_list()
        np.testing.assert_allclose(found.max(axis=1), expected["probability"], atol=1e-6)
        plain = load(save_selection(bare(selection), tmp_path / f"{readout}-bare"))
        assert np.abs(plain.predict_proba(made.images) - found).max() > 0.01
        assert load_selection(ask.save(tmp_path / f"{readout}-again")).tasks[0].decision


def bare(selection):
    """Return a selection without its calibration."""
    return replace(selection, tasks=(replace(selection.tasks[0], decision=None),))


def test_sets_hold_the_labels_that_were_given(fitted, shots, made) -> None:
    images, labels = shots
    names = sorted(set(labels))
    numbered = clone(fitted).fit(images, [10 + names.index(label) for label in labels])
    expected = fitted.predict_sets(made.images, risk=0.2)
    found = numbered.predict_sets(made.images, risk=0.2)
    assert any(found)
    assert found == [tuple(10 + names.index(name) for name in one) for one in expected]


def test_a_local_model_is_named_by_its_folder(fitted, shots, tmp_path) -> None:
    model = shutil.copytree(DEMO_MODEL, tmp_path / "own")
    images, labels = shots
    one = clone(fitted).set_params(model=model, cache=tmp_path / "cache").fit(images, labels)
    assert one.selection_.model["name"] == "own"
    saved = one.save(tmp_path / "saved")
    with pytest.raises(SelectionError, match="pass `model` FOLDER"):
        load(saved)
    with pytest.raises(ModelError, match="'no/such/folder' is neither a local folder nor an id"):
        load(saved, model="no/such/folder")
    assert load(saved, model=model)(images[0]) == one(images[0])
    os.utime(model / "model.safetensors", ns=(1, 1))  # it may hold other weights now
    assert len(list((tmp_path / "cache").iterdir())) == 1
    one.predict(images[:1])
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_fitted_classifier_goes_to_other_processes(fitted, made) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(made.images), fitted.predict(made.images))


def test_labels_keep_their_type(fitted, shots) -> None:
    images, labels = shots
    numbers = np.unique(labels, return_inverse=True)[1]
    found = clone(fitted).fit(images, numbers).predict(images)
    assert found.dtype == numbers.dtype
    assert set(found) <= set(numbers)


def test_what_cannot_be_is_named(fitted, shots, made, tmp_path) -> None:
    images, labels = shots
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    for change, given, error, message in (
        ({"question": None}, (images, labels), ParameterError, "question is missing"),
        ({"question": "<image> or <image>?"}, (images, labels), ParameterError, "keep one mark"),
        ({}, (images, labels[:-1]), ParameterError, "and .* labels"),
        ({}, (images[0], labels), ParameterError, "expected a list of images, got one"),
        ({}, ([], []), ParameterError, "there are no images"),
        ({}, (images, None), ParameterError, "fit needs labels, one for each image"),
        ({}, (np.zeros((4, 4, 3), np.uint8), labels), ParameterError, "a list of images, got one"),
        ({}, ([*images[:-1], bad], labels), MediaError, "image 19"),
        ({}, ([*images[:-1], 3], labels), MediaError, "image 19 is a int"),
        ({}, (images, ["a"] * len(images)), SelectionError, "one class only"),
        ({"heads": 999}, (images, labels), SelectionError, "but there are 48; use 1 to 48, or all"),
    ):
        with pytest.raises(error, match=message):
            clone(fitted).set_params(**change).fit(*given)
    with pytest.raises(NotFittedError):
        SavsClassifier("demo").predict(images)
    with pytest.raises(NotFittedError):
        SavsClassifier("demo").save(tmp_path / "none")
    other = load(fitted.save(tmp_path / "saved")).set_params(dtype="bfloat16")
    assert other(made.images[0]) in fitted.classes_  # another dtype is only another rounding
    with pytest.raises(SelectionError, match="2 subtasks were selected"):
        load(made.classifier)


def test_a_prompt_template_is_kept_and_gives_other_features(fitted, shots, cache, tmp_path):
    images, labels = shots[0][::2], shots[1][::2]
    formed = clone(fitted).set_params(prompt_template="Q: {prompt} A:").fit(images, labels)
    plain = clone(fitted).fit(images, labels)
    assert formed.cache == cache
    assert not np.allclose(*(model.predict_proba(images) for model in (formed, plain)))
    saved = save_selection(formed.selection_, tmp_path / "formed")
    again = load(saved, cache=cache)
    assert again.prompt_template == "Q: {prompt} A:"
    np.testing.assert_array_equal(again.predict(images), formed.predict(images))
    assert classify(saved, images[:2]).predictions["prediction"].to_list() == list(
        formed.predict(images[:2])
    )


def change_weights(folder) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.v_proj.weight"] *= -1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def add_special_tokens(folder) -> None:
    (folder / "special_tokens_map.json").write_text('{"pad_token": "<|im_end|>"}')


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (change_weights, "model.weights"),
        (add_special_tokens, "processor.files.special_tokens_map.json"),
    ],
)
@pytest.mark.parametrize("has_cache", [True, False])
def test_a_model_folder_that_changed_meanwhile_is_loaded_again(
    shots, tmp_path, has_cache, change, field
) -> None:
    """A process that runs for days, such as a notebook, while a model is trained on."""
    images, labels = shots
    folder = shutil.copytree(DEMO_MODEL, tmp_path / "model")

    def fit() -> SavsClassifier:
        cache = tmp_path / "cache" if has_cache else False
        model = SavsClassifier(folder, heads=8, question="Which?", dtype="float32", cache=cache)
        return model.fit(images, labels)

    before = fit().selection_.source
    change(folder)
    after = fit().selection_.source
    assert [line.partition(":")[0] for line in after.differences(before)] == [field]


def test_numbers_with_fractions_are_no_classes(made) -> None:
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        SavsClassifier("demo", question="?").fit(made.images[:4], [0.1, 0.2, 0.3, 0.4])
