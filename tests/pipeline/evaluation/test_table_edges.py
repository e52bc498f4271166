"""Where tables, queries and copies went wrong once: limits before filters, parts for wholes."""

import numpy as np
import polars as pl
import pytest

from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.query import query
from savs.pipeline.selection.heads.heads_table import heads_frame
from savs.stores import FeatureStore, StoreIncompleteError, open_store
from savs.stores.maintain.copy import merge, slim
from stores import make_store

pytestmark = pytest.mark.thorough


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(3, n, 4)).astype(np.float32) for n in (8, 7))
    return make_store(tmp_path / "s", train, list("abababab"), test, list("aabbaba"))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_limit_counts_rows_before_a_later_filter(store, engine) -> None:
    rows = store.scan().head(3)
    assert rows.filter(pl.col("label") == "a").collect(engine=engine)["id"].to_list() == [
        "train:0",
        "train:2",
    ]
    assert rows.filter(pl.col("L0.H1").arr.get(0).is_finite()).collect(engine=engine).height == 3
    sql = "SELECT id FROM (SELECT * FROM examples LIMIT 3) AS t WHERE label = 'a'"
    assert query(store, sql)["id"].to_list() == ["train:0", "train:2"]


def test_so_it_does_for_votes(store) -> None:
    votes = heads_frame(store)
    wanted = pl.col("head") == 0
    assert votes.head(4).filter(wanted).collect().equals(votes.collect().head(4).filter(wanted))


def test_a_slim_store_of_many_shards_takes_the_selection_that_it_was_made_with(
    savs, inputs, tmp_path
) -> None:
    pytest.importorskip("torch")
    train, test = inputs.few_shots(train=6, test=5)
    given = ("--train", train, "--test", test, "--model", "demo", "--shard-rows", "2")
    assert savs("extract", "general", *given, "--out", "full").returncode == 0
    assert savs("select", "full", "--heads", "3").returncode == 0
    assert savs("slim", "full", "--out", "slim").returncode == 0
    done = savs("evaluate", "slim")
    assert done.returncode == 0, done.stderr
    assert "using slim/results/vote\n" in done.stderr


def test_what_is_not_whole_is_neither_merged_nor_slimmed(store, tmp_path) -> None:
    (store.path / "test-00001.h5").unlink()
    partial = open_store(store.path, partial=True)
    with pytest.raises(StoreIncompleteError, match="1 of 6 shards are missing"):
        slim(partial, store.heads[:1], tmp_path / "slim")
    other = make_store(
        tmp_path / "t", *(np.ones((3, 2, 4), np.float32), ["a", "b"]) * 2, shard_rows=3
    )
    with pytest.raises(StoreIncompleteError, match="1 of 6 shards are missing"):
        merge([partial, other], tmp_path / "merged")


@pytest.mark.parametrize("out", ["file/x", "n" * 250])
def test_a_file_that_cannot_be_written_is_one_line(savs, store, tmp_path, out) -> None:
    (tmp_path / "file").write_text("x")
    done = savs("export", store.path, "--out", out, "--heads", "all")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_a_head_named_twice_is_exported_once(savs, store, tmp_path) -> None:
    done = savs("export", store.path, "--out", "o.parquet", "--heads", "L0.H0,L0.H0")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "o.parquet").columns.count("L0.H0") == 1


def test_a_date_prints_as_json_and_a_wrong_column_as_one_reason(savs, store) -> None:
    done = savs(
        "query", store.path, "SELECT DATE '2020-01-01' AS d FROM examples LIMIT 1", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "2020-01-01" in done.stdout
    assert "Resolved plan" not in savs("query", store.path, "SELECT nope FROM examples").stderr


def test_a_damaged_result_harms_only_the_queries_that_read_it(savs, store) -> None:
    folder = store.path / "results/vote"
    folder.mkdir(parents=True)
    for name in ("predictions.parquet", "config.json"):
        (folder / name).write_bytes(b"x")
    assert savs("query", store.path, "SELECT id FROM examples").returncode == 0
    assert savs("query", store.path, "SELECT id FROM votes").returncode == 1


def test_a_table_that_is_not_there_yet_says_how_to_get_it(savs, store) -> None:
    done = savs("query", store.path, "SELECT id FROM predictions")
    assert done.returncode == 1
    assert "for predictions, run `savs evaluate" in done.stderr


def test_a_subtask_without_training_examples_has_no_votes(tmp_path) -> None:
    values = np.ones((1, 2, 2), np.float32)
    rows = {"train_rows": [{"subtask": "t"}] * 2, "test_rows": [{"subtask": "u"}] * 2}
    store = make_store(tmp_path / "s", values, ["a", "b"], values, ["a", "b"], **rows)
    with pytest.raises(SelectionError, match="'u' of the test split has no training examples"):
        heads_frame(store).collect()
