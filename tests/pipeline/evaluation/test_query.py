"""`query`: SQL over the examples, predictions and head votes of a store."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import savs.stores.shard.read
from savs.pipeline import evaluate, save_evaluation, select
from savs.pipeline.errors import QueryError
from savs.pipeline.evaluation.query import query
from savs.pipeline.running.result_files import results_folder
from savs.pipeline.selection.heads.heads_table import heads_frame
from savs.stores import StoreCorruptError, StoreIncompleteError, open_store
from stores import make_store


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(5)
    train, test = (rng.normal(size=(6, n, 5)).astype(np.float32) for n in (8, 7))
    rows = [{"group": g, "prompt": f"what {i}?"} for i, g in enumerate("ggghhhi")]
    return make_store(
        *(tmp_path / "s", train, list("abababab"), test, list("aabbaba")), test_rows=rows
    )


@pytest.fixture
def evaluated(store):
    """Return the store with the results of two selections, `vote` and `five`."""
    for heads, name in ((2, "vote"), (5, "five")):
        result = evaluate(store, select(store, heads=heads))
        save_evaluation(result, results_folder(store.path, name))
    return store


def test_examples_are_counted_filtered_and_sorted(store) -> None:
    found = query(
        store,
        "SELECT split, label, count(*) AS n FROM examples WHERE id <> 'test:0'"
        " GROUP BY split, label ORDER BY split, label",
    )
    assert found.rows() == [
        ("test", "a", 3),
        ("test", "b", 3),
        ("train", "a", 4),
        ("train", "b", 4),
    ]


def test_heads_are_columns_in_double_quotes(store) -> None:
    found = query(
        store, """SELECT id, "L0.H3", "group" FROM examples WHERE "group" = 'h' LIMIT 2"""
    )
    assert found.schema["L0.H3"] == pl.Array(pl.Float32, 5)
    assert found["id"].to_list() == ["test:3", "test:4"]
    np.testing.assert_array_equal(
        found["L0.H3"].to_numpy(), store.features("test", [(0, 3)])[0, 3:5]
    )


def test_only_the_heads_that_a_query_names_are_read(store, monkeypatch) -> None:
    read, heads = set(), savs.stores.shard.read.Shard.heads

    def counting(shard, wanted, out=None):
        read.update((grid.layer, head) for grid, head in wanted)
        return heads(shard, wanted, out)

    monkeypatch.setattr(savs.stores.shard.read.Shard, "heads", counting)
    query(store, "SELECT label, count(*) FROM examples GROUP BY label")
    assert read == set()
    query(store, """SELECT id, "L0.H5" FROM examples""")
    assert read == {(0, 5)}


def test_predictions_are_those_that_evaluate_left(evaluated) -> None:
    expected = pl.read_parquet(evaluated.path / "results/vote/predictions.parquet")
    assert_frame_equal(query(evaluated, "SELECT * FROM predictions"), expected)
    wrong = query(evaluated, "SELECT id FROM predictions WHERE NOT correct ORDER BY id")
    assert wrong["id"].to_list() == expected.filter(~pl.col("correct"))["id"].sort().to_list()


@pytest.mark.thorough
def test_predictions_and_examples_can_be_joined(evaluated) -> None:
    found = query(
        evaluated,
        "SELECT e.id, e.prompt, p.prediction FROM examples AS e"
        " JOIN predictions AS p ON e.id = p.id WHERE e.label = 'a' ORDER BY e.id",
    )
    predictions = pl.read_parquet(evaluated.path / "results/vote/predictions.parquet")
    guess = dict(predictions.select("id", "prediction").rows())
    assert found.rows() == [(f"test:{i}", f"what {i}?", guess[f"test:{i}"]) for i in (0, 1, 4, 6)]


@pytest.mark.thorough
def test_votes_are_those_of_the_chosen_heads(evaluated) -> None:
    for name, count in (("vote", 2), ("five", 5)):
        heads = select(evaluated, heads=count).tasks[0].heads
        found = query(evaluated, "SELECT * FROM votes", name)
        assert_frame_equal(found, heads_frame(evaluated, heads).collect())
        assert found.height == 7 * count
    right = query(
        evaluated, "SELECT name, avg(CAST(correct AS FLOAT)) AS share FROM votes GROUP BY name"
    )
    votes = heads_frame(evaluated).collect()
    for name, share in right.rows():
        assert share == pytest.approx(votes.filter(pl.col("name") == name)["correct"].mean())


@pytest.mark.thorough
def test_votes_agree_with_the_predictions(evaluated) -> None:
    """Each vote counts one: the prediction has the most, and its votes are the heads' votes."""
    found = query(
        evaluated,
        "SELECT v.id, v.vote, count(*) AS n FROM votes v GROUP BY v.id, v.vote",
        "five",
    )
    counted = {(row[0], row[1]): row[2] for row in found.rows()}
    predictions = query(evaluated, "SELECT * FROM predictions", "five")
    for row in predictions.iter_rows(named=True):
        assert {v["class"]: v["score"] for v in row["votes"] if v["score"]} == {
            vote: n for (identifier, vote), n in counted.items() if identifier == row["id"]
        }


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM predictions", "relation 'predictions' was not found"),
        ("SELECT * FROM votes", "relation 'votes' was not found"),
        ("SELECT * FROM exmples", "relation 'exmples' was not found"),
        ("SELECT lable FROM examples", 'unable to find column "lable"'),
        ('SELECT "L0.H6" FROM examples', 'unable to find column "L0.H6"'),
        ("SELEC id", "sql parser error"),
        ("", "statement"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(store, sql, reason) -> None:
    with pytest.raises(QueryError) as refused:
        query(store, sql)
    text = str(refused.value)
    assert reason in text
    assert f"query: {sql};" in text
    assert "tables: examples;" in text
    assert 'a head is a column in double quotes, "L12.H7"' in text


@pytest.mark.thorough
def test_the_tables_named_are_those_of_the_result_asked_for(evaluated) -> None:
    with pytest.raises(QueryError, match="tables: examples, predictions, votes;"):
        query(evaluated, "SELECT * FROM x")
    with pytest.raises(QueryError, match="tables: examples;"):
        query(evaluated, "SELECT * FROM predictions", "nothing")


def test_a_store_that_is_not_whole_is_refused_unless_it_is_opened_so(store) -> None:
    (store.path / "train-00001.h5").unlink()
    sql = "SELECT count(*) AS n FROM examples"
    with pytest.raises(StoreIncompleteError, match=r"train-00001\.h5 first"):
        query(open_store(store.path), sql)
    assert query(open_store(store.path, partial=True), sql).item() == 12
    (store.path / "train-00002.h5").write_bytes(b"no HDF5")
    with pytest.raises(
        (QueryError, StoreCorruptError), match=r"train-00002\.h5 does not end with the index"
    ):
        query(open_store(store.path, partial=True), sql)
