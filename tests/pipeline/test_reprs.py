"""What a notebook shows of an object: a few lines with names, sizes and the next step."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from random_stores import draw_problem, write_problem
from saved_selections import two_task_store
from text_stores import store_with_answers

from savs import (
    SavsClassifier,
    calibrate,
    evaluate,
    explain,
    report,
    save_evaluation,
    select,
    suggest,
    sweep,
)
from savs.pipeline.classifying.classified import Classification
from savs.pipeline.evaluation.results import Result
from savs.pipeline.selection.selection import choose_heads_like
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets.one import ONE_CLASS
from savs.stores import FeatureStore
from savs.stores.shard.read import Shard


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    """Return a store with a result; its classes have names that are long and of several lines."""
    problem = draw_problem(5, counts=(6, 6, 6), tests=40)
    store = write_problem(tmp_path_factory.mktemp("reprs") / "pets", problem)
    save_evaluation(evaluate(store, select(store, heads=3)), store.path / "results" / "vote")
    return store


def objects(store: FeatureStore):
    """Yield each public object with texts that a person looks for."""
    selection = select(store, heads=3)
    evaluation = evaluate(store, selection)
    accuracy = f"{100 * evaluation.metrics[0].value:.1f} %"
    labels = store.examples("train")["label"].unique(maintain_order=True)
    yield store, ("pets", "18 train", "40 test")
    yield selection, ("vote of 3 heads", f"{len(labels)} classes: {labels[0]}", "savs.evaluate(")
    yield calibrate(store, selection), ("vote of 3 heads",)
    yield selection.tasks[0], (labels[0],)
    yield store.results["vote"], ("Result('", "pets/results/vote': selection and metrics)")
    yield evaluation, ("vote of 3 heads", f"accuracy {accuracy}", "40 examples", "save_evaluation")
    yield sweep(store, heads=[1, 2], draws=1), ("best accuracy: ", "vote of ", "sweep.summary")
    yield suggest(store, selection, 4), ("4 examples to label: test:", "savs.label(STORE, table)")
    result = store.path / "results" / "vote"
    yield explain(result, n=3), ("pets", "3 examples", "wrong", "explanations.heads")
    page = store.path.parent / "page.html"
    yield report(result, out=page), ("pets", accuracy, "examples shown")
    said = pl.DataFrame({"prediction": ["cat", "dog", "cat", None]})
    yield (
        Classification(said, {Path("new.csv"): 4}, 4, 1.0, (), ONE_CLASS),
        ("4 examples: 2 cat, 1 dog", "1 skipped", "new.csv"),
    )
    fitted = SavsClassifier("demo", question="Which animal is this?")
    yield fitted, ("Which animal is this?", "next: fit(")
    fitted.classes_ = np.array(["cat", "dog"])
    yield fitted, ("2 classes: cat, dog", "next: predict(")


@pytest.mark.thorough
def test_every_public_object_fits_ten_lines_and_says_what_is_asked_of_it(store):
    for one, expected in objects(store):
        text = repr(one)
        assert len(text.splitlines()) <= 10, text
        assert max(map(len, text.splitlines())) <= 400, text
        for part in expected:
            assert part in text, text


@pytest.mark.thorough
def test_no_features_are_read(store, monkeypatch):
    shown = [one for one, _ in objects(store)]

    def refuse(*args: object) -> None:
        raise AssertionError("features were read")

    monkeypatch.setattr(Shard, "heads", refuse)
    assert all(map(repr, shown))


def test_what_is_not_there_is_not_named(tmp_path):
    chosen = repr(select(two_task_store(tmp_path / "tasks"), heads=2)).splitlines()
    assert chosen[1] == "  2 subtasks: one, two; 12 training examples"
    store = store_with_answers(tmp_path / "s", {"a": [1], "b": [2]}, -np.eye(2), [None] * 2)
    evaluation = repr(evaluate(store, "zero-shot")).splitlines()
    assert evaluation[0] == "Evaluation(zero-shot: 2 examples of general, 0 skipped)"
    assert len(evaluation) == 3  # one note, and what is next
    answers = select(store, readout="answers")
    assert repr(answers).startswith("Selection(answers, toy)")
    assert choose_heads_like(StoredTraining(store), answers).to_json() == answers.to_json()
    assert repr(Result(tmp_path)).endswith(": empty)")


def test_an_extraction_names_its_store(store):
    pytest.importorskip("torch")
    from savs.pipeline.extraction.run_extraction import Extraction

    text = repr(Extraction({"heads": store}, 58, 12.3, []))
    assert "58 examples in 0:12, 0 skipped" in text
    assert f"savs.select({str(store.path)!r})" in text
