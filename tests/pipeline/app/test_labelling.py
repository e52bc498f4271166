"""What a label does, which example is next, and how the classifier follows."""

import asyncio
import json
import re
import threading
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from number_stores import make_numbers
from random_stores import draw_problem, write_problem
from reported import ATTACK

import savs
from savs.foundation.errors import SavsError
from savs.pipeline.app import labelling as module
from savs.pipeline.app.choosing import Expected, choose_again, is_due
from savs.pipeline.app.labelling import (
    BATCH,
    BATCHES,
    DOUBTFUL,
    EVERY,
    QUEUE,
    UNSURE,
    Labelling,
    Session,
    curve_of,
    fits_page,
    label_page,
)
from savs.pipeline.app.page import build_page
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.suggest import most_alike
from savs.pipeline.selection.selection_config import selection_run
from stores import identity, make_store, write_store

TRUTH: dict[str, str] = {}
"""Id of an example without a label -> its class."""


def written(folder: Path, *, trained: bool = True) -> Workspace:
    """Return a store of 18 training examples, or none, and 40 that wait for a label."""
    problem = draw_problem(5, counts=(6, 6, 6), tests=40)
    rows: dict[str, list[dict[str, Any]]] = {
        "unlabelled": [
            {"label": None, "media": f'["{n}.jpg"]', "media_sha256": f'["{n:064x}"]'}
            for n in range(len(problem.test_labels))
        ]
    }
    if trained:
        rows["train"] = [{"label": label} for label in problem.train_labels]
    of_split = {"train": problem.train, "unlabelled": problem.test}
    features = {
        split: {
            grid.layer: np.stack(of_split[split][start : start + len(grid.heads)])
            for grid, start in zip(problem.grid, problem.starts, strict=True)
        }
        for split in rows
    }
    store = write_store(folder / "pets", identity(grid=problem.grid), features, rows)
    TRUTH.update({f"unlabelled:{i}": label for i, label in enumerate(problem.test_labels)})
    return Workspace(store.path / "results" / "vote", store.path)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = written(tmp_path)
    store = workspace.store()
    selection = savs.calibrate(store, savs.select(store, heads=3, readout="lda")).selection
    savs.save_selection(selection, workspace.folder)
    return workspace


@pytest.fixture
def labelling(workspace) -> Labelling:
    return Labelling(workspace)


def finished(labelling: Labelling) -> None:
    """Wait until heads were chosen."""
    while threads := [t for t in threading.enumerate() if t.name == "savs fit"]:
        threads[0].join()
    assert not labelling.fits.running


def labels_of(workspace: Workspace) -> dict[str, str]:
    """Return the labels that are in the store now."""
    train = workspace.store().examples("train")
    return dict(train.filter(pl.col("id").is_in([*TRUTH])).select("id", "label").iter_rows())


def label_of(workspace: Workspace, name: str) -> str:
    return workspace.store().examples("train").filter(id=name)["label"].item()


@pytest.mark.thorough
def test_ten_labels_are_in_the_store_and_make_a_new_classifier(labelling, workspace) -> None:
    browser, given = Session("one"), {}
    before = workspace.selection()
    for count in range(1, EVERY + 1):
        waiting = labelling.next(browser, UNSURE, None)
        assert waiting.prediction in {"class 0", "class 1", "class 2"}
        assert labelling.give(browser, [waiting.id], TRUTH[waiting.id]) == ""
        given[waiting.id] = TRUTH[waiting.id]
        assert labels_of(workspace) == given, "a label is on the disk before the next image"
        assert (count == EVERY) or not labelling.fits.version
    finished(labelling)
    after = workspace.selection()
    assert after.tasks[0].examples == before.tasks[0].examples + EVERY
    # made as the one before was
    assert (after.readout, len(after.tasks[0].heads)) == ("lda", 3)
    assert after.tasks[0].decision is not None
    (point,) = labelling.fits.curve
    crossed = savs.evaluate(workspace.store(), after, on="folds").metrics[0]
    assert (point.labels, point.value, point.low, point.high) == (
        *(18 + EVERY, crossed.value),
        *(crossed.low, crossed.high),
    )
    assert f"{100 * point.value:.1f} %" in fits_page(labelling)


