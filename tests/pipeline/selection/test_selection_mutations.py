"""Whatever is changed in the files of a selection: refused, and never another classifier."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_edits import edited, places, variants
from saved_selections import assert_same, config_of, two_task_store

from savs import Selection, calibrate, load_selection, save_selection, select
from savs.pipeline.running.result_files import CLASSIFIER, CONFIG
from savs.pipeline.selection.selection_config import load_config
from savs.stores import ResultError
from savs.stores.format.layout import digest

pytestmark = pytest.mark.costly

HEAD = ("format", "savs", "run", "sha256")
"""Fields that are no part of the content that `run` is the digest of."""


@pytest.fixture(scope="module", params=["vote", "knn"])
def saved(request, tmp_path_factory) -> tuple[Selection, Path]:
    """Return a selection and the folder that has it."""
    folder = tmp_path_factory.mktemp("selections")
    store = two_task_store(folder / "s")
    selection = select(store, heads=2, readout=request.param)
    if request.param == "knn":  # which leaves the class means to the calibration
        selection = calibrate(store, selection).selection
    return selection, save_selection(selection, folder / "saved")


def forge(folder: Path, value: Any) -> None:
    """Write a config.json with the run that belongs to its content, in both files."""
    if isinstance(value, dict):
        run = digest({name: item for name, item in value.items() if name not in HEAD})
        content = (folder / CLASSIFIER).read_bytes()
        content = content.replace(config_of(folder)["run"].encode(), run.encode())
        (folder / CLASSIFIER).write_bytes(content)
        value = value | {"run": run, "sha256": hashlib.sha256(content).hexdigest()}
    (folder / CONFIG).write_text(json.dumps(value))


def loaded(folder: Path) -> Selection | None:
    """Return a selection that can be used, or None where it is refused by its file's name."""
    try:
        found = load_selection(folder)
    except ResultError as error:
        if CONFIG in str(error) or CLASSIFIER in str(error):
            return None
        raise
    for task in found.tasks:
        lengths = found.lengths(task)
        features = np.ones((lengths["heads"], 1, lengths["width"]), np.float32)
        scores = task.fitted.scores(features)
        assert scores.scores.shape == (1, len(task.classes))
        if task.decision is not None:
            assert np.isfinite(task.decision.probabilities(scores)).all()
            assert np.isfinite(task.decision.typicality(features, task.fitted, scores)).all()
    return found


def test_every_edit_of_a_field_is_refused(saved, tmp_path) -> None:
    _, folder = saved
    config = config_of(folder)
    copied = shutil.copytree(folder, tmp_path / "copy")
    for path, new in variants(config):
        (copied / CONFIG).write_text(json.dumps(edited(config, path, new)))
        if path == ("savs",) and isinstance(new, str) and new:
            continue  # the version that wrote it is no part of the classifier
        with pytest.raises(ResultError, match=rf"{CONFIG}|{CLASSIFIER}"):
            load_selection(copied)
        if path != ("sha256",):
            with pytest.raises(ResultError, match=CONFIG):
                load_config(copied)


def test_a_forged_edit_is_refused_or_fits(saved, tmp_path) -> None:
    _, folder = saved
    config = config_of(folder)
    found = []
    for path, new in variants(config):
        copied = shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
        forge(copied, edited(config, path, new))
        found.append(loaded(copied))
    assert found.count(None) > len(found) / 2


@pytest.mark.parametrize("field", ["strengths", "scores", "margins"])
def test_a_forged_number_of_what_heads_have_is_refused(saved, tmp_path, field) -> None:
    _, folder = saved
    config = config_of(folder)
    copied = shutil.copytree(folder, tmp_path / "copy")
    values = config["tasks"][0][field]
    forge(copied, edited(config, ("tasks", 0, field), [*values, values[-1]]))
    with pytest.raises(ResultError, match="expected 2 strengths, scores and margins, one for each"):
        load_config(copied)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_json_in_any_field_is_refused_or_fits(saved, tmp_path_factory, data) -> None:
    selection, folder = saved
    config = config_of(folder)
    path = data.draw(st.sampled_from(places(config)))
    copied = shutil.copytree(folder, tmp_path_factory.mktemp("any") / "copy")
    value = edited(config, path, data.draw(JSON))
    if data.draw(st.booleans()):
        forge(copied, value)
        loaded(copied)
    else:
        (copied / CONFIG).write_text(json.dumps(value))
        if (found := loaded(copied)) is not None:
            assert_same(found, selection)


@pytest.mark.parametrize("name", [CLASSIFIER, CONFIG])
def test_a_changed_byte_or_length_never_gives_another_classifier(saved, tmp_path, name) -> None:
    selection, folder = saved
    copied = shutil.copytree(folder, tmp_path / "copy")
    content = (folder / name).read_bytes()
    damaged = [content[:length] for length in range(0, len(content), 7)]
    for place, byte in enumerate(content):
        flipped = bytes([byte ^ 1 << place % 8])
        damaged.append(content[:place] + flipped + content[place + 1 :])
    for other in damaged:
        (copied / name).write_bytes(other)
        found = loaded(copied)
        if found is not None:
            assert name == CONFIG  # another space, another version
            assert_same(found, selection)


def test_a_changed_byte_with_its_digest_is_refused_or_fits(saved, tmp_path) -> None:
    _, folder = saved
    copied = shutil.copytree(folder, tmp_path / "copy")
    config, content = config_of(folder), (folder / CLASSIFIER).read_bytes()
    for place, byte in enumerate(content):
        other = content[:place] + bytes([byte ^ 1 << place % 8]) + content[place + 1 :]
        (copied / CLASSIFIER).write_bytes(other)
        sha256 = hashlib.sha256(other).hexdigest()
        (copied / CONFIG).write_text(json.dumps(config | {"sha256": sha256}))
        loaded(copied)
