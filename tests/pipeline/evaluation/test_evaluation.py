import numpy as np
import pytest
from polars.testing import assert_frame_equal

from savs import evaluate, save_selection, select
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation import assessment, evaluation
from savs.pipeline.evaluation.stage_two import find_selection
from savs.stores import StoreIncompleteError, open_store
from savs.stores.read import shards
from stores import make_store


@pytest.fixture
def arrays():
    rng = np.random.default_rng(5)
    labels, truth = list("abababab"), list("aabbabz")
    pull = rng.normal(size=(6, 2, 5))
    train = (pull[:, [0, 1] * 4] + rng.normal(size=(6, 8, 5))).astype(np.float32)
    test = (pull[:, [0, 0, 1, 1, 0, 1, 0]] + rng.normal(size=(6, 7, 5))).astype(np.float32)
    return train, labels, test, truth


def test_a_label_that_training_never_had_is_wrong_and_named(tmp_path, arrays):
    store = make_store(tmp_path / "s", *arrays)
    result = evaluate(store, select(store, heads=3))
    last = result.predictions.row(6, named=True)
    assert (last["label"], last["correct"]) == ("z", False)
    note = "label 'z' of 1 test example is not in the training"
    assert [line for line in result.notes if note in line]
    facts = result.to_json()
    assert (facts["planned"], facts["scored"], facts["skipped"]) == (7, 7, 0)
    assert facts["metrics"][0]["name"] == "accuracy"
    assert facts["metrics"][0]["chance"] == pytest.approx(6 / 7 / 2)  # no guess is ever `z`


def test_without_a_selection_that_of_the_store_is_taken_or_a_default_one_made(tmp_path):
    rng = np.random.default_rng(0)
    train = rng.normal(size=(25, 4, 3)).astype(np.float32)
    store = make_store(tmp_path / "s", train, list("abab"), train, list("abab"))
    assert len(evaluate(store).selection.top_heads) == 20
    saved = select(store, heads=2, out=True)
    assert len(evaluate(store).selection.top_heads) == 2
    for wrong in ({"method": saved, "selection": "vote"}, {"selection": saved}):
        with pytest.raises(ParameterError, match="pass a selection itself as `method`, and no"):
            evaluate(store, **wrong)
    with pytest.raises(ParameterError, match="`selection` is of heads; omit it with zero-shot"):
        evaluate(store, "zero-shot", selection="vote")
    with pytest.raises(ParameterError, match="`on` is 'train', expected 'test' or 'folds'"):
        evaluate(store, on="train")


def test_a_selection_of_another_model_or_without_a_subtask_is_refused(tmp_path, arrays):
    ours = make_store(tmp_path / "ours", *arrays)
    theirs = make_store(tmp_path / "theirs", *arrays, model="other")
    with pytest.raises(
        SelectionError, match=r"model\.name: 'other' in the selection, 'toy' in the"
    ):
        evaluate(ours, select(theirs, heads=2))
    rows = {"train_rows": [{"subtask": "t"}] * 8, "test_rows": [{"subtask": "t"}] * 7}
    with pytest.raises(SelectionError, match="no subtask 't'"):
        evaluate(make_store(tmp_path / "tasks", *arrays, **rows), select(ours, heads=2))


def test_examples_that_share_an_image_are_one_cluster(tmp_path, arrays):
    images = ["x", "x", "y", "z", "y", "w", "w"]
    rows = [{"media_sha256": f'["{image}"]', "media": '["m"]'} for image in images]
    store = make_store(tmp_path / "s", *arrays, test_rows=rows)
    result = evaluate(store, select(store, heads=3))
    assert result.predictions["cluster"].to_list() == ["0", "0", "2", "3", "2", "5", "5"]
    assert (result.metrics[0].units, result.metrics[0].clusters) == (7, 4)


@pytest.mark.thorough
def test_results_are_the_same_whatever_the_shards(tmp_path, arrays, monkeypatch):
    monkeypatch.setattr(evaluation, "BLOCK", 1)  # no shards are joined
    results = []
    for rows in (1, 3, 100):
        store = make_store(tmp_path / str(rows), *arrays, shard_rows=rows)
        results.append(evaluate(store, select(store, heads=4)))
    for other in results[1:]:  # soft scores are sums, and their rounding may depend on the block
        assert_frame_equal(results[0].predictions, other.predictions, rel_tol=1e-6)
    assert results[0].metrics == results[2].metrics