def test_retraining_says_how_far_the_accuracy_moved_on_the_examples_of_both(
    labelling, workspace
) -> None:
    labelling.begin()
    finished(labelling)
    assert "Since the training before" not in fits_page(labelling)
    store = workspace.store()
    before = savs.evaluate(store, workspace.selection(), on="folds").predictions
    relabelled, browser = before.filter(label="class 0")["id"][0], Session("one")
    savs.label(workspace.path, {relabelled: "class 1"})  # it was class 0: it measures no change
    for _ in range(8):
        waiting = labelling.next(browser, UNSURE, None)
        labelling.give(browser, [waiting.id], TRUTH[waiting.id])
    labelling.fit()
    finished(labelling)
    after = savs.evaluate(workspace.store(), workspace.selection(), on="folds").predictions
    shared = before.join(after, on=["id", "label"])
    change = labelling.fits.curve[-1].change
    assert change.units == shared.height == 17
    moved = shared["correct_right"].cast(pl.Int8) - shared["correct"].cast(pl.Int8)
    assert change.value == pytest.approx(moved.mean())
    assert change.low < change.value < change.high
    page = fits_page(labelling)
    assert f"Since the training before: <b>{100 * change.value:+.1f} points</b>" in page
    assert "on the 17 examples that both were measured on" in page


def test_a_change_is_from_the_earlier_accuracy_to_the_later_one(workspace) -> None:
    now = choose_again(workspace).evaluation
    always_0 = pl.lit("class 0")
    table = now.table.with_columns(prediction=always_0, correct=pl.col("label") == always_0)
    chosen = choose_again(workspace, replace(now, table=table))
    assert now.metrics[0].value > 1 / 2
    assert chosen.expected.change.value == pytest.approx(now.metrics[0].value - 1 / 3)


def test_the_curve_goes_on_by_labels_where_some_were_taken_back() -> None:
    expected = [Expected(labels, "", labels / 100, 0, 1) for labels in (30, 40, 20)]
    chart = curve_of(expected, "accuracy")
    assert [tick for _, tick in chart.x_ticks] == ["20", "40"]
    (line,) = chart.series
    assert [point.title[:2] for point in line.points] == ["20", "30", "40"]


def test_many_alike_images_are_labelled_and_undone_at_once(labelling, workspace) -> None:
    one, two = Session("one"), Session("two")
    batch = labelling.next_batch(one, None)
    assert len(batch) == BATCH
    table = most_alike(
        *(workspace.store(), workspace.selection(), "unlabelled"),
        *(list(TRUTH), len(TRUTH)),
    )
    assert [example.id for example in batch] == table["id"].to_list()[:BATCH]
    least_sure = savs.suggest(workspace.store(), workspace.selection(), 1).table["id"][0]
    assert batch[0].id == least_sure
    assert not {example.id for example in labelling.next_batch(two, None)} & {
        example.id for example in batch
    }, "another browser gets others"
    assert labelling.next(two, UNSURE, None).id not in {example.id for example in batch}
    ids = [example.id for example in batch[:3]]
    assert labelling.give(one, ids, "class 0") == ""
    assert labels_of(workspace) == dict.fromkeys(ids, "class 0")
    assert labelling.left(one, BATCHES, None) == (37, 40)
    assert [example.id for example in labelling.next_batch(one, None)] == [
        example.id for example in batch[3:]
    ], "the others stay where they are"
    assert labelling.undo(one) == ""
    assert labels_of(workspace) == {}
    again = [example.id for example in labelling.next_batch(one, None)]
    assert sorted(again) == sorted(example.id for example in batch)
    assert again == [example.id for example in labelling.next_batch(one, None)]
    # one of them was labelled meanwhile: it keeps that label
    savs.label(workspace.path, {ids[0]: "class 2"})
    told = labelling.give(one, ids, "class 1")
    assert told == f"{ids[0]} was labelled meanwhile, and keeps that label"
    assert labels_of(workspace) == {ids[0]: "class 2", ids[1]: "class 1", ids[2]: "class 1"}
    labelling.skip(one, again)
    assert not {example.id for example in labelling.next_batch(one, None)} & {*again}


