import json
import re
import shutil
from dataclasses import replace
from html import unescape

import numpy as np
import polars as pl
import pytest

from savs import evaluate, label, save_evaluation, save_selection, select
from savs.foundation.errors import SavsError
from savs.pipeline.app.results import evaluate_now, results_page, why_page
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.evaluation.results import Result
from savs.pipeline.selection.training_data import train_digest
from stores import make_store


def offered(page: str) -> list[str]:
    """Return the ids that a page offers to explain."""
    return [json.loads(unescape(text))["id"] for text in re.findall(r"data-choose='(.*?)'", page)]


def test_the_page_has_the_headline_and_offers_each_wrong_example(workspace) -> None:
    page = results_page(workspace)
    predictions = Result(workspace.folder).predictions()
    wrong = set(predictions.filter(~predictions["correct"])["id"])
    assert len(wrong) > 1
    assert sorted(offered(page)) == sorted(wrong)
    assert f"{100 * predictions['correct'].mean():.1f}" in page
    assert 'class="cell wrong"' in page


@pytest.mark.parametrize(("last", "wrong"), [("a", 1), ("b", 0)])
def test_notes_of_pictures_are_spelled_and_nothing_wrong_has_none(tmp_path, last, wrong) -> None:
    features = np.tile(np.eye(2, dtype="f4"), (4, 1))[None]  # one head sees the class
    rows = [{"media": f'["{n}.png"]'} for n in range(4)]
    labels = ["a", "b", "a", last]
    store = make_store(
        *(tmp_path / "s", features, ["a", "b"] * 4, features[:, :4], labels), test_rows=rows
    )
    folder = store.path / "results" / "vote"
    save_evaluation(evaluate(store, select(store, heads=1)), folder)
    page = results_page(Workspace(folder, store.path, spelled=str.upper))
    assert len(offered(page)) == wrong
    assert page.count("EXAMPLE IS SHOWN WITHOUT AN IMAGE") == wrong


def test_why_is_the_page_of_explain(workspace) -> None:
    name = offered(results_page(workspace))[0]
    page = why_page(workspace, name)
    assert "savs explain" in page
    assert name in page
    with pytest.raises(SavsError, match="has no example 'no such'"):
        why_page(workspace, "no such")


@pytest.mark.thorough
def test_no_results_and_old_results_say_so_and_can_be_made(workspace) -> None:
    (workspace.folder / "metrics.json").unlink()
    with pytest.raises(SavsError, match="has no results yet; press Evaluate"):
        results_page(workspace)
    assert offered(evaluate_now(workspace))
    save_selection(select(workspace.store(), heads=3), workspace.folder)
    with pytest.raises(SavsError, match=r"results of an earlier classifier; press Evaluate$"):
        results_page(workspace)
    assert "Wrong test examples" in evaluate_now(workspace)


def test_results_need_the_store(workspace) -> None:
    with pytest.raises(SavsError, match="run savs app STORE"):
        results_page(Workspace(workspace.folder, None))


@pytest.mark.thorough
def test_without_test_examples_the_training_examples_are_left_out_in_turn(workspace) -> None:
    store = workspace.store()
    tested = dict(store.examples("test").select("id", "label").iter_rows())
    trained = label(store, tested).store  # all are training examples now
    assert not trained.ids("test")
    save_selection(select(trained, heads=1), workspace.folder)
    with pytest.raises(SavsError, match=r"results/vote-cv has no results yet; press Evaluate$"):
        results_page(workspace)
    page = evaluate_now(workspace)
    predictions = Result(workspace.folder.with_name("vote-cv")).predictions()
    assert sorted(offered(page)) == sorted(predictions.filter(~predictions["correct"])["id"])
    assert "Wrong training examples" in page
    assert "Each was classified without itself." in page
    assert "is a training example that was left out" in why_page(workspace, offered(page)[0])
    save_selection(select(trained, heads=2), workspace.folder)
    with pytest.raises(SavsError, match="vote-cv has the results of an earlier classifier"):
        results_page(workspace)
    # labels came meanwhile: folds need heads that were chosen from the labels as they are
    name = trained.ids("train")[0]
    label(trained, {name: next(one for one in set(tested.values()) if one != tested.get(name))})
    assert "Wrong training examples" in evaluate_now(workspace)
    assert workspace.selection().train == train_digest(workspace.store())
    assert len(workspace.selection().tasks[0].heads) == 2, "as many as before"


@pytest.mark.thorough
def test_evaluate_chooses_heads_where_none_are_and_again_after_labels(workspace) -> None:
    shutil.rmtree(workspace.folder)
    assert offered(evaluate_now(workspace))
    store = workspace.store()
    name, *_ = store.ids("test")
    label(store, {name: store.examples("test")["label"][0]})
    page = evaluate_now(workspace)
    assert workspace.selection().tasks[0].examples == 19
    assert Result(workspace.folder).predictions().height == 59
    assert results_page(workspace).count("<section") == page.count("<section")
    # one that was made of another store is evaluated as it is
    other = replace(workspace.selection(), train="0" * 64)
    save_selection(other, workspace.folder)
    evaluate_now(workspace)
    assert workspace.selection().train == other.train


@pytest.mark.thorough
def test_many_labels_have_their_metrics_a_table_and_what_is_missed(of_many) -> None:
    page = results_page(of_many)
    metrics = json.loads((of_many.folder / "metrics.json").read_text())
    for row in (*metrics["metrics"], *metrics["per_label"]):
        assert f">{row.get('name') or row['label']}</th>" in page
        assert f"{100 * row['low']:.1f} .. {100 * row['high']:.1f}" in page
    wrong = Result(of_many.folder).predictions().filter(~pl.col("correct"))
    assert wrong.height > 60
    assert f"{wrong.height - 60} more are not shown" in page
    assert set(offered(page)) <= {*wrong["id"]}
    assert len(offered(page)) == 60
    cards = re.findall(r"<li>(.*?)</ul>", page.partition('class="wrongs')[2], re.DOTALL)
    assert len(cards) == 60
    rows = {row["id"]: row for row in wrong.iter_rows(named=True)}
    for card in cards:
        row = rows[re.search('<span class="soft">(test:.*?)</span>', card)[1]]
        said = {*row["predicted"]}
        off = {*row["labels"]} - said | said - {*row["labels"], *row["unknown"]}
        assert {*re.findall('<b class="off">(.*?)</b>', card)} == off != set()
