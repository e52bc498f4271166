"""Readouts are found by name among the built-in ones; a user's own is given in the call alone."""

import hashlib
import shutil
from dataclasses import replace

import pytest
from saved_selections import assert_same, two_task_store

from savs import evaluate, load_selection, save_selection, select, sweep
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.readouts import READOUTS, choose_readout, find_readout
from savs.pipeline.readouts.vote import VOTE
from savs.pipeline.running.user_files import OwnFile
from savs.pipeline.selection.selection_config import load_config
from savs.stores import ResultError

CODE = """
from dataclasses import replace
from savs.pipeline.readouts.vote import VOTE

READOUT = replace(VOTE, name="mine", summary="a vote by another name")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return two_task_store(tmp_path_factory.mktemp("readouts") / "s")


@pytest.fixture
def mine(tmp_path):
    """Return the path of a user's readout."""
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize("name", ["wote", "mine", "mine.py", "../mine.py", ""])
def test_only_built_in_readouts_have_names(name, mine, monkeypatch) -> None:
    monkeypatch.chdir(mine.parent)
    choose_readout(mine)  # is not registered
    with pytest.raises(
        SelectionError, match=r"no readout is called .*expected one of: vote, posterior"
    ):
        find_readout(name)


def test_a_file_a_name_and_an_object_are_chosen(mine) -> None:
    found = choose_readout(mine)
    assert found.name == "mine"
    assert found.file == OwnFile("mine.py", hashlib.sha256(mine.read_bytes()).hexdigest())
    own = replace(VOTE, name="own")
    assert choose_readout(own) is own
    assert choose_readout("lda") is choose_readout(READOUTS["lda"]) is READOUTS["lda"]
    built_in = "vote posterior calm lda hec-v mahalanobis logistic ridge knn neurons"
    assert list(READOUTS) == built_in.split()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("name='vote'", SelectionError, "the name 'vote' is taken"),
        ("name='../x'", OwnCodeError, "expected a name of letters"),
        ("arrays={'x': ('lines',)}", OwnCodeError, r"'x' has the axes \('lines',\), expected some"),
        ("name='x', load=dict", OwnCodeError, "'x': expected `load` and `arrays`, or neither"),
        (
            "name='x', load=dict, arrays={'x': ('heads',)}",
            OwnCodeError,
            "'x': a HeadsFit alone has `is_nested`, `has_centroids` and `parts`",
        ),
        *(
            (
                f"name='x', load=dict, arrays={{'x': ('heads',)}}, is_nested=False, {change}",
                OwnCodeError,
                "'x': a HeadsFit alone has `is_nested`, `has_centroids` and `parts`",
            )
            for change in ("parts=1", "has_centroids=False, parts=2")
        ),
        *(
            (
                f"name='x', {change}",
                OwnCodeError,
                "'x': `parts` is [02], expected 1, or more where the fit is not nested",
            )
            for change in ("parts=2", "parts=0", "is_nested=False, parts=2")
        ),
    ],
)
def test_a_readout_that_cannot_be_taken(tmp_path, change, error, message) -> None:
    (tmp_path / "bad.py").write_text(CODE.replace('name="mine"', change))
    with pytest.raises(error, match=message):
        choose_readout(tmp_path / "bad.py")


def test_an_object_with_the_name_of_a_built_in_readout_is_refused() -> None:
    with pytest.raises(SelectionError, match="the readout given: the name 'lda' is taken"):
        choose_readout(replace(VOTE, name="lda"))


def test_a_users_readout_goes_everywhere_where_it_is_given(store, mine) -> None:
    selection = select(store, heads=2, readout=mine)
    vote = select(store, heads=2)
    assert selection.readout == "mine"
    expected = evaluate(store, vote).predictions
    assert evaluate(store, selection).predictions.equals(expected)
    assert evaluate(store, selection, on="folds").predictions["prediction"].null_count() == 0
    found = sweep(store, heads=[2], shots=[1], draws=1, readouts=["vote", mine]).values
    assert found["readout"].unique().sort().to_list() == ["mine", "vote"]
    values = [found.filter(readout=name)["value"].to_list() for name in ("mine", "vote")]
    assert values[0] == values[1]


def test_two_readouts_of_one_name_are_not_swept(store, mine) -> None:
    own = replace(VOTE, name="mine")
    with pytest.raises(SelectionError, match="two readouts are called 'mine'"):
        sweep(store, readouts=["vote", mine, own])


def test_a_users_readout_must_be_given_again_and_be_the_same(store, mine, tmp_path) -> None:
    selection = select(store, heads=2, readout=mine)
    folder = save_selection(selection, tmp_path / "saved")
    with pytest.raises(ResultError, match=r"config\.json: readout: .*got 'mine' of mine\.py \(SHA"):
        load_selection(folder)
    assert_same(load_selection(folder, readout=mine), selection)
    moved = shutil.copy(mine, tmp_path / "renamed.py")
    assert_same(load_selection(folder, readout=moved), selection)
    mine.write_text(CODE + "\n")
    changed = r"expected 'mine' of mine\.py \(SHA-256 .*, as given, got 'mine' of mine\.py \(SHA"
    for other, message in ((mine, changed), ("vote", "expected 'vote'"), (VOTE, "expected 'vote'")):
        with pytest.raises(ResultError, match=message):
            load_selection(folder, readout=other)
    assert load_config(folder).heads == selection.heads


def test_an_object_must_be_given_again_by_its_name(store, tmp_path) -> None:
    own = replace(VOTE, name="own")
    selection = select(store, heads=2, readout=own)
    folder = save_selection(selection, tmp_path)
    with pytest.raises(ResultError, match="expected a built-in one, got 'own'"):
        load_selection(folder)
    assert_same(load_selection(folder, readout=own), selection)
    with pytest.raises(ResultError, match="expected 'other', as given, got 'own'"):
        load_selection(folder, readout=replace(VOTE, name="other"))


def test_a_readout_whose_load_fails_is_named(store, tmp_path) -> None:
    def fail(**arrays):
        raise KeyError("weights")

    own = replace(READOUTS["knn"], name="own", load=fail)
    folder = save_selection(select(store, heads=2, readout=own), tmp_path)
    message = r"safetensors cannot be .* line \d+: fail of the readout 'own' raises KeyError: 'weig"
    with pytest.raises(ResultError, match=message):
        load_selection(folder, readout=own)