def test_images_of_another_subtask_are_not_shown_among_its_classes(labelling) -> None:
    browser = Session("one")
    batch = [replace(one, subtask="pets") for one in labelling.next_batch(browser, None)]
    browser.batch = browser.undone = batch
    assert labelling.next_batch(browser, "plants") == []
    assert labelling.next(browser, UNSURE, "plants") is None
    browser.batch = batch
    assert labelling.next_batch(browser, "pets") == batch


def test_each_subtask_has_its_classes_and_all_have_those_of_all(tmp_path) -> None:
    problem = draw_problem(6, subtasks=("pets", "plants"), counts=(3, 3))
    store = write_problem(tmp_path / "s", problem)
    workspace = Workspace(store.path / "results" / "vote", store.path)
    assert is_due(workspace)
    labelling = Labelling(workspace)
    assert sorted(labelling.parts()) == ["pets", "plants"]
    assert labelling.add_class("axolotl", "pets") == "axolotl"
    assert labelling.classes("plants") == ["class 0", "class 1"]
    assert labelling.classes("pets") == labelling.classes(None) == ["class 0", "class 1", "axolotl"]


def test_the_page_shows_the_subtask_that_was_chosen_and_else_the_first(tmp_path) -> None:
    store = write_problem(
        tmp_path / "s", draw_problem(6, subtasks=("pets", "plants"), counts=(3, 3))
    )
    workspace = Workspace(store.path / "results" / "vote", store.path)

    async def built() -> Any:
        """Build the page where a loop runs; else gradio makes loops that it does not close."""
        return build_page(workspace)

    page = asyncio.run(built())
    (opened,) = {
        one.fn for one in page.fns.values() if one.name == "opened" and len(one.inputs) == 3
    }
    first, second = Labelling(workspace).parts()
    for chosen, shown in ((second, second), (first, first), (None, first), ("x", first)):
        *_, box, _ = opened(Session("one"), UNSURE, chosen, None)
        assert (box["choices"], box["value"]) == ([first, second], shown)


def test_each_subtask_is_labelled_by_itself(tmp_path) -> None:
    problem = draw_problem(6, subtasks=("pets", "plants"), counts=(6, 6), tests=30)
    for wrong in map(problem.train_subtasks.index, ("pets", "plants")):
        problem.train_labels[wrong] = f"class {1 - int(problem.train_labels[wrong][-1])}"
    store = write_problem(tmp_path / "s", replace(problem, test_labels=[None] * 30))
    workspace = Workspace(store.path / "results" / "vote", store.path)
    choose_again(workspace)
    selection, labelling, browser = workspace.selection(), Labelling(workspace), Session("one")
    for part in ("pets", "plants"):
        ids = store.examples("test").filter(subtask=part)["id"].to_list()
        waiting = labelling.next(browser, UNSURE, part)
        assert waiting.id == savs.suggest(store, selection, 1, subtask=part).table["id"][0]
        assert len(module.queue_of(workspace, UNSURE, part, 8).examples) == 8
        alike = most_alike(store, selection, "test", ids, BATCH, subtask=part)
        batch = labelling.next_batch(browser, part)
        assert [one.id for one in batch] == alike["id"].to_list()
        assert [one.prediction for one in batch] == alike["prediction"].to_list()
        assert labelling.give_new(browser, [batch[0].id], f"new of {part}", part) == ""
        assert labelling.left(browser, UNSURE, part) == (len(ids) - 1, len(ids))
        assert labelling.classes(part) == ["class 0", "class 1", f"new of {part}"]
        doubtful = module.queue_of(workspace, DOUBTFUL, part).examples
        assert {one.subtask for one in doubtful} == {part}
    alone = replace(selection, tasks=selection.tasks[:1])
    savs.save_selection(alone, workspace.folder)
    (known,) = (task.subtask for task in alone.tasks)
    assert labelling.next(Session("two"), UNSURE, known).prediction
    other = Labelling(Workspace(workspace.folder, workspace.path))
    (lacking,) = {"pets", "plants"} - {known}
    assert other.next(Session("three"), UNSURE, lacking).prediction is None
    batch = other.next_batch(Session("four"), lacking)
    assert {(one.subtask, one.prediction) for one in batch} == {(lacking, None)}


