"""Thousands of subtasks: work grows with the examples, and is not begun anew for each subtask."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from savs import calibrate, evaluate, save_evaluation, select
from savs.pipeline.inputs.importing import import_features
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.pipeline.targets.calibration import class_probabilities
from savs.stores import FeatureStore

ROWS = [(split, label) for split in ("train", "train", "test") for label in "ab"]


def store_of_subtasks(folder: Path, subtasks: int) -> FeatureStore:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(subtasks * len(ROWS), 3, 4)).astype(np.float32)
    folder.mkdir()
    np.save(folder / "x.npy", values)
    pl.DataFrame(
        [(split, label, f"s{n}") for n in range(subtasks) for split, label in ROWS],
        schema=["split", "label", "subtask"],
        orient="row",
    ).write_csv(folder / "labels.csv")
    return import_features(folder / "x.npy", folder / "labels.csv", out=folder / "s").store


@pytest.fixture
def count(monkeypatch) -> dict[str, int]:
    """Count the queries of polars, and how often the heads of all subtasks are listed."""
    counts = {"queries": 0, "heads": 0}
    collect, heads = pl.LazyFrame.collect, SelectionConfig.heads.fget

    def counted_collect(*of, **more):
        counts["queries"] += 1
        return collect(*of, **more)

    def counted_heads(self):
        counts["heads"] += 1
        return heads(self)

    monkeypatch.setattr(pl.LazyFrame, "collect", counted_collect)
    monkeypatch.setattr(SelectionConfig, "heads", property(counted_heads))
    return counts


@pytest.mark.thorough
def test_queries_and_lists_of_heads_do_not_grow_with_the_subtasks(tmp_path, count) -> None:
    found = []
    for subtasks in (5, 40):  # all in one shard
        store = store_of_subtasks(tmp_path / str(subtasks), subtasks)
        selection = select(store, heads=2)
        count.update(queries=0, heads=0)
        result = evaluate(store, selection)
        save_evaluation(result, tmp_path / str(subtasks) / "results")
        assert len(result.metrics) == subtasks + 2
        assert result.predictions["correct"].len() == 2 * subtasks
        found.append(dict(count))
    assert found[0] == found[1]


def test_predictions_of_many_subtasks_are_those_of_each_alone(tmp_path) -> None:
    store = store_of_subtasks(tmp_path / "s", 4)
    plain = select(store, heads=2)
    for selection in (plain, calibrate(store, plain).selection):
        whole = evaluate(store, selection).predictions
        subtasks = store.examples("test")["subtask"].to_list()
        for task in selection.tasks:
            places = [n for n, name in enumerate(subtasks) if name == task.subtask]
            features = store.features("test", task.heads)[:, places]
            scores, part = task.fitted.scores(features), whole.filter(subtask=task.subtask)
            assert part["prediction"].to_list() == [task.classes[n] for n in scores.choice]
            table = class_probabilities(scores, task.decision)
            np.testing.assert_array_equal(
                part["probability"], table[np.arange(len(table)), scores.choice].astype(np.float32)
            )
            assert part["atypical"].null_count() == (len(part) if selection is plain else 0)
