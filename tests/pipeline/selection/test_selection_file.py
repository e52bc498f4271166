"""A selection is saved in two files, which come back as they were, together, or not at all."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from saved_selections import assert_same, config_of, two_task_store

from savs import Selection, evaluate, load_selection, save_selection, select
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.readouts.calm import POSTERIOR
from savs.pipeline.readouts.knn import FittedKnn
from savs.pipeline.readouts.vote import VOTE
from savs.pipeline.running.result_files import CLASSIFIER, CONFIG
from savs.pipeline.selection import selection_file
from savs.pipeline.selection.selection_config import SelectionConfig, load_config
from savs.stores import ResultError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return two_task_store(tmp_path_factory.mktemp("selections") / "s")


@pytest.fixture(scope="module", params=["vote", "knn"])
def saved(store, request, tmp_path_factory) -> tuple[Selection, Path]:
    """Return a selection and the folder that has it."""
    selection = select(store, heads=2, readout=request.param)
    return selection, save_selection(selection, tmp_path_factory.mktemp("saved"))


def test_the_files_hold_what_was_selected(saved, store) -> None:
    selection, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == [CLASSIFIER, CONFIG]
    found = config_of(folder)
    assert found["format"] == 1
    assert found["source"] == store.manifest.identity.source().to_json()
    assert [task["subtask"] for task in found["tasks"]] == ["one", "two"]
    assert found["tasks"][1]["classes"] == ["x", "y", "z"]
    assert found["tasks"][0]["heads"] == [list(head) for head in selection.tasks[0].heads]
    assert found["run"].encode() in (folder / CLASSIFIER).read_bytes()


def test_a_selection_comes_back_from_its_folder_or_its_config(saved) -> None:
    selection, folder = saved
    for path in (folder, str(folder), folder / CONFIG):
        assert_same(load_selection(path), selection)
        config = load_config(path)
        assert type(config) is SelectionConfig
        assert config.to_json() == selection.to_json()
        assert config.heads == selection.heads
        assert Result.at(path).folder == folder


def test_the_same_selection_gives_the_same_bytes_and_another_one_another_run(
    saved, store, tmp_path
) -> None:
    selection, folder = saved
    again = select(store, heads=2, readout=selection.readout)
    for other in (again, load_selection(folder)):
        save_selection(other, tmp_path / "again")
        for name in (CLASSIFIER, CONFIG):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    save_selection(select(store, heads=3, readout=selection.readout), tmp_path / "three")
    assert config_of(tmp_path / "three")["run"] != config_of(folder)["run"]


def test_the_files_of_two_selections_are_refused(store, tmp_path) -> None:
    one, two = (
        save_selection(select(store, heads=2, scoring=scoring), tmp_path / scoring)
        for scoring in ("resubstitution", "loo")
    )
    shutil.copy(two / CLASSIFIER, one / CLASSIFIER)
    with pytest.raises(ResultError, match=rf"{CLASSIFIER} cannot be read .*another selection"):
        load_selection(one)


def test_a_kill_between_the_two_files_leaves_the_selection_that_was_there(
    store, tmp_path, monkeypatch
) -> None:
    def die(*args):
        raise KeyboardInterrupt

    before = select(store, heads=2)
    save_selection(before, tmp_path)
    monkeypatch.setattr(selection_file, "write_json", die)
    with pytest.raises(KeyboardInterrupt):
        save_selection(select(store, heads=3), tmp_path)
    assert load_selection(tmp_path).heads == before.heads


@pytest.mark.parametrize("name", [CLASSIFIER, CONFIG])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing", "nothing"])
def test_what_is_no_regular_file_is_refused(store, tmp_path, name, kind) -> None:
    save_selection(select(store, heads=2), tmp_path)
    path = tmp_path / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to("nowhere")
    with pytest.raises(ResultError, match=name):
        load_selection(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format: expected 1 in this release, got 2"),
        ({"more": 1}, "a field is unknown or missing"),
    ],
)
def test_a_config_of_another_form_is_refused(saved, tmp_path, change, message) -> None:
    copied = shutil.copytree(saved[1], tmp_path / "copy")
    (copied / CONFIG).write_text(json.dumps({**config_of(copied), **change}))
    with pytest.raises(ResultError, match=message):
        load_config(copied)


ODD = {
    "NaN": lambda fit: replace(fit, directions=fit.directions * np.float32(np.nan)),
    "infinity": lambda fit: replace(fit, directions=fit.directions + np.float32(np.inf)),
    "shape": lambda fit: replace(fit, offsets=fit.offsets[:, :1]),
    "type": lambda fit: replace(fit, ties=fit.ties.astype(np.float64)),
    "pool": lambda fit: replace(fit, pool="most"),
    "weights": lambda fit: replace(fit, pool="mean", weights=0 * fit.weights),
    "object": lambda fit: FittedKnn(fit.directions, np.array([0, 1])),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_a_fit_that_could_not_be_read_again_is_refused(store, make) -> None:
    def fit(*given):
        return make(VOTE.fit(*given))

    with pytest.raises(OwnCodeError, match=r"fit of the readout 'odd' (gives|raises)"):
        select(store, heads=2, readout=replace(VOTE, name="odd", fit=fit))


def test_sets_of_head_scores_are_those_of_the_parts(store) -> None:
    def score(features, *_):
        one = HeadScores(np.zeros(len(features)), np.zeros(len(features)))
        return replace(one, sets=(one, one))

    for own in ({}, {"parts": 3, "is_nested": False, "has_centroids": False}):
        rule = replace(VOTE, name="own", score_heads=score, **own)
        with pytest.raises(OwnCodeError, match=f"2 sets of scores, and `parts` is {rule.parts}"):
            select(store, heads=2, readout=rule)


def test_a_mean_of_heads_is_a_fit_like_others(store) -> None:
    own = replace(POSTERIOR, name="own", fit=lambda *given: POSTERIOR.fit(*given))
    chosen = select(store, heads=2, readout=own)
    expected = select(store, heads=2, readout="posterior")
    assert evaluate(store, chosen).predictions.equals(evaluate(store, expected).predictions)


def test_head_scores_that_are_no_numbers_are_not_saved(store, tmp_path) -> None:
    selection = select(store, heads=2)
    task = replace(selection.tasks[0], margins=(float("nan"), 0.0))
    with pytest.raises(
        SelectionError, match=r"Expected `float` .* at `\$\.tasks\[0\]\.margins\[0\]`"
    ):
        save_selection(replace(selection, tasks=(task, *selection.tasks[1:])), tmp_path / "out")