def test_levels_are_numbers_and_ascend(tmp_path) -> None:
    store, *_ = make_numbers(tmp_path / "s", "ordinal", unlabelled=2)
    labelling = Labelling(Workspace(store.path / "results" / "ridge", store.path))
    levels = ["1", "2", "3", "4", "5"]
    assert labelling.classes(None) == levels
    with pytest.raises(SavsError, match="'high' is no level: "):
        labelling.add_class("high", None)
    assert labelling.add_class("6", None) == "6"
    assert labelling.classes(None) == [*levels, "6"]


def test_pictures_are_of_the_split_of_each_image(labelling, workspace, monkeypatch) -> None:
    opened, browser = [], Session("one")
    found = module.open_images
    monkeypatch.setattr(
        module, "open_images", lambda *a, **k: opened.append(a[1]) or found(*a, **k)
    )
    first, second, *_ = labelling.next_batch(browser, None)
    browser.batch = [first, replace(second, split="test")]  # the one was just taken back
    label_page(labelling, browser, BATCHES, None)
    assert sorted(opened) == ["test", "unlabelled"]


def test_likely_duplicates_stand_together_and_are_marked(labelling, workspace, tmp_path) -> None:
    store = workspace.store()
    table = most_alike(store, workspace.selection(), "unlabelled", [*TRUTH], len(TRUTH))
    assert sorted(table["id"]) == sorted(TRUTH)
    assert table["likeness"].null_count() == 1
    page = label_page(labelling, Session("one"), BATCHES, None)
    assert page.count('class="pick') == BATCH
    assert 'class="pick twin"' not in page  # none of them is the same
    session = Session("two")
    first, second, *_ = labelling.next_batch(session, None)
    session.batch = [first, replace(second, likeness=0.999)]
    assert label_page(labelling, session, BATCHES, None).count('class="pick twin"') == 1


def test_the_guess_is_a_marked_button_that_enter_takes_and_what_is_left_is_said(
    labelling, workspace
) -> None:
    browser = Session("one")
    guess = labelling.next(browser, UNSURE, None).prediction
    workspace.spelled = str.upper
    page = label_page(labelling, browser, UNSURE, None, "pass another `out`")
    assert "PASS ANOTHER `OUT`" in page
    (button,) = re.findall(r'<button type="button" data-key="\d Enter"(.*?)</button>', page)
    assert guess in button
    assert 'class="guess"' in button
    assert "40 of 40 left" in page
    labelling.give(browser, [labelling.next(browser, UNSURE, None).id], guess)
    labelling.skip(browser, [labelling.next(browser, UNSURE, None).id])
    assert "38 of 40 left" in label_page(labelling, browser, UNSURE, None)


def test_a_class_that_is_typed_labels_the_image(labelling, workspace) -> None:
    browser = Session("one")
    waiting = labelling.next(browser, UNSURE, None)
    assert labelling.give_new(browser, [waiting.id], " axolotl", None) == ""
    assert labels_of(workspace) == {waiting.id: "axolotl"}
    second = labelling.next(browser, UNSURE, None)
    assert labelling.give_new(browser, [second.id], "CLASS 1", None) == ""
    assert labels_of(workspace)[second.id] == "class 1"


def test_the_queue_is_that_of_suggest_and_goes_on_after_it(labelling, workspace) -> None:
    table = savs.suggest(workspace.store(), workspace.selection(), QUEUE).table
    browser, seen = Session("one"), []
    while (waiting := labelling.next(browser, UNSURE, None)) is not None:
        seen.append(waiting.id)
        labelling.skip(browser, [waiting.id])
    assert seen[:QUEUE] == table["id"].to_list()
    assert sorted(seen) == sorted(TRUTH), "each is shown once, and none is left out"


