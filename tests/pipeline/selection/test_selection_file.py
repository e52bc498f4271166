"""A selection is saved in two files, which come back as they were, together, or not at all."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from saved_selections import assert_same, config_of, two_task_store

from savs import Selection, load_selection, save_selection, select
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.evaluation.results import Result
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


def test_head_scores_that_are_no_numbers_are_not_saved(store, tmp_path) -> None:
    selection = select(store, heads=2)
    task = replace(selection.tasks[0], margins=(float("nan"), 0.0))
    with pytest.raises(
        SelectionError, match=r"Expected `float` .* at `\$\.tasks\[0\]\.margins\[0\]`"
    ):
        save_selection(replace(selection, tasks=(task, *selection.tasks[1:])), tmp_path / "out")
