"""What the page says of dropped files is what `classify` and `explain` say of them."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_stores import LABELS, make_many
from reported import ATTACK

import savs
from savs.foundation.errors import SavsError
from savs.pipeline.app.answers import (
    MOST_FILES,
    Answer,
    Answers,
    answer,
    answers_page,
    attention_page,
    decided_by,
)
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.reports.explain.explanation import HeadVote
from savs.pipeline.targets.tasks import Said
from savs.stores import head_name

pytest.importorskip("torch")
pytestmark = pytest.mark.thorough

RISK = 0.3


@pytest.fixture(scope="module")
def workspace(made, calibrated) -> Workspace:
    """Return the store of the scenes, of two subtasks, with a calibrated classifier."""
    return Workspace(Path(calibrated).parent if Path(calibrated).is_file() else Path(calibrated),
                     made.store.path, loading={"model": None, "revision": None, "dtype": None,
                                               "placing": {"device": "cpu"}})  # fmt: skip


@pytest.fixture(scope="module")
def found(workspace, made):
    return answer(workspace, made.images, "animal")


def test_answers_are_those_of_classify(workspace, made, found) -> None:
    done = savs.classify(
        workspace.folder, [str(image) for image in made.images], subtask="animal", risk=RISK
    )
    rows = {Path(row["id"]).name: row for row in done.predictions.iter_rows(named=True)}
    page = answers_page(found, RISK)
    assert len(found.answers) == len(made.images) > 3
    for one in found.answers:
        row = rows[one.name]
        assert one.said.prediction == row["prediction"]
        assert np.max(one.said.probabilities) == pytest.approx(row["probability"])
        assert one.said.atypical == row["atypical"]
        share = 100 * row["probability"]
        assert f"{share:.1f} %" in page
    least = answers_page(found, 0.001)
    assert "too few for this risk: at least 999 are needed, so each set has all classes" in least
    assert "too few" not in page
    unsure = sum(row["unsure"] for row in rows.values())
    assert 0 < unsure < len(rows), "the risk shows both kinds"
    assert page.count("<b>unsure</b>") == unsure


def test_files_of_one_name_are_answered_each(workspace, made, found, tmp_path) -> None:
    files = [tmp_path / folder / "x.png" for folder in "ab"]
    for file, image in zip(files, made.images, strict=False):
        file.parent.mkdir()
        shutil.copy(image, file)
    again = answer(workspace, files, "animal").answers
    assert [one.name for one in again] == ["x.png", "x.png"]
    for one, alone in zip(again, found.answers, strict=False):
        assert one.said.probabilities == pytest.approx(alone.said.probabilities, abs=1e-5)


def test_votes_are_those_of_explain(workspace, made, found) -> None:
    selection = workspace.selection()
    task = workspace.task("animal")
    ids = made.store.examples("test").filter(subtask="animal")["id"].to_list()
    from savs.pipeline.reports.explain.evidence import gather_evidence

    stored = gather_evidence(made.store, selection, dict.fromkeys(ids, "animal"), "test")
    assert len(stored) == len(found.answers)
    for one, name in zip(found.answers, ids, strict=True):
        evidence = stored[name]
        trained = evidence.trained
        assert [vote.name for vote in one.votes] == [head_name(head) for head in task.heads]
        assert [vote.vote for vote in one.votes] == [task.classes[c] for c in evidence.votes]
        assert [vote.nearest[0].name for vote in one.votes] == [
            trained.ids[number] for number in evidence.nearest[:, 0]
        ]
    assert set(found.nearest) >= {vote.nearest[0].name for vote in found.answers[0].votes}


def vote_of(name: str) -> HeadVote:
    return HeadVote(1, 0, 0, "L0.H0", 0.5, name, 0.1, (("cat", 0.9), ("dog", 0.8)), ())


@pytest.mark.parametrize(
    ("votes", "most"), [("ccc", ""), ("ccd", ""), ("cd", ""), ("cdd", "Most heads, 2 of 3, are")]
)
def test_what_decided_is_said_where_most_heads_say_another_class(found, votes, most) -> None:
    names = {"c": "cat", "d": "dog"}
    one = Answer("a.png", said=Said("cat"), votes=tuple(vote_of(names[v]) for v in votes))
    told = decided_by(one, "lda")
    assert told.startswith(most)
    assert bool(told) == bool(most)
    if most:
        assert "nearest to dog. The readout lda does not count heads" in told
        for likely in (None, np.array([0.6, 0.1, 0.2, 0.1])):
            shown = replace(one, said=replace(one.said, probabilities=likely))
            page = answers_page(replace(found, answers=(shown,)), RISK)
            assert decided_by(one, found.selection.readout) in page
        assert "<details open" not in page


@pytest.mark.parametrize(("predicted", "more"), [(1, 16), (5, 15)])
def test_the_predicted_labels_are_shown_among_the_four_likeliest(tmp_path, predicted, more) -> None:
    store, *_ = make_many(tmp_path / "s")  # of 20 labels
    selection = savs.select(store, heads=2)
    names = [str(task.subtask) for task in selection.tasks]
    said = Said("", labels=tuple(names[:predicted]), probabilities=np.linspace(0.9, 0.1, 20))
    one = Answer("a.png", said=said)
    found = Answers((), "?", selection, selection.tasks[0], (one,), {}, 1.0, loaded=False)
    shown, less, _ = answers_page(found, RISK).partition(f"{more} less probable labels")
    shown = shown.partition("<article")[2]
    assert less
    assert sorted(names) == LABELS
    assert [name for name in names if name in shown] == names[: 20 - more]
    assert {*found.heads} == {head for task in selection.tasks for head in task.heads}
    with pytest.raises(SavsError, match="`risk` is 0, expected a number between 0 and 1"):
        answers_page(found, 0)


def test_the_model_is_loaded_once(workspace, made, found, tmp_path) -> None:
    again = answer(workspace, made.images[:1], "exists", "Is there a red circle?")
    assert not again.loaded
    assert again.task.subtask == "exists"
    with pytest.raises(SavsError, match="had several questions; type one"):
        answer(workspace, made.images[:1], "exists", " ")
    several = replace(workspace, folder=tmp_path / "several")
    given = workspace.selection()
    tasks = tuple(replace(task, media=2) for task in given.tasks)
    savs.save_selection(replace(given, tasks=tasks), several.folder)
    with pytest.raises(SavsError, match="reads 2 images at once, and the page drops one"):
        answer(several, made.images[:1], "animal")


def test_a_file_that_is_no_image_is_named_and_the_others_are_answered(
    workspace, made, tmp_path
) -> None:
    broken = tmp_path / f"{re.sub('/', '', ATTACK)}.jpg"
    broken.write_bytes(b"no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(made.images[0].read_bytes()[:200])
    got = answer(workspace, [broken, made.images[0], cut], "animal")
    first, second, third = got.answers
    assert "is not an image of a known format" in first.reason
    assert second.said.prediction
    assert third.reason
    page = answers_page(got, RISK)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    with pytest.raises(SavsError, match="is not an image"):
        attention_page(got, 0, got.answers[1].votes[0].name)


def test_attention_is_shown_for_one_head_and_tested(workspace, found, tmp_path) -> None:
    vote = found.answers[0].votes[0]
    gone = replace(found, files=(tmp_path / "gone.png", *found.files[1:]))
    with pytest.raises(SavsError, match="was removed meanwhile; drop it again"):
        attention_page(gone, 0, vote.name)
    unfitted = replace(found, answers=(replace(found.answers[0], evidence=None),))
    with pytest.raises(SavsError, match="has no centroids to compare heads with"):
        attention_page(unfitted, 0, vote.name)
    for number in (-1, len(found.answers)):
        with pytest.raises(SavsError, match="choose a file and a head"):
            attention_page(found, number, vote.name)
    page = attention_page(found, 0, vote.name)
    assert page.count("of its attention on images") == 1
    assert f"<b>{vote.name}</b>" in page
    assert "of 10 random masks take less" in page
    with pytest.raises(SavsError, match="choose a file and a head"):
        attention_page(found, 0, "L9.H99")


def test_a_classifier_alone_votes_without_neighbours(workspace, made, tmp_path) -> None:
    alone = Workspace(shutil.copytree(workspace.folder, tmp_path / "alone"), None,
                      loading=workspace.loading)  # fmt: skip
    got = answer(alone, made.images[:2], "animal")
    assert [one.said.prediction for one in got.answers] == [
        one.said.prediction for one in answer(workspace, made.images[:2], "animal").answers
    ]
    assert all(vote.nearest == () for one in got.answers for vote in one.votes)
    assert "Nearest training examples need the store" in answers_page(got, RISK)


@pytest.mark.parametrize("count", [0, MOST_FILES + 1])
def test_too_few_and_too_many_files_are_refused(workspace, made, count) -> None:
    with pytest.raises(SavsError, match=f"{count} files were dropped, expected 1 to {MOST_FILES}"):
        answer(workspace, made.images[:1] * count, "animal")