@pytest.mark.thorough
@pytest.mark.parametrize("block", [1, 2**23], ids=["shard by shard", "at once"])
@pytest.mark.parametrize("drop_leaks", [False, True])
def test_predictions_stay_in_the_order_of_the_file_wherever_shards_have_them(
    tmp_path, arrays, monkeypatch, drop_leaks, block
):
    monkeypatch.setattr(evaluation, "BLOCK", block)
    images = ["x", "y", "x", "z", "y", "of training", "z"]
    tests = [
        {
            "subtask": ["one", "two"][row % 2],
            "media": f'["{name}"]',
            "media_sha256": f'["{name}"]',
        }
        for row, name in enumerate(images)
    ]
    trains = [{"subtask": ["one", "two"][row // 2 % 2]} for row in range(8)]
    trains[0] |= {"media": '["of training"]', "media_sha256": '["of training"]'}
    found = []
    for name, groups in (("plain", ()), ("grouped", images)):
        given = {"train_rows": trains, "test_rows": tests, "test_groups": groups}
        store = make_store(tmp_path / name, *arrays, **given, test_skipped=[4])
        result = evaluate(store, select(store, heads=3), drop_leaks=drop_leaks)
        found.append((result.predictions, result.to_json() | {"cost": None}))
        assert "SORT BY" not in result.table.explain()  # which each query would do again
    assert store.manifest.plan.splits["test"].order == (0, 2, 1, 4, 3, 6, 5)
    (plain, facts), (grouped, same_facts) = found
    assert_frame_equal(grouped, plain, rel_tol=1e-6)
    assert same_facts == facts
    assert plain["id"].to_list() == [f"test:{i}" for i in range(7) if i != 5 or not drop_leaks]
    assert plain["cluster"].to_list()[:5] == ["0", "1", "0", "3", "1"]
    assert plain["prediction"].is_null().to_list()[:5] == [False, False, False, False, True]


def test_rows_in_order_are_packed_once_though_their_indices_begin_anew(
    tmp_path, arrays, monkeypatch
):
    pack, packed = assessment.packed, []
    monkeypatch.setattr(assessment, "packed", lambda rows: packed.append(rows) or pack(rows))
    rows = [{"index": row % 4, "subtask": ["one", "two"][row % 2]} for row in range(7)]
    trains = [{"subtask": ["one", "two"][row // 2 % 2]} for row in range(8)]
    store = make_store(tmp_path / "s", *arrays, train_rows=trains, test_rows=rows)
    found = evaluate(store, select(store, heads=3)).predictions
    assert found["id"].to_list() == [f"test:{row}" for row in range(7)]
    assert [rows.height for rows in packed if "prediction" in rows.columns] == [7]


def test_subtasks_whose_training_examples_are_still_missing_are_left_out(
    tmp_path, arrays, monkeypatch
):
    monkeypatch.setattr(evaluation, "BLOCK", 1)  # the first shard has `two` alone
    tests = [{"subtask": "two" if row < 4 else "one"} for row in range(7)]
    trains = [{"subtask": "one" if row < 4 else "two"} for row in range(8)]
    given = {"train_rows": trains, "test_rows": tests, "shard_rows": 4}
    store = make_store(tmp_path / "s", *arrays, **given)
    save_selection(select(store, heads=3), store.path / "results" / "vote")
    (store.path / "train-00001.h5").unlink()
    found = evaluate(store, partial=True)
    assert found.predictions["id"].to_list() == ["test:4", "test:5", "test:6"]
    note = "partial: subtask 'two' is left out, its training examples are not extracted yet"
    assert note in found.notes
    (store.path / "test-00001.h5").unlink()
    with pytest.raises(StoreIncompleteError, match="of the extracted test examples are still mis"):
        evaluate(store, partial=True)


def test_the_prompt_of_a_skipped_example_is_not_compared(tmp_path, arrays):
    rows = [{"prompt": "another?" if row == 2 else "?"} for row in range(7)]
    train, labels, *tests = arrays
    store, other = (
        make_store(tmp_path / name, values, labels, *tests, test_rows=rows, test_skipped=[2])
        for name, values in (("s", train), ("other", train + 1))
    )
    selection = select(store, heads=3)
    for which in (store, other):
        result = evaluate(which, selection)
        assert result.skipped == 1
        assert not [note for note in result.notes if "another prompt" in note]


def test_of_skipped_examples_alone_all_are_wrong(tmp_path, arrays):
    store = make_store(tmp_path / "s", *arrays, test_skipped=range(7))
    result = evaluate(store, select(store, heads=3))
    assert (result.examples, result.skipped) == (7, 7)
    assert [metric.value for metric in result.metrics] == [0, 0]
    assert result.predictions["correct"].to_list() == [False] * 7
    assert result.confidence == ()


def test_a_shard_is_opened_once_for_its_tables_and_the_folder_listed_once(
    tmp_path, arrays, monkeypatch
):
    """Once for its tables and seconds; shards of the test split once more for their features."""
    selection = select(make_store(tmp_path / "s", *arrays), heads=3)
    opened, listed = [], []
    open_shard, shard_sizes = shards.open_shard, shards.shard_sizes
    monkeypatch.setattr(
        shards,
        "open_shard",
        lambda path, *rest: opened.append(path.name) or open_shard(path, *rest),
    )
    monkeypatch.setattr(
        shards, "shard_sizes", lambda *given: listed.append(given) or shard_sizes(*given)
    )
    save_selection(selection, tmp_path / "s/results/vote")
    store = open_store(tmp_path / "s")
    assert evaluate(store, find_selection(store, selection.rule, None, is_named=False)).metrics
    names = [
        f"{split}-0000{number}.h5" for split in ("train", "test", "test") for number in range(3)
    ]
    assert sorted(opened) == sorted(names)
    assert len(listed) == 1