def test_two_browsers_get_other_images_and_no_label_is_replaced(labelling, workspace) -> None:
    one, two = Session("one"), Session("two")
    first = labelling.next(one, UNSURE, None)
    second = labelling.next(two, UNSURE, None)
    assert first.id != second.id
    labelling.give(one, [first.id], "class 0")
    with pytest.raises(SavsError, match="is not on this page; label the image that is"):
        labelling.give(two, [first.id], "class 1")
    # another server of the same store displayed it before
    third = Session("three", displayed={first.id: first})
    other = Labelling(Workspace(workspace.folder, workspace.path))
    told = other.give(third, [first.id], "class 1")
    assert told == f"{first.id} was labelled meanwhile, and keeps that label"
    assert third.passed == []
    assert labels_of(workspace) == {first.id: "class 0"}
    labelling.forget("two")
    labelling.skip(one, [labelling.next(one, UNSURE, None).id])
    assert second.id in {labelling.next(one, UNSURE, None).id, one.passed[-1]}


@pytest.mark.thorough
def test_many_browsers_at_once_lose_no_label(labelling, workspace) -> None:
    problems: list[BaseException] = []

    def work(name: str) -> None:
        try:
            browser = Session(name)
            for _ in range(6):
                waiting = labelling.next(browser, UNSURE, None)
                told = labelling.give(browser, [waiting.id], TRUTH[waiting.id])
                assert told == "", told
        except BaseException as error:  # shown by the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=work, args=(f"browser {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finished(labelling)
    assert problems == []
    labels = labels_of(workspace)
    assert len(labels) == 24
    assert labels == {name: TRUTH[name] for name in labels}


def test_undo_takes_a_label_back_and_shows_its_image_again(labelling, workspace) -> None:
    browser = Session("one")
    assert labelling.undo(browser) == "there is no label of this page to take back"
    first = labelling.next(browser, UNSURE, None)
    labelling.give(browser, [first.id], "class 0")
    labelling.next(browser, UNSURE, None)
    assert labelling.undo(browser) == ""
    assert labels_of(workspace) == {}
    assert labelling.next(browser, UNSURE, None).id == first.id
    labelling.give(browser, [first.id], "class 2")
    labelling.fit()
    finished(labelling)  # the queue is another one now
    labelling.next(browser, UNSURE, None)
    assert labelling.undo(browser) == ""
    assert labelling.next(browser, UNSURE, None).id == first.id
    labelling.give(browser, [first.id], "class 2")
    assert labels_of(workspace) == {first.id: "class 2"}


@pytest.mark.parametrize(
    ("meanwhile", "split", "kept"),
    [
        ("class 1", None, ("train", "class 1")),  # `savs label` in another process
        ("class 0", "test", ("test", "class 0")),
        (None, None, None),  # taken back there: there is nothing to take back here
    ],
)
def test_undo_keeps_what_came_meanwhile(labelling, workspace, meanwhile, split, kept) -> None:
    browser = Session("one")
    first = labelling.next(browser, UNSURE, None)
    labelling.give(browser, [first.id], "class 0")
    savs.label(workspace.path, {first.id: meanwhile}, split=split)
    told = labelling.undo(browser)
    again = f"{first.id} was labelled again meanwhile, and keeps that label"
    assert told == ("" if kept is None else again)
    rows = workspace.store().examples().filter(id=first.id).select("split", "label").rows()
    assert rows == [kept or ("unlabelled", None)]
    assert labelling.undo(browser) == "there is no label of this page to take back"
    assert (labelling.next(browser, UNSURE, None).id == first.id) is (kept is None)


