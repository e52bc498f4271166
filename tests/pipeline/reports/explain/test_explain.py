"""Explanations agree with the predictions, and with features that are compared by hand."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from random_stores import draw_problem, write_problem
from reported import Page
from small_results import save_result

from savs import evaluate, explain, save_evaluation, select
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import OutputError, ReportError
from savs.pipeline.reports.explain.explanation import HEADS_SCHEMA
from savs.pipeline.running.formatting import percent


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    problem = draw_problem(5, counts=(4, 4, 4), subtasks=("one", "two"), tests=60)
    store = write_problem(tmp_path_factory.mktemp("explain") / "s", problem)
    for readout in ("vote", "lda"):
        selection = select(store, heads=5, readout=readout)
        save_evaluation(evaluate(store, selection), store.path / "results" / readout)
    return store


@pytest.fixture
def vote(store):
    return store.path / "results" / "vote"


def test_the_votes_of_the_heads_are_those_that_were_counted(store, vote):
    predictions = pl.read_parquet(vote / "predictions.parquet")
    found = explain(vote, ids=predictions["id"].to_list())
    assert [one.id for one in found.examples] == predictions["id"].to_list()
    for one, row in zip(found.examples, predictions.iter_rows(named=True), strict=True):
        counted = {v["class"]: int(v["score"]) for v in row["votes"] if v["score"]}
        votes = [head.vote for head in one.heads]
        assert {name: votes.count(name) for name in votes} == counted
        assert one.prediction == row["prediction"]
        assert one.for_winner == counted[row["prediction"]]
        soft = {v["class"]: v["soft"] for v in row["votes"]}
        for name, value in soft.items():  # the mean cosine
            cosines = [dict(head.similarity)[name] for head in one.heads]
            assert np.mean(cosines) == pytest.approx(value, abs=1e-5)
        assert one.changes is not None
        assert one.changes.rival != one.prediction


def test_the_nearest_training_examples_are_found_by_comparing_all(store, vote):
    found = explain(vote, n=3)
    train, test = store.examples("train"), store.examples("test")
    for one in found.examples:
        rows = np.flatnonzero((train["subtask"] == one.subtask).to_numpy())
        query = test["id"].to_list().index(one.id)
        for head in one.heads:
            (x,), (y,) = (store.features(s, [(head.layer, head.head)]) for s in ("train", "test"))
            cosines = x[rows] @ y[query] / np.linalg.norm(x[rows], axis=1)
            cosines /= np.linalg.norm(y[query])
            best = rows[np.argsort(-cosines)[:3]]
            assert [near.name for near in head.nearest] == train["id"][best].to_list()
            assert [near.label for near in head.nearest] == train["label"][best].to_list()
            assert [near.cosine for near in head.nearest] == pytest.approx(
                np.sort(cosines)[::-1][:3], abs=1e-5
            )


def test_similar_examples_are_those_of_most_heads(vote):
    for one in explain(vote, n=4).examples:
        named = [near.name for head in one.heads for near in head.nearest]
        counts = [similar.heads for similar in one.similar]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] == max(map(named.count, named))
        assert all(named.count(similar.id) == similar.heads for similar in one.similar)


def test_errors_are_the_wrong_ones_and_others_fill_up(vote):
    predictions = pl.read_parquet(vote / "predictions.parquet")
    wrong = predictions.filter(~pl.col("correct"))
    found = explain(vote, errors=True, n=1000)
    assert {one.id for one in found.examples} == set(wrong["id"])
    assert f" {wrong.height} wrong, vote)" in repr(found)
    assert len(explain(vote, n=7).examples) == 7


def test_examples_come_in_the_order_in_which_they_are_asked_for_each_once(vote):
    first, second, third = pl.read_parquet(vote / "predictions.parquet")["id"].head(3)
    found = explain(vote, ids=[third, first, third, second])
    assert [one.id for one in found.examples] == [third, first, second]


def test_the_frame_and_the_json_have_the_same(vote):
    found = explain(vote, n=2)
    assert found.heads.schema == pl.Schema(HEADS_SCHEMA)
    assert found.heads.height == 2 * 5
    again = json.loads(json.dumps(found.to_json()))
    assert [one["id"] for one in again["examples"]] == [one.id for one in found.examples]
    for one, told in zip(found.examples, again["examples"], strict=True):
        assert [head["name"] for head in told["heads"]] == [head.name for head in one.heads]
        assert told["changes"]["heads"] == list(one.changes.heads)
        assert told["heads"][0]["similarity"][0]["cosine"] == pytest.approx(
            one.heads[0].similarity[0][1]
        )


def test_other_readouts_are_fitted_again_with_one_thing_less(store, tmp_path):
    out = tmp_path / "page.html"
    found = explain(store.path / "results" / "lda", n=30, out=out)
    assert found.heads["vote"].null_count() == 0
    for one in found.examples:
        assert one.changes.rival != one.prediction
        assert (one.changes.heads, one.changes.lead) == ((), None)
        changed = {*one.changes.without_head.values(), *one.changes.without_example.values()}
        assert one.prediction not in changed
    assert any(one.changes.without_head for one in found.examples)
    assert any(one.changes.without_example for one in found.examples)
    page = Page(out)
    assert page.text.count("The readout was fitted again without each head, and without") == 30
    assert "heads vote for" not in page.text
    assert json.loads(json.dumps(found.to_json()))["examples"][0]["changes"]["lead"] is None


def test_examples_are_left_out_in_turn_only_where_they_are_few(store, savs, monkeypatch):
    few = savs("explain", store.path / "results" / "lda", "--n", "1", "--json")
    assert json.loads(few.stdout)["examples"][0]["changes"]["without_example"] is not None
    monkeypatch.setattr("savs.pipeline.reports.explain.changes.MOST_EXAMPLES", 3)
    many = savs("explain", store.path / "results" / "lda", "--n", "1")
    assert "without any one example" not in many.stdout  # none was tried


def test_readouts_of_class_texts_say_why_nothing_is_told_of_changes(store, tmp_path, monkeypatch):
    monkeypatch.setattr("savs.pipeline.reports.explain.explain.changes_of", lambda *_: {})
    found = explain(store.path / "results" / "lda", n=1, out=tmp_path / "page.html")
    assert found.examples[0].changes is None
    assert (
        "is not reported: this readout compares images with texts"
        in Page(tmp_path / "page.html").text
    )


def test_the_page_tells_the_same(vote, tmp_path):
    found = explain(vote, n=3, out=tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.all("script") == []
    assert len(page.tables) == 3
    for one, table in zip(found.examples, page.tables, strict=True):
        assert f"{one.for_winner} of 5 heads vote for {one.prediction}" in page.text
        rows = table.rows
        assert [row[1] for row in rows] == [head.name for head in one.heads]
        for row, head in zip(rows, one.heads, strict=True):
            assert row[2] == percent(head.strength)
            assert row[3].split(" (")[0] == head.vote
            assert row[4] == f"{head.similarity[0][1]:.3f}"
            assert row[7] == f"{head.lead:.3f}"
            assert all(near.name in row[8] for near in head.nearest)


@pytest.mark.thorough
def test_what_cannot_be_explained_is_refused(store, vote, tmp_path):
    save_evaluation(evaluate(store, select(store, heads=2)), tmp_path / "away")
    problem = draw_problem(6, subtasks=("one", "two"), counts=(5, 5, 5))
    other = write_problem(tmp_path / "t", problem)
    foreign = store.path / "results" / "foreign"
    save_evaluation(evaluate(store, select(other, heads=3)), foreign)
    (tmp_path / "file").write_text("")
    refused = [
        (ReportError, r"no example 'x'; its ids are like 'test:0'", vote, {"ids": ["x"]}),
        (ParameterError, "`n` is 0", vote, {"n": 0}),
        (ReportError, "no heads: the model answered", save_result(tmp_path / "alone", [1, 0]), {}),
        (ReportError, r"away is not in a store", tmp_path / "away", {}),
        (ReportError, "other training examples than", foreign, {}),
        (ParameterError, r"p.txt', expected a name that", vote, {"out": tmp_path / "p.txt"}),
        (OutputError, "cannot be written", vote, {"n": 1, "out": tmp_path / "file" / "p.html"}),
    ]
    for error, message, result, options in refused:
        with pytest.raises(error, match=message):
            explain(result, **options)


def test_without_wrong_examples_there_are_no_errors_to_explain(tmp_path):
    problem = draw_problem(0, counts=(4, 4), tests=10)
    for split in ("train", "test"):
        labels = np.array(getattr(problem, f"{split}_labels"))
        for head in getattr(problem, split):
            head[:] *= 0.01
            head[:, 0] += np.where(labels == "class 0", 1, -1)
    store = write_problem(tmp_path / "s", problem)
    save_evaluation(evaluate(store, select(store, heads=2)), store.path / "results" / "vote")
    with pytest.raises(ReportError, match="has no wrong example; omit `errors`"):
        explain(store.path / "results" / "vote", errors=True)


@pytest.mark.thorough
@pytest.mark.parametrize("folds", [5, 3, "loo"])
@pytest.mark.parametrize("readout", ["vote", "lda"])
def test_left_out_examples_are_explained_by_the_heads_of_their_own_fold(
    store, tmp_path, readout, folds
) -> None:
    problem = draw_problem(11, counts=(5, 6), subtasks=("one", "two"), tests=4)
    store = write_problem(tmp_path / "s", problem)
    crossed = evaluate(store, select(store, heads=5, readout=readout), on="folds", folds=folds)
    folder = store.path / "results" / f"{readout}-cv"
    save_evaluation(crossed, folder)
    rows = {row["id"]: row for row in crossed.predictions.iter_rows(named=True)}
    found = explain(folder, ids=[*rows])
    assert {one.id for one in found.examples} == {*rows}
    assert "was left out" in found.left_out
    train = store.examples("train")
    for one in found.examples:
        same = set(train.filter(pl.col("subtask").eq_missing(one.subtask))["id"])
        nearest = {near.name for head in one.heads for near in head.nearest}
        assert nearest <= same - {one.id}
        assert one.prediction == rows[one.id]["prediction"]
        if readout == "vote":  # the fold's heads cast the votes that were counted
            votes = [head.vote for head in one.heads]
            counted = {v["class"]: int(v["score"]) for v in rows[one.id]["votes"] if v["score"]}
            assert {name: votes.count(name) for name in votes} == counted
    if folds != "loo":
        assert len({tuple(head.name for head in one.heads) for one in found.examples}) > 2


@pytest.mark.thorough
def test_predictions_of_other_heads_than_those_of_the_folds_are_not_explained(tmp_path) -> None:
    problem = draw_problem(11, counts=(6, 7, 6), tests=4)
    store = write_problem(tmp_path / "s", problem)
    crossed = evaluate(store, select(store, heads=5), on="folds")
    table = crossed.table.with_columns(margin=pl.col("margin") + 1)
    save_evaluation(replace(crossed, table=table), tmp_path / "s/results/vote-cv")
    with pytest.raises(ReportError, match="that the folds of the training examples do not"):
        explain(tmp_path / "s/results/vote-cv")
