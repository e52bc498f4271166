"""`savs explain` on a store of drawn numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_stores import draw_problem, write_problem
from reported import ATTACK, Page

from savs.pipeline import evaluate, explain, save_evaluation, select
from stores import make_store


@pytest.fixture
def result(tmp_path):
    store = write_problem(tmp_path / "features", draw_problem(5, counts=(4, 4, 4), tests=50))
    save_evaluation(evaluate(store, select(store, heads=2)), store.path / "results" / "vote")
    return store.path / "results" / "vote"


def test_examples_are_explained_in_text_json_and_html(savs, result):
    found = explain(result, ids=["test:3", "test:1"])
    done = savs("explain", result, "--id", "test:3", "--id", "test:1", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("test:3: ")
    for one in found.examples:
        for head in one.heads:
            assert f"{head.name}" in done.stdout
            assert f"{head.similarity[0][1]:.3f}" in done.stdout
        assert f"of 2 heads vote for {one.prediction}" in done.stdout
    assert len(Page(Path("page.html")).tables) == 2
    told = savs("explain", result, "--id", "test:3", "--id", "test:1", "--json")
    assert json.loads(told.stdout) == json.loads(json.dumps(found.to_json()))


def test_errors_and_numbers(savs, result):
    told = json.loads(savs("explain", result, "--errors", "--n", 3, "--json").stdout)
    assert len(told["examples"]) == 3
    assert all(one["label"] != one["prediction"] for one in told["examples"])


def test_wrong_arguments_are_refused(savs, result):
    done = savs("explain", result, "--id", "test:1", "--errors")
    assert done.returncode == 2
    assert "--id and --errors exclude each other" in done.stderr
    done = savs("explain", result, "--id", "nothing")
    assert done.returncode == 1
    assert "has no example 'nothing'" in done.stderr
    done = savs("explain", result.parent.parent)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_hostile_names_are_text(tmp_path):
    values = np.eye(2, dtype=np.float32)[None, [0, 1, 0, 1]]
    rows = [{"prompt": ATTACK, "media": json.dumps([ATTACK])} for _ in range(4)]
    labels = [f"{ATTACK}{i % 2}" for i in range(4)]
    store = make_store(tmp_path / "s", values, labels, values, labels, train_rows=rows)
    save_evaluation(evaluate(store, select(store, heads=1)), store.path / "results" / "vote")
    explain(store.path / "results" / "vote", out=tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.all("script") == page.all("img") == []
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    assert page.text.count(ATTACK) > 20