def test_a_doubtful_label_that_was_corrected_meanwhile_is_not_replaced(workspace) -> None:
    """The page saw another label; what this process read of the store before is older, too."""
    wrong = workspace.store().examples("train").filter(label="class 0")["id"].head(1).item()
    savs.label(workspace.path, {wrong: "class 1"})
    choose_again(workspace)
    labelling, browser = Labelling(workspace), Session("one")
    assert labelling.next(browser, DOUBTFUL, None).id == wrong
    assert labelling.classes(None)  # the store is read
    savs.label(workspace.path, {wrong: "class 2"})
    assert "was labelled meanwhile" in labelling.give(browser, [wrong], "class 0")
    assert label_of(workspace, wrong) == "class 2"


def test_a_new_class_is_typed_and_gets_its_example(labelling, workspace) -> None:
    browser = Session("one")
    waiting = labelling.next(browser, UNSURE, None)
    with pytest.raises(SavsError, match="'axolotl' is no class"):
        labelling.give(browser, [waiting.id], "axolotl")
    assert labels_of(workspace) == {}
    assert labelling.add_class("  axolotl ", None) == "axolotl"
    assert labelling.add_class("AXOLOTL", None) == "axolotl"
    with pytest.raises(SavsError, match="type the name"):
        labelling.add_class(" ", None)
    assert labelling.classes(None) == ["class 0", "class 1", "class 2", "axolotl"]
    labelling.give(browser, [waiting.id], "axolotl")
    assert labels_of(workspace) == {waiting.id: "axolotl"}
    # one example of a class is too few to measure by, and that is said
    labelling.fit()
    finished(labelling)
    assert "class 'axolotl' has one" in labelling.fits.problem
    assert "No accuracy is known yet" in fits_page(labelling)
    assert "axolotl" in workspace.selection().tasks[0].classes


@pytest.mark.thorough
def test_a_store_without_labels_is_labelled_from_the_start(tmp_path) -> None:
    workspace = written(tmp_path, trained=False)
    labelling, browser = Labelling(workspace), Session("one")
    assert labelling.classes(None) == []
    page = label_page(labelling, browser, UNSURE, None)
    assert "There is no class yet: type the first one." in page
    labelling.fit()
    finished(labelling)
    assert labelling.fits.problem, "it says that there are no training examples"
    for name in ("class 0", "class 1", "class 2"):
        labelling.add_class(name, None)
    for _ in range(EVERY):
        waiting = labelling.next(browser, UNSURE, None)
        assert waiting.prediction is None
        labelling.give(browser, [waiting.id], TRUTH[waiting.id])
    finished(labelling)
    assert workspace.selection().tasks[0].examples == EVERY
    assert labelling.next(browser, UNSURE, None).prediction is not None


def test_doubtful_labels_are_confirmed_or_corrected(workspace) -> None:
    wrong = workspace.store().examples("train").filter(label="class 0")["id"].head(1).item()
    savs.label(workspace.store(), {wrong: "class 1"})
    labelling, browser = Labelling(workspace), Session("one")
    with pytest.raises(SavsError, match="doubtful labels are not known yet; press Retrain"):
        labelling.next(browser, DOUBTFUL, None)
    choose_again(workspace)
    waiting = labelling.next(browser, DOUBTFUL, None)
    assert (waiting.id, waiting.label, waiting.prediction) == (wrong, "class 1", "class 0")
    assert "a classifier of the other examples says" in label_page(
        labelling, browser, DOUBTFUL, None
    )
    # the label that is shown is replaced, though it was given by hand
    assert labelling.give(browser, [wrong], "class 0") == ""
    assert label_of(workspace, wrong) == "class 0"
    assert labelling.next(browser, DOUBTFUL, None) is None
    assert labelling.undo(browser) == ""
    assert label_of(workspace, wrong) == "class 1"
    assert labelling.next(browser, DOUBTFUL, None).id == wrong
    labelling.skip(browser, [labelling.next(browser, UNSURE, None).id])
    assert labelling.left(browser, UNSURE, None) == (39, 40)
    assert labelling.left(browser, DOUBTFUL, None) == (1, 1)  # others were passed elsewhere
    assert labelling.next(browser, DOUBTFUL, None).id == wrong
    assert labelling.give(browser, [wrong], "class 1") == "", "it is confirmed"
    assert labelling.next(browser, DOUBTFUL, None) is None


