import os
import shutil

import pytest
from random_stores import draw_problem, write_problem

from savs import calibrate, load_selection, save_selection, select
from savs.pipeline.app.server import find_folders
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import normalise
from savs.pipeline.reports.explain.evidence import trained_alone
from savs.stores.errors import ResultError


def test_a_classifier_that_changed_on_the_disk_is_read_again(workspace) -> None:
    first = workspace.selection()
    assert workspace.selection() is first
    assert len(first.tasks[0].heads) == 4
    assert len(workspace.fitted().trained[None].selection.heads) == 4
    save_selection(select(workspace.store(), heads=2), workspace.folder)
    assert len(workspace.selection().tasks[0].heads) == 2
    assert len(workspace.fitted().trained[None].selection.heads) == 2
    second = workspace.selection()
    os.utime(workspace.folder / "config.json")  # another one may have as many bytes
    assert workspace.selection() is not second


def test_a_subtask_that_the_classifier_lacks_is_its_first(tmp_path) -> None:
    store = write_problem(tmp_path / "s", draw_problem(6, subtasks=("one", "two")))
    save_selection(select(store, heads=2), store.path / "results" / "vote")
    workspace = Workspace(store.path / "results" / "vote", store.path)
    first, second = workspace.selection().tasks
    assert workspace.task(second.subtask) is second
    assert workspace.task(first.subtask) is workspace.task("three") is workspace.task(None) is first


def test_a_place_is_a_store_a_result_in_it_or_a_classifier_alone(workspace, tmp_path) -> None:
    alone = shutil.copytree(workspace.folder, tmp_path / "alone")
    new = write_problem(tmp_path / "new", draw_problem(5)).path
    for place, found in (
        (workspace.path, (workspace.folder, workspace.path)),
        (workspace.folder, (workspace.folder, workspace.path)),
        (alone, (alone, None)),
        (new, (new / "results" / "vote", new)),
    ):
        assert find_folders(place, print) == found


def test_a_store_without_a_classifier_says_what_to_do(tmp_path) -> None:
    store = write_problem(tmp_path / "s", draw_problem(5))
    workspace = Workspace(store.path / "results" / "vote", store.path)
    with pytest.raises(SelectionError, match="no classifier yet; choose heads in the tab Label"):
        workspace.selection()


def test_a_classifier_alone_has_centroids_and_no_store(workspace, tmp_path) -> None:
    alone = Workspace(shutil.copytree(workspace.folder, tmp_path / "alone"), None)
    with pytest.raises(ResultError, match="a classifier without its store"):
        alone.store()
    here, there = workspace.fitted(), alone.fitted()
    assert there.store is None
    assert here.store is not None
    trained = there.trained[None]
    assert trained.ids == ()
    # the same votes, from the directions that the classifier keeps
    assert trained.centroids == pytest.approx(normalise(here.trained[None].centroids))


@pytest.mark.parametrize("readout", ["vote", "lda", "knn", "neurons"])
def test_centroids_are_those_of_the_fit_or_of_the_calibration(workspace, readout) -> None:
    store = workspace.store()
    bare = select(store, heads=2, readout=readout)
    whole = calibrate(store, bare).selection
    assert trained_alone(whole.target, whole.tasks[0], whole.rule) is not None
    alone = trained_alone(bare.target, bare.tasks[0], bare.rule)
    assert (alone is not None) == (readout in ("vote", "neurons"))


def test_a_store_of_other_training_examples_gives_no_neighbours(workspace, tmp_path) -> None:
    other = write_problem(tmp_path / "other", draw_problem(6, counts=(5, 5, 5)))
    assert load_selection(workspace.folder).train
    assert Workspace(workspace.folder, other.path).fitted().store is None


def test_a_store_that_is_being_written_still_has_its_classifier(workspace) -> None:
    shard = next(workspace.path.glob("**/train*.h5"))
    shard.rename(shard.with_suffix(".gone"))
    assert workspace.fitted().store is None
    assert workspace.fitted().trained[None].ids == ()