@pytest.mark.thorough
def test_a_doubtful_image_under_several_prompts_is_shown_once(tmp_path) -> None:
    prompts = ("cat?", "dog?")
    rng = np.random.default_rng(0)
    labels = ["no", "yes"] * 8
    wrong = ["no", *labels[2:], "no"]  # the last image is a "yes" for both prompts
    sides = np.where(np.repeat(np.array(["no", *labels[2:], "yes"]), 2) == "yes", 1.0, -1.0)
    features = (sides[None, :, None] + rng.normal(size=(4, 32, 3)) * 0.3).astype("f4")
    rows = [
        {"id": f"e{i}#{k}", "subtask": prompt, "prompt": prompt, "media": f'["{i}.png"]'}
        for i in range(16)
        for k, prompt in enumerate(prompts, start=1)
    ]
    store = make_store(
        *(tmp_path / "s", features, [label for label in wrong for _ in prompts]),
        *(features[:, :2], ["no", "no"]),
        train_rows=rows,
        test_rows=[
            row | {"id": f"t#{k}", "media": '["t.png"]'} for k, row in enumerate(rows[:2], 1)
        ],
        options={"questions": list(prompts)},
    )
    workspace = Workspace(store.path / "results" / "vote", store.path)
    choose_again(workspace)
    labelling, browser = Labelling(workspace), Session("one")
    assert labelling.parts() == []  # a label is for all prompts
    waiting = labelling.next(browser, DOUBTFUL, None)
    assert (waiting.id, waiting.label, waiting.prediction) == ("e15", "no", "yes")
    assert labelling.give(browser, ["e15"], "yes") == ""
    train = workspace.store().examples("train").filter(pl.col("id").str.starts_with("e15#"))
    assert train["label"].to_list() == ["yes", "yes"]
    assert labelling.next(browser, DOUBTFUL, None) is None


@pytest.mark.thorough
def test_all_that_waits_is_labelled_in_the_end(labelling, workspace) -> None:
    browser = Session("one")
    for _ in range(40):
        waiting = labelling.next(browser, UNSURE, None)
        labelling.give(browser, [waiting.id], TRUTH[waiting.id])
    finished(labelling)
    assert labels_of(workspace) == TRUTH
    assert labelling.next(browser, UNSURE, None) is None
    assert "No example waits for a label" in label_page(labelling, browser, UNSURE, None)


def test_a_classifier_of_other_labels_is_made_anew_when_the_tab_opens(workspace) -> None:
    first = next(iter(TRUTH))
    savs.label(workspace.store(), {first: TRUTH[first]})
    assert is_due(workspace)
    labelling = Labelling(workspace)
    labelling.begin()
    labelling.begin()  # another browser opens the tab meanwhile
    finished(labelling)
    assert not is_due(workspace)
    assert labelling.fits.version == 2, "one fit, which began and ended"
    assert workspace.selection().tasks[0].examples == 19
    run = (workspace.folder / "config.json").read_bytes()
    again = Labelling(workspace)
    again.begin()
    finished(again)
    assert (workspace.folder / "config.json").read_bytes() == run, "it is measured alone"
    assert again.fits.curve == labelling.fits.curve
    again.fit()
    finished(again)
    assert again.fits.version == 4


@pytest.mark.thorough
def test_the_cross_validation_of_an_earlier_classifier_is_replaced(workspace) -> None:
    """Else a report would mix two classifiers."""
    of_folds = workspace.folder.with_name("vote-cv")
    savs.save_evaluation(
        savs.evaluate(workspace.store(), workspace.selection(), on="folds"), of_folds
    )
    first = next(iter(TRUTH))
    savs.label(workspace.store(), {first: TRUTH[first]})
    choose_again(workspace)
    assert selection_run(of_folds) == selection_run(workspace.folder)
    assert Result(of_folds).metrics["planned"] == 19
    metrics = (of_folds / "metrics.json").read_bytes()
    choose_again(workspace)  # of the same labels: it is measured, and nothing is written
    assert (of_folds / "metrics.json").read_bytes() == metrics
    savs.label(workspace.store(), {first: "axolotl"}, new_classes=True)
    choose_again(workspace)  # one example of a class: there is no cross-validation
    assert not (of_folds / "metrics.json").exists()


def test_a_failure_that_nobody_foresaw_ends_the_wait(labelling, monkeypatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(module, "choose_again", broken)
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    labelling.fit()
    finished(labelling)
    assert labelling.fits.problem == "training failed; the terminal says why"


def test_names_of_classes_are_text(labelling) -> None:
    labelling.add_class(ATTACK, None)
    page = label_page(labelling, Session("one"), UNSURE, None)
    assert "<img src=x" not in page
    offered = [json.loads(unescape(o)) for o in re.findall(r"data-choose='(.*?)'", page)]
    assert ATTACK in [one.get("label") for one in offered]


@pytest.mark.thorough
def test_many_labels_are_saved_together_and_undone(of_many) -> None:
    """As `savs suggest` orders them and `savs label` writes them; the classifier keeps its form."""
    store = of_many.store()
    before = savs.select(store, heads=3, readout="lda", joint_heads=True, precision=0.6)
    savs.save_selection(savs.calibrate(store, before).selection, of_many.folder)
    labelling, browser = Labelling(of_many), Session("one")
    waiting = labelling.next(browser, UNSURE, None)
    assert waiting.id == savs.suggest(store, of_many.selection(), 20).table["id"][0]
    page = label_page(labelling, browser, UNSURE, None)
    assert page.count('type="checkbox"') == 20
    assert labelling.give(browser, [waiting.id], ["l03", "l01"]) == ""
    assert label_of(of_many, waiting.id) == '["l01","l03"]'
    empty = labelling.next(browser, UNSURE, None)
    assert labelling.give(browser, [empty.id], []) == ""
    assert label_of(of_many, empty.id) == "[]"
    assert labelling.undo(browser) == ""
    assert labelling.next(browser, UNSURE, None).id == empty.id
    with pytest.raises(SavsError, match="'axolotl' is no class"):
        labelling.give(browser, [empty.id], ["axolotl"])
    labelling.add_class("axolotl", None)
    assert labelling.give(browser, [empty.id], ["axolotl", "l00"]) == ""
    labelling.fit()
    finished(labelling)
    after = of_many.selection()
    assert (after.joint_heads, after.precision, after.readout) == (True, 0.6, "lda")
    assert {str(task.subtask) for task in after.tasks} > {"axolotl"}
    assert labelling.fits.curve[-1].labels == 92
    measured = Result(of_many.folder.with_name("vote-cv")).metrics["metrics"][0]
    assert measured["name"] == "mAP"
    assert labelling.fits.curve[-1].value == pytest.approx(measured["value"])
    page = fits_page(labelling)
    assert "Expected mAP with 92 training examples" in page
    assert re.search(r"of classifiers of [78]\d( to 8\d)? % of them: examples", page)


@pytest.mark.thorough
def test_a_doubtful_label_of_many_is_corrected_and_what_is_unknown_stays_so(of_many) -> None:
    choose_again(of_many)
    labelling, browser = Labelling(of_many), Session("one")
    while '"l00":null' not in (labelling.next(browser, DOUBTFUL, None).label or ""):
        labelling.skip(browser, [labelling.next(browser, DOUBTFUL, None).id])
    waiting = labelling.next(browser, DOUBTFUL, None)
    states = json.loads(waiting.label)
    there = {name for name, state in states.items() if state}
    page = label_page(labelling, browser, DOUBTFUL, None)
    assert {*re.findall(r'value="(l\d\d)" checked', page)} == there
    assert page.count("(unknown, stays so if not checked)") == len(states) - len(there)
    assert labelling.give(browser, [waiting.id], ["l02"]) == ""
    unknown = {name: None for name, state in states.items() if state is None and name != "l02"}
    assert json.loads(label_of(of_many, waiting.id)) == {**unknown, "l02": True}
